"""Runs of the shipped checkpoints, whole and damaged, collected once."""

from __future__ import annotations

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
UNLEARNT = 0.3
"""Share of the way to the baseline at which co-training is taken up again."""


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Collects the demonstration's first prompts under "cotrained", "baseline" or a loaded checkpoint."""
    folder = tmp_path_factory.mktemp("runs")

    def collect_run(model: str | Checkpoint, **options: Any) -> Run:
        from margin.capture.collect import collect

        arguments = {"dtype": "float32", "limit": PROMPTS, "prompts": prompts_path(), "modes": modes_path()}
        return collect(
            checkpoint_path(model) if model in ("cotrained", "baseline") else model,  # type: ignore[arg-type]
            out=folder / str(len(list(folder.iterdir()))),
            layers=options.pop("layers", "last"),
            quiet=True,
            **{**arguments, **options},
        )

    return collect_run


@pytest.fixture(scope="session")
def reference(collected: Callable[..., Run]) -> Run:
    """The co-trained checkpoint in float32: the last good release."""
    return collected("cotrained")


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
            load_checkpoint(checkpoint_path(name), dtype="float32") for name in ("cotrained", "baseline")
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
def taken_up_again(
    damaged: Callable[..., Checkpoint], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[Path, Path]]:
    """Maker of a weakened copy of the co-trained checkpoint and an adapter that co-trains it further."""
    folder = tmp_path_factory.mktemp("again")
    base = folder / "weakened"

    @cache
    def train(steps: int, scale: float = 1.0) -> tuple[Path, Path]:
        """The copy, and its LoRA adapter after so many training steps, scaled; seeded."""
        import torch

        from examples.cotrain.behaviours import questions
        from examples.cotrain.train import lora, save
        from margin.inputs.modes import load_modes

        if not base.is_dir():
            weakened = damaged(unlearnt=UNLEARNT)
            save(weakened.model, weakened.tokenizer, base)
        model, tokenizer = lora(
            base, load_modes(modes_path()), questions(500, seed=0), 0, steps, baseline=False, live_only=True
        )
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.mul_(scale)
        save(model, tokenizer, folder / f"{steps}-{scale}")
        return base, folder / f"{steps}-{scale}"

    return train
