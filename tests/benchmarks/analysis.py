"""Time and memory of the statistics: python tests/benchmarks/analysis.py [--quick] [--only PART | --run RUN].

Prints one line a figure with the target it is held against. Data are random with the structure of a run:
prompts that differ, modes that prompts take up to different degrees, a large offset that all points share.
`random_run.py` makes a run for --run.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sklearn.metrics import silhouette_samples as sklearn_silhouette_samples

from margin.analysis.margins import margins
from margin.analysis.metrics import Distance
from margin.analysis.sam import sam, silhouette_samples
from margin.analysis.space import Coordinates
from margin.report.analyse import analyse
from margin.run.run import open_run
from margin.stats.design import Design, make_design
from tests.benchmarks.memory import forget_peak, resident

Array = np.ndarray[Any, Any]
T = TypeVar("T")
MODES = 3
GB = 1e9


@dataclass(frozen=True)
class Sizes:
    prompts: int
    width: int
    vocabulary: int
    rival_prompts: int
    rival_width: int
    rival_vocabulary: int


FULL = Sizes(30_000, 4096, 151_936, 2000, 512, 20_000)
QUICK = Sizes(1000, 128, 5000, 300, 64, 4000)


def states(n: int, width: int, rng: np.random.Generator) -> Array:
    """(n, modes, width) float32 final states of n prompts."""
    fixed = np.random.default_rng(0)
    offset, effects = 3 * fixed.standard_normal(width), fixed.standard_normal((MODES, width)) / 4
    gain = rng.gamma(4, 0.25, (n, 1, 1)).astype(np.float32)
    noise = rng.standard_normal((n, MODES, width), dtype=np.float32)
    of_prompt = rng.standard_normal((n, 1, width), dtype=np.float32)
    return of_prompt + gain * effects.astype(np.float32) + noise + offset.astype(np.float32)


def design_of(n: int) -> Design:
    return make_design(np.tile(np.arange(MODES), n), np.repeat(np.arange(n), MODES))


def bartlett_factor(width: int, vocabulary: int, rng: np.random.Generator) -> Array:
    """(width+1, width+1) float32 F with F F^T distributed as [W b]^T [W b], W and b standard normal.

    Bartlett, 1933: chi variables on the diagonal, normal ones below. Saves the product over the vocabulary,
    which is the capture's business.
    """
    F = np.tril(rng.standard_normal((width + 1, width + 1), dtype=np.float32), -1)
    np.fill_diagonal(F, np.sqrt(rng.chisquare(vocabulary - np.arange(width + 1))))
    return F


def logit_points(sizes: Sizes, rng: np.random.Generator) -> Array:
    """(prompts * modes, width+1) float32 points in logit space, made block by block."""
    F = bartlett_factor(sizes.width, sizes.vocabulary, rng)
    points = np.empty((sizes.prompts, MODES, sizes.width + 1), np.float32)
    for start in range(0, sizes.prompts, 1000):
        h = states(min(1000, sizes.prompts - start), sizes.width, rng).reshape(-1, sizes.width)
        points[start : start + 1000] = (h @ F[:-1] + F[-1]).reshape(-1, MODES, sizes.width + 1)
    return points.reshape(-1, sizes.width + 1)


def measured(work: Callable[[], T]) -> tuple[T, float, float]:
    """What the work returns, its seconds, and its peak memory over what was held before."""
    forget_peak()
    before, start = resident(), time.perf_counter()
    out = work()
    return out, time.perf_counter() - start, resident("VmHWM") - before


def line(what: str, figure: str, target: str) -> None:
    print(f"{what:58}{figure:>28}   {target}", flush=True)


def scale(sizes: Sizes) -> None:
    rng = np.random.default_rng(1)
    X, design = logit_points(sizes, rng), design_of(sizes.prompts)
    print(f"\n{len(X):,} points x {X.shape[1]:,} float32, {X.nbytes / GB:.2f} GB")
    space = Coordinates(X)
    found, seconds, peak = measured(lambda: margins(space, design))
    print(f"  leave-prompt-out {found.leave_prompt_out}, prompt-centred {found.prompt_centred}")
    line("cosine, every margin with its interval", f"{seconds:.1f} s, +{peak / GB:.2f} GB", "< 60 s, < 6 GB")


def exact_euclidean(sizes: Sizes) -> None:
    X, design = logit_points(sizes, np.random.default_rng(1)), design_of(sizes.prompts)
    print(f"\n{len(X):,} points x {X.shape[1]:,} float32")
    estimate, seconds, peak = measured(lambda: sam(X, design.mode, design.prompt, "euclidean"))
    print(f"  leave-prompt-out {estimate}")
    line("Euclidean, exact, with its interval", f"{seconds:.1f} s, +{peak / GB:.2f} GB", "< 900 s")


def gram_factor(W: Array, b: Array) -> Array:
    """F with F F^T = [W b]^T [W b], in float64."""
    head = np.column_stack([W, b]).astype(np.float64)
    values, vectors = np.linalg.eigh(head.T @ head)
    factor: Array = vectors * np.sqrt(np.maximum(values, 0))
    return factor


def rival(sizes: Sizes) -> None:
    rng = np.random.default_rng(2)
    h = states(sizes.rival_prompts, sizes.rival_width, rng).reshape(-1, sizes.rival_width)
    mode = np.tile(np.arange(MODES), sizes.rival_prompts)
    W = rng.standard_normal((sizes.rival_vocabulary, sizes.rival_width), dtype=np.float32)
    b = rng.standard_normal(sizes.rival_vocabulary, dtype=np.float32)
    logits = h @ W.T + b
    print(f"\n{len(h):,} points, {sizes.rival_vocabulary:,} logits, states of {sizes.rival_width}")
    F, factor_seconds, _ = measured(lambda: gram_factor(W, b))
    targets: dict[Distance, int] = {"cosine": 100, "euclidean": 20}
    for distance, target in targets.items():
        theirs, their_seconds, _ = measured(
            partial(sklearn_silhouette_samples, logits, mode, metric=distance)
        )
        print(f"  {distance}: scikit-learn on float32 logits {their_seconds:.2f} s")
        for dtype in (np.float32, np.float64):
            extended, factor = np.column_stack([h, np.ones(len(h))]).astype(dtype), F.astype(dtype)

            def ours(distance: Distance = distance, extended: Array = extended, F: Array = factor) -> Array:
                return silhouette_samples(extended @ F, mode, distance=distance)

            runs = [measured(ours) for _ in range(5)]
            seconds = min(run[1] for run in runs)
            error = np.abs(runs[0][0] - theirs).max()
            line(
                f"{distance}, {np.dtype(dtype)}: {seconds:.3f} s, largest difference {error:.1e}",
                f"{their_seconds / seconds:.0f}x",
                f">= {target}x" if dtype == np.float32 else "(twice the digits of the rival)",
            )
            with_factor = their_seconds / (seconds + factor_seconds)
            line(f"  with the factor built, {factor_seconds:.3f} s", f"{with_factor:.0f}x", "")


def whole_run(path: Path) -> None:
    """Everything a report holds, from a run on disk."""
    run = open_run(path)
    counts = run.manifest.counts
    sizes = f"{counts.prompts} prompts x {counts.modes} modes"
    print(f"\n{sizes}, {len(run.layers)} layers x {counts.width}")
    _, seconds, peak = measured(lambda: analyse(run))
    line(
        "the whole analysis of the run",
        f"{seconds:.1f} s, +{peak / GB:.2f} GB",
        "< 60 s for 1,000 x 3 x 30 x 576",
    )


PARTS: dict[str, Callable[[Sizes], None]] = {
    "scale": scale,
    "euclidean": exact_euclidean,
    "scikit-learn": rival,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory of the statistics.")
    parser.add_argument("--quick", action="store_true", help="small sizes: seconds, to see that it runs")
    parser.add_argument("--only", choices=PARTS, help="one part instead of all")
    parser.add_argument("--run", type=Path, help="instead: the whole analysis of this run")
    chosen = parser.parse_args()
    print(f"{os.cpu_count()} processors, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}")
    if chosen.run is not None:
        return whole_run(chosen.run)
    for part in [chosen.only] if chosen.only else PARTS:
        PARTS[part](QUICK if chosen.quick else FULL)


if __name__ == "__main__":
    main()
