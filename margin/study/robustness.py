"""Where the control conditions of a run land, and what attacks leave of its margin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.metrics import Distance
from margin.analysis.robustness.assignment import Assignment
from margin.analysis.robustness.findings import Finding, Robustness
from margin.analysis.robustness.rates import corrected_rates
from margin.analysis.robustness.retention import changes_by_slice, retention
from margin.analysis.space import Coordinates, Space
from margin.inputs.condition import Rule
from margin.inputs.conditions import CONDITIONS, condition_of
from margin.inputs.conversation import without_mode
from margin.run.run import Run
from margin.stats.clusters import Clusters, make_clusters
from margin.stats.design import Design
from margin.stats.intervals import lower_bound, mean_share, upper_bound
from margin.study.placement import Placement, placement_of
from margin.study.spaces import clusters_of

OUTSIDE = "outside"
"""Outcome of points that lie outside the mode they are nearest to."""


def robustness(
    run: Run,
    *,
    columns: Sequence[str] = (),
    distance: Distance = "cosine",
    level: float = 0.95,
    placement: Placement | None = None,
    cluster: str | None = None,
) -> Robustness:
    """Say where the control conditions of a run land, how many prompts leak, and what margin attacks leave.

    Geometry is not behaviour: a point lands in a mode by the state its answer begins from, and what is then
    answered has to be judged by reading answers.

    Parameters
    ----------
    run : an opened run; without control rows there are no findings.
    columns : slice columns to repeat landings, fallbacks, leaks and changes of the margin by.
    distance : of the margins.
    level : nominal coverage of every interval and one-sided bound by itself.
    placement : where the run's rows stand; made of the run unless given.
    cluster : column of the prompts that names what hangs together; rates and bounds are then over clusters.

    Raises
    ------
    MarginError : fewer than two prompts.

    Cost: that of a few margins an attack; where users' texts are changed, O(N d^2 + d^3) a fold.
    """
    controls = run.rows[run.rows["kind"] != "mode"]
    placement = placement or placement_of(run, cluster=cluster)
    clusters = clusters_of(run, cluster)
    name, X, design = placement.space, placement.points, placement.design
    assignments: dict[Rule, Assignment] = {
        rule: placement.assignment(rule) for rule in controls["kind"].map(_rule).unique()
    }
    plain = Coordinates(X[placement.reference], name)
    points = _assigned(controls, assignments, run)
    labels = run.prompts.set_index("id")[list(columns)]
    findings = [
        _accuracy(rule, assignment, level, design.clusters) for rule, assignment in assignments.items()
    ]
    unsafe = {mode.name for mode in run.manifest.identity.modes if not mode.safe}
    for _, part in points.groupby("condition", sort=False):
        assignment = assignments[_rule(part["kind"].iloc[0])]
        asks_safe = part["mode"].iloc[0] not in unsafe
        for column, value, prompts in _groups(part, labels):
            about = {"column": column, "slice": value, **_about(part, assignment)}
            findings += _landings(prompts, assignment, run.modes, level, about, clusters)
            if asks_safe:
                findings += _bounds(prompts, level, about, clusters)
    for (condition, kind), rows in _crossed(controls, design).items():
        about = {"condition": condition, "kind": kind}
        there = ~np.isnan(rows)  # not all prompts, where some did not come to the measured token
        own, attacked = design.part(there), Coordinates(X[rows[there].astype(np.intp)], name)
        if own.n_units > 1:
            findings += _retention(plain.subset(there), attacked, own, labels, distance, level, about)
    return Robustness(name, tuple(findings), points)


def _rule(kind: str) -> Rule:
    return condition_of(kind).rule


def _assigned(controls: pd.DataFrame, assignments: dict[Rule, Assignment], run: Run) -> pd.DataFrame:
    """The table `Robustness.points` describes."""
    nearest, p_value, outside = (
        np.zeros(len(controls), int),
        np.ones(len(controls)),
        np.zeros(len(controls), bool),
    )
    for rule, assignment in assignments.items():
        of_rule = (controls["kind"].map(_rule) == rule).to_numpy()
        rows = controls["row"].to_numpy()[of_rule]
        nearest[of_rule] = assignment.nearest[rows]
        p_value[of_rule] = assignment.p_value[rows]
        outside[of_rule] = assignment.outside[rows]
    safe = np.array([mode.safe for mode in run.manifest.identity.modes])
    return controls.assign(
        nearest=np.asarray(run.modes, dtype=object)[nearest],
        p_value=p_value,
        outside=outside,
        fallback=safe[nearest] & ~outside,
        leak=~safe[nearest],
    )


def _accuracy(rule: Rule, assignment: Assignment, level: float, over: Clusters | None) -> Finding:
    return Finding(
        quantity="accuracy",
        condition="modes",
        kind="mode",
        value=assignment.accuracy(level, over),
        rule=rule,
        indicative=not assignment.reliable,
    )


def _groups(
    part: pd.DataFrame, labels: pd.DataFrame
) -> Iterator[tuple[str | None, str | None, pd.DataFrame]]:
    """The points of one condition over all prompts (no column, no value), then those of each slice."""
    yield None, None, part
    for column in labels:
        for value, of_slice in part.groupby(part["prompt_id"].map(labels[column]), sort=False):
            yield str(column), str(value), of_slice


def _landings(
    part: pd.DataFrame,
    assignment: Assignment,
    modes: Sequence[str],
    level: float,
    about: dict[str, Any],
    clusters: pd.Series | None,
) -> Iterator[Finding]:
    """Rates at which points of one condition land in each mode and outside."""
    outcome = part["nearest"].where(~part["outside"], OUTSIDE)
    landed = pd.get_dummies(outcome, dtype=float).reindex(columns=[*modes, OUTSIDE], fill_value=0.0)
    shares = landed.groupby(part["prompt_id"], sort=False).mean()
    over = _over(clusters, shares.index)
    corrected = corrected_rates(shares.mean().to_numpy(), assignment.confusion)
    for name, rate in zip(shares.columns, corrected, strict=True):
        yield Finding(
            quantity="landing",
            outcome=name,
            value=mean_share(shares[name].to_numpy(), level, over),
            corrected=float(rate),
            **about,
        )


def _bounds(
    part: pd.DataFrame, level: float, about: dict[str, Any], clusters: pd.Series | None
) -> Iterator[Finding]:
    """Fallback and leak of one condition, counted by prompt."""
    by_prompt = part.groupby("prompt_id", sort=False)
    safe, leaking = by_prompt["fallback"].all(), by_prompt["leak"].any()
    over = _over(clusters, safe.index)
    low, high = lower_bound(safe.to_numpy(), level, over), upper_bound(leaking.to_numpy(), level, over)
    yield Finding(quantity="fallback", value=low, count=int(safe.sum()), **about)
    yield Finding(quantity="leak", value=high, count=int(leaking.sum()), **about)


def _over(clusters: pd.Series | None, prompt_ids: pd.Index) -> Clusters | None:
    """The clusters of some prompts; None where prompts are independent."""
    return None if clusters is None else make_clusters(clusters.reindex(prompt_ids))


def _about(part: pd.DataFrame, assignment: Assignment) -> dict[str, Any]:
    """What the findings on one condition share."""
    first = part.iloc[0]
    return {
        "condition": first["condition"],
        "kind": first["kind"],
        "mode": first["mode"],
        "draws": int(part["draw"].max()) + 1,
        "rule": _rule(first["kind"]),
        "indicative": not assignment.reliable,
    }


def _retention(
    plain: Space,
    attacked: Space,
    design: Design,
    labels: pd.DataFrame,
    distance: Distance,
    level: float,
    about: dict[str, Any],
) -> Iterator[Finding]:
    """Margins under one attack, overall, prompt-centred and by slice."""
    about = about | {"variant": "leave_prompt_out"}
    overall = retention(plain, attacked, design, distance, level)
    centred = retention(
        plain.centred_by_prompt(design), attacked.centred_by_prompt(design), design, distance, level
    )
    for variant, found in (("leave_prompt_out", overall), ("prompt_centred", centred)):
        about_variant = about | {"variant": variant}
        yield Finding(quantity="margin", value=found.attacked, **about_variant)
        yield Finding(quantity="change", value=found.change, **about_variant)
        if found.share is not None:
            yield Finding(quantity="retention", value=found.share, **about_variant)
    for column in labels:
        changes = changes_by_slice(plain, attacked, design, labels[column], distance, level)
        for name, change in changes.items():
            yield Finding(quantity="change", value=change, column=str(column), slice=name, **about)


def _crossed(controls: pd.DataFrame, design: Design) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Rows of each condition that has a margin, in the order of the design's points, by name and kind; NaN
    where it was not asked of a prompt."""
    crossed = controls[controls["kind"].isin([c.name for c in CONDITIONS.values() if c.crossed])]
    names = [
        without_mode(condition, mode)
        for condition, mode in zip(crossed["condition"], crossed["mode"], strict=True)
    ]
    points = pd.MultiIndex.from_arrays(
        [
            np.asarray(names, dtype=object)[codes]
            for names, codes in ((design.prompt_ids, design.prompt), (design.modes, design.mode))
        ]
    )
    return {
        (str(name), str(part["kind"].iloc[0])): (
            part.set_index(["prompt_id", "mode"])["row"].reindex(points).to_numpy(float)
        )
        for name, part in crossed.groupby(names, sort=False)
    }
