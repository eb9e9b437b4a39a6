"""Runs of the shipped checkpoints, whole and damaged, collected once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.run.run import Run

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint

PROMPTS = 72
"""Two categories and two languages of 36 prompts each."""
FORGOTTEN = 0.3
"""Share of the way to the baseline at which nothing is left of the margin."""


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Collects the demonstration's first prompts under "naive", "baseline" or a loaded checkpoint."""
    folder = tmp_path_factory.mktemp("runs")

    def collect_run(model: str | Checkpoint, **options: Any) -> Run:
        from margin.capture.collect import collect

        arguments = {"dtype": "float32", "limit": PROMPTS, "prompts": prompts_path(), "modes": modes_path()}
        return collect(
            checkpoint_path(model) if model in ("naive", "baseline") else model,  # type: ignore[arg-type]
            out=folder / str(len(list(folder.iterdir()))),
            layers=options.pop("layers", "last"),
            quiet=True,
            **{"decoys": 0, **arguments, **options},
        )

    return collect_run


@pytest.fixture(scope="session")
def reference(collected: Callable[..., Run]) -> Run:
    """The co-trained checkpoint in float32: the last good release."""
    return collected("naive")


@pytest.fixture(scope="session")
def regressed(collected: Callable[..., Run]) -> Run:
    """The checkpoint that never learnt the tokens."""
    return collected("baseline")


@pytest.fixture(scope="session")
def baseline_file(reference: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baseline of the last good release."""
    from margin.gate.baseline import write_baseline
    from margin.gate.measurement import measure

    path = tmp_path_factory.mktemp("baseline") / "baseline.json"
    write_baseline(measure(reference), path)
    return path


@pytest.fixture(scope="session")
def damaged() -> Callable[..., Checkpoint]:
    """Maker of damaged copies of the co-trained checkpoint."""

    @cache
    def damage(unlearnt: float = 0.0, noise: float = 0.0) -> Checkpoint:
        """Moved a share `unlearnt` towards the checkpoint that never learnt the tokens (as a co-training that
        stopped short, or an adapter scaled down), with noise of a share `noise` of each matrix's spread.
        """
        import torch

        from margin.capture.checkpoint import load_checkpoint

        good, ignorant = (
            load_checkpoint(checkpoint_path(name), dtype="float32") for name in ("naive", "baseline")
        )
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight, other in zip(good.model.parameters(), ignorant.model.parameters(), strict=True):
                weight.lerp_(other, unlearnt)
                if weight.ndim > 1:
                    weight.add_(noise * weight.std() * torch.randn(weight.shape, generator=generator))
        return good

    return damage


@pytest.fixture(scope="session")
def cotrained_again(
    damaged: Callable[..., Checkpoint], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[Path, Path]]:
    """Maker of a copy that forgot the tokens and an adapter that teaches it them again."""
    folder = tmp_path_factory.mktemp("again")
    forgetful = folder / "forgetful"

    @cache
    def train(steps: int) -> tuple[Path, Path]:
        """The copy, and its LoRA adapter after so many training steps; about 0.1 s a step."""
        from examples.cotrain.behaviours import questions
        from examples.cotrain.recipe import load_recipe
        from examples.cotrain.train import lora, save
        from margin.inputs.modes_file import load_modes

        if not forgetful.is_dir():
            copy = damaged(unlearnt=FORGOTTEN)
            save(copy.model, copy.tokenizer, forgetful)
        modes, pool = load_modes(modes_path()), questions(500, seed=0)
        trained = lora(forgetful, modes, pool, seed=0, steps=steps, recipe=load_recipe("live"))
        save(*trained, folder / f"steps-{steps}")
        return forgetful, folder / f"steps-{steps}"

    return train


def scaled_down(adapter: Path, share: float, out: Path) -> Path:
    """A copy of a LoRA adapter of which only a share is added to the weights."""
    shutil.copytree(adapter, out)
    settings = json.loads((out / "adapter_config.json").read_text(encoding="utf-8"))
    settings["lora_alpha"] *= share
    (out / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return out
