"""What a model knows and reads, asked before the first forward pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import GPT2Config, LlamaConfig, PreTrainedTokenizerFast

from margin.capture.bounds import context_of
from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import ModeSet
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_rows

YARN = {"rope_type": "yarn", "factor": 8.0, "rope_theta": 1e4, "original_max_position_embeddings": 24}


@pytest.mark.parametrize(
    ("positions", "rope", "context"),
    [
        (24, {"rope_type": "default", "rope_theta": 1e4}, 24),
        (24, YARN, 192),
        (192, YARN, 192),  # the stretched length is what is stated
        (24, YARN | {"factor": 1.0}, 24),
        (64, {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}, 256),
        (64, {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}, 128),
        (
            131072,
            {
                "rope_type": "llama3",
                "factor": 8.0,
                "rope_theta": 5e5,
                "original_max_position_embeddings": 8192,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
            },
            131072,  # Llama 3.1
        ),
    ],
)
def test_the_context_of_stretched_embeddings(positions: int, rope: dict[str, Any], context: int) -> None:
    assert context_of(LlamaConfig(max_position_embeddings=positions, rope_parameters=rope)) == context


def test_a_model_of_stretched_embeddings_reads_what_it_was_made_for(
    make_checkpoint: Callable[..., Checkpoint],
    small: dict[str, Any],
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    config = LlamaConfig(**small | {"max_position_embeddings": 24}, rope_parameters=YARN)
    checkpoint = make_checkpoint(config)
    assert 24 < longest(checkpoint, prompts[:3], modes) < 192
    collect(checkpoint, prompts=prompts[:3], modes=modes, out=tmp_path / "run", decoys=0, quiet=True)


def longest(checkpoint: Checkpoint, prompts: list[str], modes: ModeSet) -> int:
    rows = build_rows(Chat(checkpoint.tokenizer), load_prompts(prompts), modes)
    return max(len(row.ids) for row in rows)


@pytest.mark.parametrize("option", ["generate", "positions"])
def test_answers_beyond_the_context_are_refused_before_the_first_pass(
    option: str,
    make_checkpoint: Callable[..., Checkpoint],
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = GPT2Config(vocab_size=260, n_embd=32, n_layer=2, n_head=2, n_positions=160)
    checkpoint = make_checkpoint(config)
    asked: dict[str, Any] = {"prompts": prompts[:3], "modes": modes, "decoys": 0, "quiet": True}
    most = 160 - longest(checkpoint, prompts[:3], modes) + 1
    collect(checkpoint, out=tmp_path / "fits", **asked | {option: most})
    monkeypatch.setattr(checkpoint.model, "forward", None)  # any pass would fail
    with pytest.raises(MarginError, match=rf"the model's context is 160: take at most {most} of") as refused:
        collect(checkpoint, out=tmp_path / "run", **asked | {option: most + 1})
    assert "\n" not in str(refused.value)


def test_tokens_the_model_has_no_row_for_are_counted_not_named(
    make_checkpoint: Callable[..., Checkpoint],
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    small = LlamaConfig(
        vocab_size=257,  # the mark that ends a turn is the last of 258
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    assert tokenizer.convert_tokens_to_ids("</s>") == 257
    with pytest.raises(MarginError, match=r"9 of 9 rows hold tokens beyond .* vocabulary of 257") as refused:
        collect(
            make_checkpoint(small),
            prompts=prompts[:3],
            modes=modes,
            out=tmp_path / "run",
            decoys=0,
            quiet=True,
        )
    assert "\n" not in str(refused.value)
