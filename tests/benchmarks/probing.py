"""Time of mode probes, and where it goes: python -m tests.benchmarks.probing [--quick] [--jobs N].

Prints one line a figure with the target it is held against. Rows are random with the structure of hidden
states: prompts that differ, in directions of very different size, a large offset that all share, modes that
grow apart over the layers.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from margin.probes import cross_fit, d_primes, grouped_folds, make_rows, probe_layers, transfer
from margin.probes.calibration import calibration_error
from margin.probes.control import selectivity
from margin.probes.performance import auc
from margin.probes.transfer import domain_folds
from margin.stats.design import Design

Array = np.ndarray[Any, Any]
T = TypeVar("T")
MODES = 3
TARGET = 120
"""Seconds for 30 layers x 3,000 rows x 576 on two cores."""


def states(n: int, width: int, strength: float) -> Array:
    """(n * MODES, width) float32 states, prompt by prompt."""
    rng, fixed = np.random.default_rng(1), np.random.default_rng(0)
    scale = 10 ** fixed.uniform(-1.5, 0.5, width)
    offset, effects = 30 * fixed.standard_normal(width), strength * fixed.standard_normal((MODES, width)) / 10
    gain = rng.gamma(4, 0.25, (n, 1, 1))
    noise = rng.standard_normal((n, MODES, width)) + rng.standard_normal((n, 1, width))
    mixing = np.linalg.qr(fixed.standard_normal((width, width)))[0] * scale
    return (((noise + gain * effects) @ mixing + offset).reshape(-1, width)).astype(np.float32)


def layers(number: int, n: int, width: int) -> Iterator[tuple[int, Array]]:
    for layer in range(number):
        yield layer, states(n, width, 3 * layer / number)


def measured(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    out = work()
    return out, time.perf_counter() - start


def line(what: str, figure: str, target: str = "") -> None:
    print(f"{what:58}{figure:>16}   {target}", flush=True)


def parts(X: Array, rows: Design, fold: Array) -> None:
    """Where the time of one layer goes."""
    rng = np.random.default_rng(0)
    found, seconds = measured(lambda: cross_fit(X, rows, fold))
    line("  mode probe, 5 fits", f"{seconds:.2f} s")
    line("  control task, 5 fits", f"{measured(lambda: selectivity(X, found, rng))[1]:.2f} s")
    line("  directions and d', 5 folds", f"{measured(lambda: d_primes(X, rows, fold))[1]:.2f} s")
    scored = measured(lambda: (auc(found), calibration_error(found, rng)))[1]
    line("  AUC and calibration with intervals", f"{scored:.2f} s")
    domains = np.where(rows.prompt % 2, "one", "other")
    folds = domain_folds(rows, domains)
    line("  transfer between two slices", f"{measured(lambda: transfer(X, rows, domains, folds))[1]:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows and layers")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    number, n, width = (3, 100, 64) if options.quick else (30, 1000, 576)
    print(f"{number} layers x {n * MODES:,} rows x {width}, {os.cpu_count()} cores")
    rows = make_rows(np.tile(np.arange(MODES), n), np.repeat(np.arange(n), MODES))
    fold, seconds = measured(lambda: grouped_folds(rows))
    line("folds of whole prompts", f"{seconds:.2f} s")
    print("one layer halfway, on one thread as in `probe_layer`:")
    with threadpool_limits(limits=1):
        parts(states(n, width, 1.5), rows, fold)
    data = [*layers(number, n, width)]
    for jobs in sorted({1, options.jobs}):
        found, seconds = measured(partial(probe_layers, data, rows, fold, n_jobs=jobs))
        target = "" if options.quick else f"< {TARGET} s"
        line(f"all layers, {jobs} process{'es' if jobs > 1 else ''}", f"{seconds:.1f} s", target)
    print(f"accuracy of the last layer {found.layers[-1].accuracy.estimate:.3f}; {found.deciding.rule}")


if __name__ == "__main__":
    main()
