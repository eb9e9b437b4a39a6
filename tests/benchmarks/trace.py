"""What patching all layers costs, against the plain collect of the same rows.

python -m tests.benchmarks.trace [MODEL] [--prompts 60] [--no-cut]

Seconds of this process' own work, so that others on the machine count little; the loops and the whole of
`collect` are timed apart. Without MODEL the demonstration's checkpoint is traced.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

import margin
from margin.capture.checkpoint import load_checkpoint
from margin.capture.hooks import n_layers
from margin.capture.prepare import load_inputs
from margin.capture.trace_rows import rows_of_run
from margin.capture.trace_ways import tracing
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.inputs.options import CaptureOptions
from margin.inputs.prompts import load_prompts
from margin.tracing.cut import cut
from margin.tracing.job import Job
from margin.tracing.patch import patch

PAIRS = ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default=checkpoint_path("cotrained"))
    parser.add_argument("--prompts", type=int, default=60)
    parser.add_argument("--no-cut", action="store_true")
    asked = parser.parse_args()
    table = load_prompts(prompts_path()).table
    prompts = table[table["language"] == "en"].head(asked.prompts).reset_index(drop=True)
    checkpoint = load_checkpoint(asked.model)
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(what: str) -> Iterator[None]:
        started = time.process_time()
        yield
        seconds[what] = time.process_time() - started

    with tempfile.TemporaryDirectory() as folder:
        with timed("margin collect, all of it"):
            run = margin.collect(
                checkpoint,
                prompts=prompts,
                modes=modes_path(),
                out=Path(folder) / "run",
                layers="all",
                decoys=0,
                quiet=True,
            )
        options = CaptureOptions(decoys=0, quiet=True)
        inputs = load_inputs(prompts, modes_path(), options, {})
        with checkpoint.evaluating():
            rows = rows_of_run(checkpoint, inputs, options, run)
            with tracing(checkpoint.model, rows.live) as ways:
                layers = tuple(range(n_layers(checkpoint.model) + 1))
                job = Job(checkpoint, ways, run, rows, PAIRS, layers, 1024, 0, None)
                with timed("the rows as they are, all layers caught"):
                    for some in job.tracer.batches(1024):
                        for token in range(job.k):
                            job.tracer.run(some, token, replay=False)
                with timed("patched: all pairs, all layers"):
                    patch(job, job.tracer, rows.live, job.marks, rows.places, (), {}, lambda rows: None)
                if not asked.no_cut:
                    with timed("cut: all layers"):
                        cut(job, lambda rows: None)
    plain = seconds["the rows as they are, all layers caught"]
    for what, spent in seconds.items():
        Console().print(f"{what:<42}{spent:8.1f} s{spent / plain:8.2f} x", highlight=False)


if __name__ == "__main__":
    main()
