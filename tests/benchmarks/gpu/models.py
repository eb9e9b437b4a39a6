"""Models of random weights in the shapes people run, and rows for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

CONDITIONS = ("a", "b", "c")
PREFIX, SHORTEST, LONGEST = 48, 16, 80
"""Tokens that a condition's rows share, and fewest and most of their own."""


@dataclass(frozen=True)
class Shape:
    """The measures of a decoder."""

    name: str
    family: Literal["llama", "qwen3"]
    layers: int
    width: int
    inner: int
    heads: int
    key_heads: int
    vocabulary: int
    tied: bool


SHAPES = {
    "tiny": Shape("tiny", "qwen3", 4, 128, 256, 4, 2, 4000, False),
    "1b": Shape("1B, Llama 3.2's shape", "llama", 16, 2048, 8192, 32, 8, 128_256, True),
    "8b": Shape("8B, Qwen3's shape", "qwen3", 36, 4096, 12_288, 32, 8, 151_936, False),
}


def random_model(shape: Shape, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """A decoder of that shape, its weights made on the device."""
    kind: Any = LlamaForCausalLM if shape.family == "llama" else Qwen3ForCausalLM
    config = (LlamaConfig if shape.family == "llama" else Qwen3Config)(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        head_dim=shape.width // shape.heads,
        max_position_embeddings=4096,
        tie_word_embeddings=shape.tied,
        eos_token_id=None,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            made: PreTrainedModel = kind(config).eval()
            return made
    finally:
        torch.set_default_dtype(before)


def random_rows(count: int, vocabulary: int, seed: int = 0) -> tuple[list[list[int]], list[str]]:
    """Token ids of rows and the condition of each; those of a condition begin with the same tokens."""
    rng = np.random.default_rng(seed)
    prefixes = {name: rng.integers(vocabulary, size=PREFIX).tolist() for name in CONDITIONS}
    groups = [CONDITIONS[row % len(CONDITIONS)] for row in range(count)]
    lengths = rng.integers(SHORTEST, LONGEST + 1, size=count)
    own = [rng.integers(vocabulary, size=length).tolist() for length in lengths]
    return [prefixes[group] + tokens for group, tokens in zip(groups, own, strict=True)], groups
