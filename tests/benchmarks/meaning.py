"""What decoys cost a collection, and clusters an analysis: python -m tests.benchmarks.meaning [--turns 3].

The tiny shipped model on 300 prompts, without decoys and with five sets on 100 of them, by turns; and every
cosine margin of 30,000 prompts x 3 modes, alone and in clusters of six, by turns. Ratios of medians of
processor seconds, so that what else a machine does counts little. Decoys are more rows, so that the share of
the rows is what they may cost at most.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from margin.analysis.margins import margins
from margin.analysis.space import Coordinates
from margin.capture.checkpoint import load_checkpoint
from margin.capture.collect import collect
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.inputs.modes_file import load_modes
from margin.inputs.prompts import load_prompts
from margin.stats.design import make_design

PROMPTS, ASKED, SETS = 300, 100, 5
POINTS, EACH = 90_000, 6


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--width", type=int, default=256, help="dimensions of the points")
    options = parser.parse_args()
    decoys(options.turns)
    clusters(options.turns, options.width)


def decoys(turns: int) -> None:
    """Collect with and without."""
    checkpoint, modes = load_checkpoint(checkpoint_path("cotrained")), load_modes(modes_path())
    prompts = load_prompts(prompts_path()).table.head(PROMPTS)

    def once(sets: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            collect(
                checkpoint,
                prompts=prompts,
                modes=modes,
                out=Path(folder) / "run",
                decoys=sets,
                decoy_prompts=ASKED,
                quiet=True,
            )

    seconds = by_turns({"without": partial(once, 0), "with": partial(once, SETS)}, turns)
    k = len(modes.names)
    share = (PROMPTS + SETS * ASKED) * k / (PROMPTS * k)
    print(
        f"collect {PROMPTS} prompts: {seconds['without']:.2f} s; with {SETS} sets of decoys on {ASKED} "
        f"{seconds['with']:.2f} s, x{seconds['with'] / seconds['without']:.2f} (rows x{share:.2f})",
        flush=True,
    )


def clusters(turns: int, width: int) -> None:
    """Margins with and without."""
    n = POINTS // 3
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 1, width), dtype=np.float32)
    X = X + rng.standard_normal((n, 3, width), dtype=np.float32)
    space = Coordinates(X.reshape(POINTS, width))
    modes, prompts = np.tile(["pos", "neg", "rej"], n), np.repeat(np.arange(n), 3)
    designs = {
        "prompts": make_design(modes, prompts),
        "clusters": make_design(modes, prompts, prompts // EACH),
    }
    work = {name: partial(margins, space, design) for name, design in designs.items()}
    seconds = by_turns(work, turns)
    print(
        f"margins of {POINTS:,} points of {width} dimensions: {seconds['prompts']:.2f} s; in clusters of "
        f"{EACH} {seconds['clusters']:.2f} s, x{seconds['clusters'] / seconds['prompts']:.2f}",
        flush=True,
    )


def by_turns(work: Mapping[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Median of the processor seconds of each, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(turns + 1):
        for name, once in work.items():
            started = time.process_time()
            once()
            if turn:
                seconds[name].append(time.process_time() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
