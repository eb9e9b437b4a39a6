"""Does what a probe learnt in one place hold in another: under attack, in another slice or language?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from margin.arguments import require_count, require_level
from margin.probes import checks
from margin.probes.logistic import fit_rows
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.stats.folds import grouped_folds, widening
from margin.stats.intervals import proportion


def domain_folds(rows: Design, domains: ArrayLike, folds: int = 5, seed: int = 0) -> NDArray[np.intp]:
    """(N,) folds that keep prompts whole over all domains, with modes and domains spread evenly.

    Raises
    ------
    ValueError : a single domain, or none with two prompts.
    MarginError : domains of another number, or one that is missing.

    Example
    -------
    >>> from margin.probes import make_rows
    >>> rows = make_rows(modes=["pos", "neg"] * 20, prompts=[i // 2 for i in range(40)])
    >>> fold = domain_folds(rows, domains=["en"] * 20 + ["zh"] * 20, folds=5)
    >>> [len({*fold[:20]}), len({*fold[20:]})]  # each fold holds prompts of both languages
    [5, 5]
    """
    require_count(folds, "folds", 2)
    _, domain = np.unique(checks.domains(domains, rows), return_inverse=True)
    if not np.ptp(domain):
        raise ValueError("a transfer needs at least two domains")
    largest = int(
        np.bincount(np.unique(np.column_stack([domain, rows.unit[rows.prompt]]), axis=0)[:, 0]).max()
    )
    if largest < 2:
        raise ValueError("a transfer needs a domain of at least two prompts")
    cells = replace(rows, mode=np.unique(domain * rows.n_modes + rows.mode, return_inverse=True)[1])
    return grouped_folds(cells, min(folds, largest), seed)


def transfer(
    X: ArrayLike,
    rows: Design,
    domains: ArrayLike,
    fold: ArrayLike,
    level: float = 0.95,
    probe: Any = None,
) -> pd.DataFrame:
    """Accuracy of probes fitted on the rows of one domain and tried on those of each.

    One rule for all cells: a row is read by the probe of the source domain that was fitted without its
    fold, so never by one that has met its prompt, be it in another domain. Where source and target are the
    same this is plain cross-validation. Prompts that translate each other count as different unless they
    share an id.

    Parameters
    ----------
    X : (N, d) rows of all domains.
    domains : (N,) names; a prompt may have rows in several (clean and attacked) or in one (a slice).
    fold : (N,) as `domain_folds` makes them.

    Returns
    -------
    One line a source and target: source, target and the fields of `Estimate`; the interval is over the
    target's prompts, for these probes on new prompts. NaN where the source lacks a mode outside a fold, or
    the target holds a single prompt; the method then says so. Costs one fit a source and fold. MarginError as
    `cross_fit` and `domain_folds`.

    Example
    -------
    >>> import numpy as np
    >>> from margin.probes import make_rows
    >>> rng = np.random.default_rng(0)
    >>> modes, prompts = ["neg", "pos"] * 30, np.repeat(range(30), 2)
    >>> X = rng.normal(size=(60, 4)) + np.tile([[0.0], [2.0]], (30, 4))
    >>> rows, language = make_rows(modes, prompts), ["en"] * 30 + ["zh"] * 30
    >>> X[30:] *= -1  # in the second language the modes stand the other way about
    >>> found = transfer(X, rows, language, domain_folds(rows, language))
    >>> found.pivot(index="source", columns="target", values="estimate").round(1)
    target   en   zh
    source
    en      1.0  0.5
    zh      0.5  0.9
    """
    require_level(level)
    checks.require_estimator(probe, "predict")
    X, fold = checks.states(X, rows), checks.folds(fold, rows)
    names, domain = np.unique(checks.domains(domains, rows), return_inverse=True)
    lines = []
    for s, source in enumerate(names):
        correct, reason = np.zeros(rows.n_points), ""
        for f in range(int(fold.max()) + 1):
            training, held_out = (domain == s) & (fold != f), fold == f
            try:
                with threadpool_limits(limits=1):  # as `probe_layer`
                    fit = fit_rows(X[training], rows.mode[training], rows.n_modes, probe)
            except ValueError as error:
                reason = str(error)
                break
            correct[held_out] = fit.predict(X[held_out]) == rows.mode[held_out]
        for t, target in enumerate(names):
            score = _score(correct, rows, domain == t, fold, level, reason)
            lines.append({"source": str(source), "target": str(target), **score.to_dict()})
    return pd.DataFrame(lines)


def _score(
    correct: NDArray[np.float64],
    rows: Design,
    tried: NDArray[np.bool_],
    fold: NDArray[np.intp],
    level: float,
    reason: str,
) -> Estimate:
    target, values = rows.part(tried), correct[tried]
    if target.n_units < 2:
        reason = reason or "a single prompt to try"
    if reason:
        return Estimate(np.nan, method=f"skipped: {reason}", n_prompts=target.n_prompts)
    influence = target.influence(values) * widening(fold)
    return proportion(float(values.mean()), influence, level, over=target.clusters)
