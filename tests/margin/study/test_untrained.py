"""What a model has that no training taught anything: nothing above decoys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    Qwen3Config,
)

from margin.analysis.decoys import above_decoys
from margin.analysis.margins import margins
from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.run.run import Run
from margin.stats.estimate import Estimate
from margin.study.decoys import decoy_rows
from tests.intervals import holds
from tests.simulations import Record

SETS = 6
"""Sets of tokens of a comparison: one in the live one's place, five as decoys."""


def untrained(seed: int) -> Checkpoint:
    """A model of random weights, size and family, with the demonstration's tokenizer."""
    rng, tokenizer = np.random.default_rng(seed), AutoTokenizer.from_pretrained(checkpoint_path("cotrained"))
    width, heads, depth = int(rng.choice([32, 64, 128])), int(rng.choice([2, 4])), int(rng.integers(2, 5))
    config = (
        LlamaConfig(
            vocab_size=2048,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=depth,
            num_attention_heads=heads,
        ),
        GPT2Config(
            vocab_size=2048, n_embd=width, n_head=heads, n_layer=depth, bos_token_id=1, eos_token_id=2
        ),
        Qwen3Config(
            vocab_size=2048,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            head_dim=width // heads,
        ),
        GPTNeoXConfig(
            vocab_size=2048,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=depth,
            num_attention_heads=heads,
        ),
    )[seed % 4]
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():  # at the size weights are commonly begun with a token hardly moves the last state
        for weight in model.parameters():
            if weight.ndim >= 2:
                weight.normal_(std=weight.shape[-1] ** -0.5)
    return Checkpoint(model, tokenizer, f"untrained-{seed}")


def margins_of_sets(
    checkpoint: Checkpoint | Path, out: Path, sets: int, seed: int
) -> list[dict[str, Estimate]]:
    """The margins of the live tokens, and of each other set of tokens that mean nothing."""
    run: Run = collect(
        checkpoint,
        prompts=prompts_path(),
        modes=modes_path(),
        out=out,
        limit=60,
        decoys=sets - 1,
        seed=seed,
        quiet=True,
    )
    rows = decoy_rows(run)
    assert rows is not None
    return [dict(margins(space, rows.design).estimates) for space in rows.spaces(run, "logits")]


def nothing_found(of_sets: list[dict[str, Estimate]]) -> Iterator[dict[str, bool]]:
    """Whether each margin's interval above decoys holds 0, with each set in the live tokens' place."""
    for start in range(0, len(of_sets), SETS):
        six = of_sets[start : start + SETS]
        for one in six:
            others = [other for other in six if other is not one]
            yield {
                name: holds(above_decoys(found, [other[name] for other in others]).above, 0)
                for name, found in one.items()
            }


def shares(found: list[dict[str, bool]]) -> dict[str, float]:
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def test_nothing_is_found_in_untrained_models(tmp_path: Path) -> None:
    """Two models and two sixes of sets: of 24 comparisons at most 4 find something where .05 may."""
    found: list[dict[str, bool]] = []
    for seed in range(2):
        found += nothing_found(margins_of_sets(untrained(seed), tmp_path / str(seed), 2 * SETS, seed))
    assert shares(found)["leave_prompt_out"] >= 20 / 24


@pytest.mark.slow
def test_nothing_is_found_in_untrained_models_at_full_size(tmp_path: Path, record_figures: Record) -> None:
    """20 models, 30 sets each: 600 comparisons, in sixes that share their sets."""
    found: list[dict[str, bool]] = []
    for seed in range(20):
        found += nothing_found(margins_of_sets(untrained(seed), tmp_path / str(seed), 5 * SETS, seed))
    record_figures("20 untrained models, 60 prompts, 0 in the interval above decoys", shares(found))
    assert min(shares(found).values()) >= 0.91


@pytest.mark.slow
def test_nothing_is_found_in_many_untrained_models(tmp_path: Path, record_figures: Record) -> None:
    """60 other models, the very tokens of the demonstration against five sets: Monte Carlo error .028."""
    found: list[list[dict[str, bool]]] = []
    for seed in range(100, 160):
        of_sets = margins_of_sets(untrained(seed), tmp_path / str(seed), SETS, seed)
        found.append(list(nothing_found(of_sets)))
    about = "60 untrained models, 60 prompts, 0 in the interval above decoys"
    record_figures(f"{about}, the live tokens", shares([of_model[0] for of_model in found]))
    record_figures(f"{about}, each set in their place", shares([one for six in found for one in six]))
    assert min(shares([one for six in found for one in six]).values()) >= 0.91


@pytest.mark.slow
def test_nothing_is_found_where_tokens_were_never_seen(tmp_path: Path, record_figures: Record) -> None:
    """The demonstration's baseline, 60 sets: 60 comparisons in sixes, of one model."""
    of_sets = margins_of_sets(checkpoint_path("baseline"), tmp_path / "run", 10 * SETS, 0)
    found = list(nothing_found(of_sets))
    record_figures("demonstration baseline, 60 prompts, 0 in the interval above decoys", shares(found))
    assert shares(found)["leave_prompt_out"] >= 0.9
    assert shares(found)["prompt_centred"] >= 0.9
