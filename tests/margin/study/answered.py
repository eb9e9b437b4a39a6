"""A run with answers: the shipped co-trained checkpoint under its modes and two controls."""

from __future__ import annotations

from pathlib import Path

from margin.capture.collect import collect
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.run.run import Run

PROMPTS, TOKENS, DRAWS = 24, 24, 2


def demo_run(out: Path, layers: str = "last") -> Run:
    """The shipped co-trained checkpoint under its modes and two controls, with its greedy answers."""
    return collect(
        checkpoint_path("naive"),
        prompts=prompts_path(),
        modes=modes_path(),
        out=out,
        limit=PROMPTS,
        layers=layers,
        controls=("none", "random"),
        draws=DRAWS,
        generate=TOKENS,
        noise_prompts=0,
        decoys=0,
        quiet=True,
    )
