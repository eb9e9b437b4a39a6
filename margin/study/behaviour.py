"""From the judgements of a run's rows to its behaviour: what was asked for, and what was answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from margin.analysis.behaviour.agreement import agreement
from margin.analysis.behaviour.findings import MODES, Behaviour, Observation
from margin.analysis.behaviour.scores import constructive_safety, cosa
from margin.errors import MarginError
from margin.run.run import Run
from margin.run.run_tables import ANSWERS
from margin.stats.clusters import Clusters, make_clusters
from margin.stats.intervals import share_of_prompts
from margin.study.correction import audit_of
from margin.study.judgements import Judgements, expecting, judge_refusals
from margin.study.judgements_file import read_judgements
from margin.study.placement import Placement, nearest_modes, placement_of
from margin.study.spaces import clusters_of


def judgements_of(run: Run) -> Judgements | None:
    """The judgements kept with a run, else the refusal matcher's of its answers, else None."""
    kept = read_judgements(run)
    if kept is None and ANSWERS in run.manifest.files:
        kept = expecting(judge_refusals(run), run.modes)
    return kept


def behaviour(
    run: Run,
    judgements: Judgements,
    *,
    level: float = 0.95,
    text: bool = False,
    placement: Placement | None = None,
    cluster: str | None = None,
) -> Behaviour:
    """Say what was observed under each mode asked for and each control condition, and whether the geometry
    agrees.

    Geometry and judge are compared by labels: the one expected of the mode that a row is nearest to, on other
    prompts' fits, and the judge's. A row outside of every mode counts for the nearest, as for leaks.

    Parameters
    ----------
    level : nominal coverage of each interval by itself.
    text : list prompts and answers with the disagreements.
    placement : where the run's rows stand; made of the run unless given.
    cluster : column of the prompts that names what hangs together; intervals are then over clusters.

    Raises
    ------
    MarginError : judgements of rows the run does not have; fewer than two prompts.
    """
    table = run.rows.merge(judgements.table, on="row", how="inner")
    if len(table) != len(judgements.table):
        raise MarginError(f"judge {judgements.judge} labels rows that {run.path} does not have")
    clusters = clusters_of(run, cluster)
    labels = _labels(judgements, run.modes)
    observed = list(_observed(table, labels, level, clusters))
    scored = list(_scored(table, level, clusters))
    compared = table.iloc[:0].assign(nearest="", outside=False, expected="")
    agreed: list[Observation] = []
    if set(judgements.expected) == set(run.modes):
        compared = table.merge(nearest_modes(run, placement or placement_of(run, cluster=cluster)), on="row")
        compared = compared.assign(expected=compared["nearest"].map(dict(judgements.expected)))
        agreed = list(_agreed(compared, level, clusters))
    listed = _disagreements(compared, run if text else None)
    audit = audit_of(judgements, table, labels, level, clusters)
    found = (*observed, *scored, *agreed)
    return Behaviour(judgements.judge, dict(judgements.expected), found, listed, audit)


def _labels(judgements: Judgements, modes: list[str]) -> list[str]:
    """Every label, those expected first, in the order of the modes."""
    found = sorted(set(judgements.table["label"]))
    first = dict.fromkeys(judgements.expected[mode] for mode in modes if mode in judgements.expected)
    return list(dict.fromkeys([*first, *found]))


def _observed(
    table: pd.DataFrame, labels: list[str], level: float, clusters: pd.Series | None
) -> Iterator[Observation]:
    for _, part in table.groupby("condition", sort=False):
        over = _over(part, clusters)
        for label in labels:
            here = part["label"] == label
            hits = here.groupby(part["prompt_id"], sort=False).any().to_numpy()
            value = share_of_prompts(hits, level, over)
            count, answers = int(hits.sum()), int(here.sum())
            about = {"label": label, "count": count, "answers": answers, **_about(part)}
            yield Observation(quantity="observed", value=value, **about)


def _scored(table: pd.DataFrame, level: float, clusters: pd.Series | None) -> Iterator[Observation]:
    for part, about in _parts(table):
        prompts, over = pd.factorize(part["prompt_id"])[0], _over(part, clusters)
        columns = {
            name: part[name].to_numpy(float)
            for name in ("constructive", "helpfulness", "safety")
            if name in part
        }
        if "constructive" in columns:
            value = constructive_safety(columns["constructive"], prompts, level, over)
            yield Observation(quantity="constructive_safety", value=value, **about)
        if {"helpfulness", "safety"} <= set(columns):
            value = cosa(columns["helpfulness"], columns["safety"], prompts, level, over)
            yield Observation(quantity="cosa", value=value, **about)


def _agreed(table: pd.DataFrame, level: float, clusters: pd.Series | None) -> Iterator[Observation]:
    for part, about in _parts(table):
        about["indicative"] = not part["reliable"].all()
        share, kappa = agreement(
            part["expected"].tolist(),
            part["label"].tolist(),
            part["prompt_id"].tolist(),
            level,
            _over(part, clusters),
        )
        yield Observation(quantity="agreement", value=share, **about)
        # Under one condition nearly all rows are of one label, and kappa is 0 or below however many agree.
        if kappa is not None and about["condition"] == MODES:
            yield Observation(quantity="kappa", value=kappa, **about)


def _over(part: pd.DataFrame, clusters: pd.Series | None) -> Clusters | None:
    """Clusters of the prompts of some rows, in their order; None where prompts are independent."""
    return None if clusters is None else make_clusters(clusters.reindex(part["prompt_id"].unique()))


def _parts(table: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, dict[str, Any]]]:
    """All modes together, then each condition, and what describes it."""
    of_modes = table[table["kind"] == "mode"]
    if len(of_modes):
        yield of_modes, {"condition": MODES, "kind": "mode"}
    for _, part in table.groupby("condition", sort=False):
        yield part, _about(part)


def _about(part: pd.DataFrame) -> dict[str, Any]:
    first = part.iloc[0]
    return {
        "condition": first["condition"],
        "kind": first["kind"],
        "mode": first["mode"],
        "draws": int(part["draw"].max()) + 1,
    }


def _disagreements(table: pd.DataFrame, texts: Run | None) -> pd.DataFrame:
    differing = table[table["expected"] != table["label"]]
    columns = ["row", "prompt_id", "condition", "draw", "nearest", "outside", "expected", "label"]
    listed = differing[columns].reset_index(drop=True)
    if texts is None:
        return listed
    prompts = texts.prompts.set_index("id")["prompt"]
    listed = listed.assign(prompt=listed["prompt_id"].map(prompts))
    if ANSWERS in texts.manifest.files:
        listed = listed.assign(answer=listed["row"].map(texts.answers.set_index("row")["answer"]))
    return listed
