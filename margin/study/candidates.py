"""Which margin to gate on: the one that tells best what checkpoints do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from margin.stats.association import t_on_z
from margin.stats.estimate import Estimate
from margin.stats.intervals import t_interval
from margin.stats.rank_correlation import Float
from margin.study.related_runs import Runs
from margin.study.relation import Candidate, Pair


def candidates_of(pairs: Sequence[Pair], runs: Runs, level: float) -> tuple[list[Candidate], list[str]]:
    """Margins by how well they tell behaviours, those that a judge or a file told where there are any.

    Only behaviours count that every margin could be related to, in all runs.
    """
    n, clusters = len(runs.names), runs.clusters
    whole = [pair for pair in pairs if pair.runs == n and np.isfinite(pair.association.spearman.estimate)]
    told = [pair for pair in whole if pair.by != "geometry"] or whole
    margins = list(dict.fromkeys(pair.margin for pair in told))
    counted = [
        name
        for name in dict.fromkeys(pair.behaviour for pair in told)
        if sum(pair.behaviour == name for pair in told) == len(margins)
    ]
    if not counted:
        return [], []
    rows = {
        margin: [pair for pair in told if pair.margin == margin and pair.behaviour in counted]
        for margin in margins
    }
    ordered = sorted(margins, key=lambda name: -float(np.mean([pair.oriented for pair in rows[name]])))
    of_best = _influence(rows[ordered[0]])
    found = []
    for margin in ordered:
        values, U = [pair.oriented for pair in rows[margin]], _influence(rows[margin])
        value, best = float(np.mean(values)), float(np.mean([pair.oriented for pair in rows[ordered[0]]]))
        worst = min(rows[margin], key=lambda pair: pair.oriented)
        mean = Estimate(value, n_prompts=n, n_clusters=len(clusters))
        behind = Estimate(value - best, n_prompts=n, n_clusters=len(clusters))
        if U is not None and of_best is not None:
            mean, _ = t_on_z(value, U, clusters, level)
            if margin != ordered[0]:
                behind = t_interval(value - best, U - of_best, level, over=clusters)
        found.append(Candidate(margin, mean, worst.oriented, worst.behaviour, behind))
    return found, counted


def _influence(pairs: Sequence[Pair]) -> Float | None:
    """(n,) of checkpoints on the mean of Spearman's over behaviours; None where one has none."""
    found = [
        pair.sign * pair.association.spearman.influence
        for pair in pairs
        if pair.association.spearman.influence is not None
    ]
    return np.mean(found, axis=0) if len(found) == len(pairs) else None
