"""How few tokens a text can be, told without tokenising it: of millions of characters that takes minutes."""

from __future__ import annotations

import json
from typing import Any

from margin.inputs.tokenizer import Tokenizer

DROPS = ("Removed", "CharDelimiterSplit")
"""What splits a text and drops what it was split at."""


def fewest_tokens(tokenizer: Tokenizer, text: str) -> int:
    """Tokens that a text is at least; 0 where the tokenizer sets no bound.

    Every character but white space, which a mark beside it may take in, is counted after the tokenizer's own
    normaliser, and no token stands for more of them than the longest in the vocabulary has. That holds where
    every byte has a token: else one token, the unknown, stands for as many characters as come. Costs a pass
    over the text and one over the vocabulary.

    Example
    -------
    >>> from transformers import AutoTokenizer
    >>> from margin.demo import checkpoint_path
    >>> fewest_tokens(AutoTokenizer.from_pretrained(checkpoint_path("naive")), "a" * 10_000) > 100
    True
    """
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return 0
    longest = _longest(backend)
    if longest is None:
        return 0
    bare = "".join(text.split())
    length = len(bare if backend.normalizer is None else backend.normalizer.normalize_str(bare))
    return -(-length // longest)


def _longest(backend: Any) -> int | None:
    """Characters of the longest token; None where a token may stand for more, or for what is dropped."""
    from tokenizers.pre_tokenizers import ByteLevel

    rules = json.loads(backend.to_str())
    model, splits = rules["model"], json.dumps(rules["pre_tokenizer"])
    if model["type"] == "BPE" and "ByteLevel" in splits:
        single = set(ByteLevel.alphabet())
    elif model.get("byte_fallback"):
        single = {f"<0x{byte:02X}>" for byte in range(256)}
    else:
        return None
    vocabulary = backend.get_vocab()
    if not single <= vocabulary.keys() or any(way in splits for way in DROPS):
        return None
    return max(map(len, vocabulary))
