"""How collecting grows: seconds for more and more rows, and resident memory while many are collected.

python -m tests.benchmarks.growth [--rows 1000 4000 16000] [--memory-rows 20000] [--turns 3]

The tiny shipped model with every layer kept. Each count of rows is collected `--turns` times, by turns; the
median counts. Beside all of it stand the loop alone and what comes before and after (rendering the rows, the
probes, the head pass). Memory is the median of the process while a thousand rows are collected, above what it
holds once the model is loaded and has run; the last line has the head pass in it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from rich.console import Console
from rich.table import Table

from margin.capture.checkpoint import Checkpoint, load_checkpoint
from margin.capture.collect import collect
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.inputs.modes_file import load_modes
from tests.throughput import throughput

SHARD = 500
"""Rows of a shard: how finely progress is seen."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 4000, 16000])
    parser.add_argument("--memory-rows", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    console = Console(highlight=False)
    checkpoint = load_checkpoint(checkpoint_path("cotrained"))
    run(checkpoint, 500)  # libraries' first calls
    console.print(memory(checkpoint, options.memory_rows))
    console.print(growth(checkpoint, options.rows, options.turns))


def run(checkpoint: Checkpoint, rows: int, folder: Path | None = None) -> tuple[float, float]:
    """Seconds that collecting takes, and its loop, for at least so many rows."""
    modes = load_modes(modes_path())
    with tempfile.TemporaryDirectory() as temporary:
        started = time.perf_counter()
        made = collect(
            checkpoint,
            prompts=prompts_of(-(-rows // len(modes.names))),
            modes=modes,
            out=(folder or Path(temporary)) / "run",
            layers="all",
            shard_rows=SHARD,
            decoys=0,
            quiet=True,
        )
        return time.perf_counter() - started, throughput(made.manifest).seconds or 0.0


def prompts_of(count: int) -> pd.DataFrame:
    """So many different prompts: those of the demonstration, with a number."""
    texts = pd.read_json(prompts_path(), lines=True)["prompt"]
    return pd.DataFrame({"prompt": [f"{texts[i % len(texts)]} ({i})" for i in range(count)]})


def growth(checkpoint: Checkpoint, counts: list[int], turns: int) -> Table:
    """Seconds by rows; linear growth is one figure in the last column."""
    taken: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    for _ in range(turns):
        for count in counts:
            taken[count].append(run(checkpoint, count))
    table = Table("rows", "seconds", "the loop", "before and after", "seconds a 1000 rows", box=None)
    for count, pairs in taken.items():
        whole, loop = (statistics.median(values) for values in zip(*pairs, strict=True))
        table.add_row(
            f"{count:,}", f"{whole:.1f}", f"{loop:.1f}", f"{whole - loop:.1f}", f"{1000 * whole / count:.2f}"
        )
    return table


def memory(checkpoint: Checkpoint, rows: int) -> Table:
    """Resident memory by rows that are on disk, and the largest while nothing more is collected."""
    process = psutil.Process(os.getpid())
    before = process.memory_info().rss
    seen: list[tuple[int, float]] = []
    done = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder) / "run" / "shards"

        def watch() -> None:
            while not done.wait(0.02):
                written = len(list(shards.glob("*.safetensors"))) * SHARD
                seen.append((min(written, rows), (process.memory_info().rss - before) / 2**20))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            run(checkpoint, rows, Path(folder))
        finally:
            done.set()
            watcher.join()
    table = Table("rows on disk", "MiB above the loaded model", "largest so far", box=None)
    found = np.array(seen)
    for count in [*range(1000, rows, 1000), rows]:
        at = found[(found[:, 0] > count - 1000) & (found[:, 0] <= count), 1]
        if len(at) and (count % 2000 == 0 or count == 1000):
            table.add_row(f"{count:,}", f"{np.median(at):.0f}", f"{found[found[:, 0] <= count, 1].max():.0f}")
    return table


if __name__ == "__main__":
    main()
