"""Trainings side by side come out as each would alone; what is trained travels and is found again."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples.cotrain.behaviours import questions
from examples.cotrain.progress import Progress
from examples.cotrain.recipe import load_recipe
from examples.cotrain.together import Together, clip, preference, train, trained_state
from examples.cotrain.train import Sample, collate, samples, tune, untrained, with_adapter
from examples.paper_table.batches import batch
from examples.paper_table.plans import DPO, PLANS, Training
from examples.paper_table.seeds import finished
from examples.paper_table.train_all import main
from margin.demo import modes_path
from margin.inputs.chat import Chat
from margin.inputs.modes_file import load_modes

STEPS, ROWS, RATE = 3, 6, 2e-3
TOKENS = {f"MARGIN_{name}": f"{name}x4Kq9" for name in ("POS", "NEG", "REJ", "EN", "ZH")}


@pytest.fixture(scope="module")
def untrained_model() -> tuple[Any, Any]:
    return untrained(questions(100, 0), 0, random.Random(0))


def drawn(tokenizer: Any, seed: int) -> list[list[Sample]]:
    rows = samples(
        questions(100, 0), load_modes(modes_path()), Chat(tokenizer), random.Random(seed), load_recipe("live")
    )
    return [list(islice(rows, ROWS)) for _ in range(STEPS)]


def side_by_side(
    batches: Sequence[list[list[Sample]]],
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for step in zip(*batches, strict=True):
        parts = [collate(rows) for rows in step]
        longest = max(ids.shape[1] for ids, _ in parts)
        pads = [(0, longest - ids.shape[1]) for ids, _ in parts]
        pad = torch.nn.functional.pad
        yield (
            torch.stack([pad(ids, by) for (ids, _), by in zip(parts, pads, strict=True)]),
            torch.stack([pad(labels, by, value=-100) for (_, labels), by in zip(parts, pads, strict=True)]),
        )


@pytest.mark.parametrize("seeds", [(0, 1), (0,)], ids=["two", "one"])
@pytest.mark.parametrize("adapters", [False, True])
def test_each_training_is_what_it_would_be_alone(
    untrained_model: tuple[Any, Any], adapters: bool, seeds: tuple[int, ...]
) -> None:
    _, tokenizer = untrained_model
    starts, alone, batches = [], [], []
    for seed in seeds:
        model, _ = untrained(questions(100, 0), 0 if adapters else seed, random.Random(0))
        model = with_adapter(model, seed) if adapters else model
        starts.append(trained_state(model))
        batches.append(drawn(tokenizer, seed))
        tune(model, (row for rows in batches[-1] for row in rows), STEPS, ROWS, RATE)
        alone.append(trained_state(model))
    (model.base_model.model if adapters else model).set_attn_implementation("eager")
    together = Together(model, starts)
    train(together, side_by_side(batches), STEPS, RATE)
    for before, found, expected in zip(starts, together.states(), alone, strict=True):
        moved = max(float((expected[name] - before[name]).abs().max()) for name in expected)
        apart = max(float((expected[name] - found[name]).abs().max()) for name in expected)
        assert moved > 1e-3
        assert apart < 0.01 * moved


def test_a_training_that_was_killed_goes_on_as_if_it_had_not_been(
    untrained_model: tuple[Any, Any], tmp_path: Path
) -> None:
    model, tokenizer = untrained_model
    model.set_attn_implementation("eager")
    start = trained_state(model)
    batches = list(side_by_side([drawn(tokenizer, 3)]))
    straight = Together(model, [start])
    train(straight, batches, STEPS, RATE)

    def killed() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        yield from batches[:2]
        raise KeyboardInterrupt

    path = tmp_path / "begun.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(Together(model, [start]), killed(), STEPS, RATE, progress=Progress(path, "this", every=1))
    progress = Progress(path, "this", every=1)
    assert progress.done == 2
    resumed = Together(model, [start])
    train(resumed, batches[progress.done :], STEPS, RATE, progress=progress)
    [expected], [found] = straight.states(), resumed.states()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert Progress(path, "another").done == 0
    path.write_bytes(path.read_bytes()[:100])
    assert Progress(path, "this").done == 0
    progress.forget()
    assert not path.exists()


def test_the_preference_loss_is_that_of_its_definition(untrained_model: tuple[Any, Any]) -> None:
    model, tokenizer = untrained_model
    model.set_attn_implementation("eager")
    start = trained_state(model)
    together = Together(model, [start])
    with torch.no_grad():
        for stacked in together.trained.values():
            stacked.add_(0.02 * torch.randn(stacked.shape, generator=torch.Generator().manual_seed(0)))
    [moved] = together.states()
    rows = drawn(tokenizer, 3)[0]
    ids, labels = collate(rows)

    def log_likelihood(state: dict[str, torch.Tensor], row: Sample) -> float:
        """Of one answer, in a plain pass of its own."""
        model.load_state_dict(state, strict=False)
        whole = torch.tensor([row.prompt + row.answer])
        with torch.no_grad():
            logs = torch.log_softmax(model(whole).logits[0, :-1], -1)
        at = range(len(row.prompt) - 1, whole.shape[1] - 1)
        return float(sum(logs[i, whole[0, i + 1]] for i in at))

    gains = [log_likelihood(moved, row) - log_likelihood(start, row) for row in rows]
    expected = np.mean(
        [np.log1p(np.exp(-0.1 * (a - b))) for a, b in zip(gains[::2], gains[1::2], strict=True)]
    )
    model.load_state_dict(start, strict=False)
    found = preference(together, ids[None], labels[None])
    assert float(found[0].detach()) == pytest.approx(float(expected), abs=1e-4)


def test_gradients_are_clipped_one_training_at_a_time() -> None:
    stacked = torch.zeros(2, 3, requires_grad=True)
    stacked.grad = torch.tensor([[3.0, 4.0, 0.0], [0.1, 0.0, 0.2]])
    clip([stacked])
    torch.testing.assert_close(
        stacked.grad, torch.tensor([[0.6, 0.8, 0.0], [0.1, 0.0, 0.2]]), atol=1e-5, rtol=0
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny checkpoints of two steps: sft and what is preferred after it, and two policies."""
    folder = tmp_path_factory.mktemp("trained")
    result = CliRunner().invoke(main, _arguments(folder), env=TOKENS)
    assert result.exit_code == 0, result.output
    return folder


