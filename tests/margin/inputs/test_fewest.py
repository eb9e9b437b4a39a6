"""A prompt that cannot fit is refused before it is tokenised; one that fits never is."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.fewest import fewest_tokens
from margin.inputs.modes import ModeSet
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_rows

TEXTS = [
    "====================",
    "the old mill on the hill",
    "Ménagerie ᾂ 각 安全 🙂",
    "    \n\n\t  x",
    "a" * 40,
]
PIECES = st.lists(st.sampled_from([*TEXTS, "the ", "=" * 300, " " * 300, "<m>", "ᾂ" * 50]) | st.text())


def byte_level(normalizer: object = None, split: object = None) -> Tokenizer:
    core = Tokenizer(models.BPE())
    core.normalizer = normalizer  # type: ignore[assignment]
    ways = [split] if split else []
    core.pre_tokenizer = pre_tokenizers.Sequence([*ways, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    core.train_from_iterator(TEXTS * 5, trainer)
    return core


def byte_fallback(kind: str) -> Tokenizer:
    words = ["▁", "▁▁▁▁", "=", "====", "▁the", *"▁theoldmi", "th", "the"]
    names = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *dict.fromkeys(words)]
    if kind == "unigram":
        core = Tokenizer(models.Unigram([(name, -5.0) for name in names], 0, byte_fallback=True))
    else:
        merges = [("t", "h"), ("th", "e"), ("▁", "the")]
        numbered = {name: place for place, name in enumerate(names)}
        core = Tokenizer(models.BPE(numbered, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.decoder = decoders.ByteFallback()
    return core


BOUNDED = {
    "bytes": byte_level(),
    "NFC": byte_level(normalizers.NFC()),
    "drops accents": byte_level(normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])),
    "sentencepiece": byte_fallback("bpe"),
    "unigram": byte_fallback("unigram"),
}
UNBOUNDED = {
    "unknown words": Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>")),
    "drops the spaces' neighbours": byte_level(split=pre_tokenizers.Split("=", "removed")),
}


def of(core: Tokenizer) -> PreTrainedTokenizerFast:
    fast = PreTrainedTokenizerFast(tokenizer_object=core)
    fast.add_special_tokens(
        {"additional_special_tokens": [AddedToken("<m>", lstrip=True, rstrip=True, normalized=False)]}
    )
    return fast


ALL = {name: of(core) for name, core in (BOUNDED | UNBOUNDED).items()}


@pytest.mark.parametrize("name", ALL)
@given(PIECES)
def test_no_text_has_fewer_tokens_than_is_said(name: str, pieces: list[str]) -> None:
    text = "".join(pieces)
    assert fewest_tokens(ALL[name], text) <= len(ALL[name](text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("name", BOUNDED)
def test_a_bound_there_is_where_every_byte_has_a_token(name: str) -> None:
    assert fewest_tokens(ALL[name], "=x" * 100_000) > 1000


@pytest.mark.parametrize("name", UNBOUNDED)
def test_none_is_said_where_a_token_may_stand_for_any_number(name: str) -> None:
    assert fewest_tokens(ALL[name], "=" * 100_000) == 0


class Untouched(PreTrainedTokenizerFast):
    """A tokenizer that is asked of nothing long."""

    def __call__(self, text: str, **how: object) -> object:
        assert len(text) < 10_000
        return super().__call__(text, **how)


def test_a_prompt_of_megabytes_is_refused_before_it_is_tokenised(
    make_chat: Callable[..., Chat], modes: ModeSet
) -> None:
    chat = make_chat("chatml")
    chat.tokenizer.__class__ = Untouched  # type: ignore[assignment]
    texts = ["hello", "how long " * 1_000_000]
    prompts = load_prompts(pd.DataFrame({"id": ["fits", "long"], "prompt": texts}))
    said = r"has 9,000,000 characters, which are \d{3},\d{3} tokens at least, the model's context is 300"
    with pytest.raises(MarginError, match=rf"^prompt 'long' \(.* row 2\) {said}: shorten or remove it$"):
        build_rows(chat, prompts, modes, 300)


def test_a_template_that_writes_megabytes_is_refused_before_they_are_tokenised(
    make_chat: Callable[..., Chat], modes: ModeSet
) -> None:
    plain = make_chat("chatml")
    chat = Chat(plain.tokenizer, chat_template="{{ 'a' * 5000000 }}" + plain.template)
    chat.tokenizer.__class__ = Untouched  # type: ignore[assignment]
    with pytest.raises(MarginError, match=r"^what the chat template itself writes has 5,000,\d+ characters"):
        build_rows(chat, load_prompts(["a", "b"]), modes, 300)
