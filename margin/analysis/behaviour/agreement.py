"""Do two raters of a run's rows, its geometry and a judge of its answers, say the same?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.intervals import mean_share, t_interval

METHOD = "jackknife over prompts, t"


def agreement(
    a: Sequence[str],
    b: Sequence[str],
    prompts: Sequence[str],
    level: float = 0.95,
    over: Clusters | None = None,
) -> tuple[Estimate, Estimate | None]:
    """Share of rows on which two raters agree, and Cohen's kappa.

    The share counts prompts alike, whatever their number of rows. Kappa (Cohen, 1960, "A coefficient of
    agreement for nominal scales") is what the raters agree beyond chance, over what they could: 1 at full
    agreement, 0 at chance. None where both always say the same one thing; without an interval where they
    agree on every row, or where it hangs on a single prompt: the jackknife sees no spread there.

    Parameters
    ----------
    a, b : (N,) labels of the two raters.
    prompts : (N,) prompt of each row, the unit of the intervals.
    over : the clusters of the prompts, in the order of first appearance; the unit then.
    """
    same = np.asarray(a, dtype=object) == np.asarray(b, dtype=object)
    codes, ids = pd.factorize(np.asarray(prompts, dtype=object))
    shares = np.bincount(codes, same) / np.bincount(codes)
    if over is not None:
        codes, n = over.code[codes], len(over)
    else:
        n = len(ids)
    return mean_share(shares, level, over), _kappa(a, b, codes, n, level, len(ids), over)


def _kappa(
    a: Sequence[str],
    b: Sequence[str],
    unit: NDArray[np.intp],
    n: int,
    level: float,
    n_prompts: int,
    over: Clusters | None,
) -> Estimate | None:
    labels, codes = np.unique(np.concatenate([np.asarray(a, str), np.asarray(b, str)]), return_inverse=True)
    first, second = codes[: len(a)], codes[len(a) :]
    if len(labels) < 2:
        return None
    tables = np.zeros((n, len(labels), len(labels)))
    np.add.at(tables, (unit, first, second), 1)
    whole = tables.sum(axis=0)
    value, without = float(_kappas(whole[None])[0]), _kappas(whole - tables)
    if n < 2 or not np.isfinite(without).all() or np.ptp(without) == 0:
        return Estimate(value, n_prompts=n_prompts, n_clusters=None if over is None else n)
    influence = (n - 1) / n * (without.mean() - without)
    found = t_interval(value, influence, level, METHOD)
    found = replace(found, n_prompts=n_prompts, n_clusters=None if over is None else n)
    low, high = (None if end is None else min(max(end, -1.0), 1.0) for end in (found.low, found.high))
    return replace(found, low=low, high=high)


def _kappas(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kappa of each of (n, k, k) tables of counts; NaN where it is not defined."""
    total = tables.sum(axis=(1, 2))
    observed = np.trace(tables, axis1=1, axis2=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / total
        kappas: NDArray[np.float64] = (observed - chance) / (total - chance)
    return kappas
