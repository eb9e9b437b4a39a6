"""How many rows one machine takes: python -m tests.benchmarks.scale [--rows 5000 20000 50000] [--to 200000].

Runs `margin collect` (the shipped tiny model, its last layer) and `margin report` as programs of their own,
on more and more rows, and prints their processor time and largest memory; beside them what each row more
costs, which stays the same where all is linear, and what that comes to at `--to` rows.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

from margin.demo import checkpoint_path, modes_path
from tests.benchmarks.growth import prompts_of

MODES = 3
COMMANDS = ("collect", "report")
GIB, KIB = 2**30, 2**10


@dataclass(frozen=True)
class Cost:
    """What a program took."""

    rows: int
    seconds: float
    """Of processors, by itself and by the kernel for it."""
    peak: float
    """Bytes resident at most."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[5000, 20_000, 50_000])
    parser.add_argument("--to", type=int, default=200_000)
    options = parser.parse_args()
    costs: dict[str, list[Cost]] = {command: [] for command in COMMANDS}
    for rows in options.rows:
        for command, cost in costs_of(rows):
            costs[command].append(cost)
            took = f"{cost.seconds:.1f} s, {cost.peak / GIB:.2f} GiB"
            print(f"{command} {cost.rows:,} rows: {took}", flush=True)
    for command in COMMANDS:
        Console(highlight=False).print(table_of(command, costs[command], options.to))


def costs_of(rows: int) -> Iterator[tuple[str, Cost]]:
    """What collecting so many rows takes, then reporting on them."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prompts, run = folder / "prompts.jsonl", folder / "run"
        prompts_of(-(-rows // MODES)).to_json(prompts, orient="records", lines=True)
        asked = ["--prompts", prompts, "--modes", modes_path(), "--out", run, "--quiet"]
        yield "collect", cost(rows, "collect", checkpoint_path("cotrained"), *asked, "--decoys", "0")
        yield "report", cost(rows, "report", run, "--quiet")


def cost(rows: int, *arguments: object) -> Cost:
    """What a command takes; RuntimeError where it fails."""
    command = [sys.executable, "-m", "margin", *map(str, arguments)]
    child = os.posix_spawn(sys.executable, command, os.environ)
    _, status, used = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return Cost(rows, used.ru_utime + used.ru_stime, used.ru_maxrss * KIB)


def table_of(command: str, costs: list[Cost], to: int) -> Table:
    """Seconds and memory by rows, each step's cost a row more, and the last step carried on to `to` rows."""
    table = Table("rows", "s of CPU", "ms a row more", "GiB at most", "kB a row more", box=None)
    table.title = f"margin {command}"
    first, *_ = costs
    table.add_row(f"{first.rows:,}", f"{first.seconds:.1f}", "", f"{first.peak / GIB:.2f}", "")
    for before, after in pairwise(costs):
        more = after.rows - before.rows
        seconds, peak = (after.seconds - before.seconds) / more, (after.peak - before.peak) / more
        shown = f"{1e3 * seconds:.2f}", f"{after.peak / GIB:.2f}", f"{peak / 1e3:.1f}"
        table.add_row(f"{after.rows:,}", f"{after.seconds:.1f}", *shown)
    if len(costs) > 1:
        more = to - after.rows
        at = f"{after.seconds + seconds * more:.0f}", "", f"{(after.peak + peak * more) / GIB:.2f}", ""
        table.add_row(f"{to:,}, not run", *at)
    return table


if __name__ == "__main__":
    main()
