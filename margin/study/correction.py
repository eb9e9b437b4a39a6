"""From judgements with a hand-labelled sample to corrected rates and the judge's own errors."""

from __future__ import annotations

import numpy as np
import pandas as pd

from margin.analysis.behaviour.audit import Sample, corrected_share, recall
from margin.analysis.behaviour.audited import Accuracy, Audit, CorrectedRate
from margin.stats.clusters import Clusters, make_clusters
from margin.stats.intervals import mean_share
from margin.study.judgements import AUDIT, Judgements


def audit_of(
    judgements: Judgements,
    table: pd.DataFrame,
    labels: list[str],
    level: float = 0.95,
    clusters: pd.Series | None = None,
) -> Audit | None:
    """The audit of a run's judgements; None where no person labelled any.

    Parameters
    ----------
    table : the judged rows with their labels: condition, kind, prompt_id, label, and the person's.
    labels : the judge's, in the order to show them; what only a person says comes behind.
    clusters : cluster of each prompt, by its id.
    """
    if AUDIT not in table:
        return None
    by_hand = table[AUDIT].dropna().unique()
    every = list(dict.fromkeys([*labels, *sorted(by_hand)]))
    rates = [
        rate
        for _, part in table.groupby("condition", sort=False)
        for rate in _rates(part, every, level, clusters)
    ]
    return Audit(
        judgements.judge, tuple(rates), tuple(_accuracies(judgements, table, every, level, clusters))
    )


def strata(table: pd.DataFrame) -> pd.Series:
    """Stratum of each row, 0 to S-1: its condition and the judge's label."""
    condition = pd.Series(pd.factorize(table["condition"])[0], table.index)
    return table.groupby([condition, table["label"]]).ngroup()


def _rates(
    part: pd.DataFrame, labels: list[str], level: float, clusters: pd.Series | None
) -> list[CorrectedRate]:
    first, sample, found = part.iloc[0], _sample(part, clusters), []
    for label in labels:
        said, called = (part["label"] == label).to_numpy(), (part[AUDIT] == label).to_numpy()
        shares = np.bincount(sample.prompt, said) / np.bincount(sample.prompt)
        found.append(
            CorrectedRate(
                condition=first["condition"],
                kind=first["kind"],
                label=label,
                judged=mean_share(shares, level, sample.over),
                corrected=corrected_share(sample, called, level),
                answers=len(part),
                audited=int(sample.labelled.sum()),
            )
        )
    return found


def _accuracies(
    judgements: Judgements,
    table: pd.DataFrame,
    labels: list[str],
    level: float,
    clusters: pd.Series | None,
) -> list[Accuracy]:
    """Over the modes' answers: controls and decoys have as many draws as somebody asked for."""
    table = table[table["kind"] == "mode"].reset_index(drop=True)
    sample, found = _sample(table, clusters), []
    of_stratum = table["label"].groupby(sample.stratum).first().to_numpy()
    for label in labels:
        called, said = (table[AUDIT] == label).to_numpy(), of_stratum == label
        found.append(
            Accuracy(
                label=label,
                modes=tuple(mode for mode, one in judgements.expected.items() if one == label),
                said=float((table["label"] == label).mean()),
                sensitivity=recall(sample, called, said, level),
                specificity=recall(sample, ~called, ~said, level),
                hits=int((sample.labelled & called).sum()),
                audited=int(sample.labelled.sum()),
            )
        )
    return found


def _sample(part: pd.DataFrame, clusters: pd.Series | None) -> Sample:
    prompt, ids = pd.factorize(part["prompt_id"])
    over: Clusters | None = None if clusters is None else make_clusters(clusters.reindex(ids))
    return Sample(
        strata(part).to_numpy().astype(np.intp), part[AUDIT].notna().to_numpy(), prompt.astype(np.intp), over
    )
