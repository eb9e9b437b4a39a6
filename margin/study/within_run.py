"""Within a run: does the margin of a single row tell whether its answer comes out as it should?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.silhouette import mode_sums, silhouette
from margin.short import Short
from margin.stats.clusters import Clusters, make_clusters
from margin.stats.estimate import Estimate
from margin.stats.intervals import t_interval
from margin.stats.roc import COVERAGES, auc, risk_coverage, selective_risk, sensitivity
from margin.study.behaviour import judgements_of
from margin.study.spaces import clusters_of
from margin.study.study import HEADLINE, Study

FALSE_ALARMS = 0.01
"""Share of the right answers that may be flagged."""


@dataclass(frozen=True, eq=False)
class WithinRun(Short):
    """How well one margin of single rows tells which answers are not as they should be."""

    run: str
    margin: str
    """"leave_prompt_out" or "prompt_centred"."""
    rows: int
    """Rows of the modes whose answers were judged."""
    failed: int
    """Those with another label than is expected of their mode."""
    auc: Estimate
    """Probability that a row that failed has a lower margin than one of the same mode that did not."""
    auc_of_all: Estimate
    """The same over rows of all modes: it tells modes that fail and lie near others apart, too."""
    sensitivity: Estimate
    """Share of the failures found where 1% of the right answers are flagged."""
    risk: dict[float, Estimate]
    """Share of failures left among the rows with the largest margins, by the share of rows kept."""
    curve: pd.DataFrame
    """Columns coverage and risk, a line a different margin."""


def within_run(study: Study, name: str) -> list[WithinRun]:
    """Margins of single rows against their judged outcome; empty where answers were not judged, or it is
    not known what to expect of every mode."""
    judged = judgements_of(study.run)
    if judged is None or set(judged.expected) != set(study.run.modes):
        return []
    design, level = study.design, study.settings.level
    labels = judged.table.set_index("row")["label"].reindex(study.rows)
    known = labels.notna().to_numpy()
    if not known.any():
        return []
    wanted = np.array([judged.expected[mode] for mode in design.modes], dtype=object)[design.mode]
    failed = (labels.to_numpy() != wanted)[known]
    by_prompt = clusters_of(study.run, study.settings.cluster)
    ids = [design.prompt_ids[code] for code in design.prompt[known]]
    units = make_clusters(ids if by_prompt is None else by_prompt.reindex(ids).fillna(pd.Series(ids)))
    return [
        _found(name, margin, -samples[known], failed, units, design.mode[known], level)
        for margin, samples in (
            ("leave_prompt_out", study.headline.samples),
            ("prompt_centred", _centred_samples(study)),
        )
    ]


def over_runs(found: list[WithinRun], training: dict[str, str], level: float) -> dict[str, Estimate]:
    """Mean area within modes over the runs where there is one, by margin, with an interval over trainings.

    `n_prompts` counts runs, and `n_clusters` trainings.
    """
    means = {}
    for margin in dict.fromkeys(one.margin for one in found):
        there = [one for one in found if one.margin == margin and np.isfinite(one.auc.estimate)]
        if there:
            values = np.array([one.auc.estimate for one in there])
            over = make_clusters([training[one.run] for one in there])
            value = float(values.mean())
            means[margin] = t_interval(
                value, (values - value) / len(values), level, "over trainings, t", over=over
            )
    return means


def _found(
    name: str,
    margin: str,
    alarm: NDArray[np.float64],
    failed: NDArray[np.bool_],
    units: Clusters,
    mode: NDArray[np.intp],
    level: float,
) -> WithinRun:
    return WithinRun(
        run=name,
        margin=margin,
        rows=len(failed),
        failed=int(failed.sum()),
        auc=auc(alarm, failed, units, level, mode),
        auc_of_all=auc(alarm, failed, units, level),
        sensitivity=sensitivity(alarm, failed, units, FALSE_ALARMS, level),
        risk={share: selective_risk(alarm, failed, units, share, level) for share in COVERAGES},
        curve=risk_coverage(alarm, failed),
    )


def _centred_samples(study: Study) -> NDArray[np.float64]:
    """(N,) leave-prompt-out silhouettes after each prompt's mean over modes is taken away."""
    distances = study.space.centred_by_prompt(study.design).distances(HEADLINE)
    samples: NDArray[np.float64] = silhouette(
        mode_sums(distances, study.design).leave_prompt_out().mean, study.design.mode
    ).samples
    return samples