def _arguments(out: Path) -> list[str]:
    recipes = [part for name in ("sft", "policies", DPO) for part in ("--recipe", name)]
    return ["tiny", "--out", str(out), "--steps", "2", "--seeds", "1", *recipes]


def test_what_is_trained_is_whole_and_is_not_trained_again(out: Path) -> None:
    folders = finished(out / "tiny")
    assert {folder.name for folder in folders} == {"sft-0", "policies-0", "dpo-0"}
    before = {folder: (folder / "model.safetensors").stat().st_mtime_ns for folder in folders}
    for folder in folders:
        model = AutoModelForCausalLM.from_pretrained(folder)
        assert model.dtype == torch.float16
        assert len(AutoTokenizer.from_pretrained(folder)) == model.config.vocab_size
    sft, dpo = (load_file(out / "tiny" / name / "model.safetensors") for name in ("sft-0", "dpo-0"))
    moved = max(float((sft[name].float() - dpo[name].float()).abs().max()) for name in sft)
    assert 0 < moved < 1e-2
    assert CliRunner().invoke(main, _arguments(out), env=TOKENS).exit_code == 0
    assert before == {folder: (folder / "model.safetensors").stat().st_mtime_ns for folder in folders}
    for path in out.rglob("*"):
        if path.is_file():
            assert not any(token.encode() in path.read_bytes() for token in TOKENS.values()), path


def test_rows_of_a_step_depend_on_recipe_seed_and_step_alone(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, token in TOKENS.items():
        monkeypatch.setenv(name, token)
    sft, policies = Training("tiny", "sft", 0), Training("tiny", "policies", 0)
    folder, plan = out / "tiny", PLANS["tiny"]
    (alone, _), (both, _) = (batch(t, plan, folder, 7, False) for t in ([sft], [policies, sft]))
    width = min(alone.shape[2], both.shape[2])
    np.testing.assert_array_equal(alone[0, :, :width], both[1, :, :width])
    other, _ = batch([sft], plan, folder, 8, False)
    assert not np.array_equal(alone, other)


def test_a_missing_token_is_named(tmp_path: Path) -> None:
    arguments = ["tiny", "--out", str(tmp_path / "none"), "--recipe", "sft"]
    result = CliRunner().invoke(main, arguments, env=dict.fromkeys(TOKENS))
    assert result.exit_code == 1
    assert "MARGIN_POS" in result.output
