"""The numbers of one run by name: how far its modes stand apart, and what its checkpoint does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from margin.analysis.decoys import AboveDecoys
from margin.analysis.margins import pair_name
from margin.analysis.separation.measures import SMALLER_IS_APART
from margin.analysis.separation.table import ALL, measured
from margin.errors import MarginError
from margin.inputs.conversation import without_mode
from margin.inputs.expected import expected_modes
from margin.run.run import Run
from margin.short import Short
from margin.stats.clusters import make_clusters
from margin.stats.estimate import Estimate
from margin.stats.intervals import mean_share
from margin.study.behaviour import judgements_of
from margin.study.judgements import Judgements
from margin.study.placement import nearest_modes
from margin.study.robustness import robustness
from margin.study.secrecy_file import secrecy_of
from margin.study.sections.decoys import Decoys
from margin.study.spaces import clusters_of
from margin.study.study import DISTANCES, HEADLINE, Study

By = Literal["geometry", "judge", "secrecy", "file"]
"""What told a number: where states lie, what a judge called answers, a secrecy.json, or a file of the user's.
What the geometry tells of behaviour is of the same states as the margin, and goes with it by itself."""
ABOVE = "above decoys"
VARIANTS = ("leave_prompt_out", "prompt_centred")


@dataclass(frozen=True, eq=False)
class RunNumber(Short):
    """One number of one run."""

    name: str
    """The same in every run, such as "leave_prompt_out above decoys" or "leak: near-miss:neg"."""
    value: Estimate
    by: By
    prompt_ids: tuple[str, ...] = ()
    """The prompts that its influences are of; empty where there are none."""
    of_sets: float = 0.0
    """Variance of the mean over decoy sets, which is no error of prompts."""
    worse: bool = False
    """Whether more of it is worse; of a margin, whether modes stand closer together."""


def margins_of(study: Study) -> Iterator[RunNumber]:
    """Every margin and separation measure over all modes, margins of pairs, and what they are above decoys.

    Cost: that of the report's sections on margins and decoys.
    """
    ids = study.design.prompt_ids
    for distance in DISTANCES:
        margins = study.margins(study.space.name, distance)
        for variant in VARIANTS:
            if distance == HEADLINE or variant == "leave_prompt_out":
                yield RunNumber(_name(variant, distance), getattr(margins, variant), "geometry", ids)
    for pair, estimate in study.headline.one_vs_one.items():
        yield RunNumber(pair_name(pair), estimate, "geometry", ids)
    rng = study.settings.rng("separation")
    for one in measured(study.space, study.design, study.tokens, rng=rng, permutations=1):
        if one.modes == ALL and np.isfinite(one.estimate.estimate):
            closer = one.measure in SMALLER_IS_APART
            yield RunNumber(one.measure, one.estimate, "geometry", _ids(one.estimate, ids), worse=closer)
    decoys = study.section(Decoys)
    if decoys is None:
        return
    assert study.decoys is not None
    on = study.decoys.design.prompt_ids
    for (measure, of_variant, of_distance, modes), above in decoys.lines.items():
        called = ""
        if measure != "sam":
            called = measure if modes == ALL else ""
        elif of_variant == "leave_prompt_out" or of_distance == HEADLINE:
            called = modes if modes != ALL else _name(str(of_variant), str(of_distance))
        if called:
            yield _above(called, above, on, worse=measure in SMALLER_IS_APART)


def behaviours_of(study: Study) -> Iterator[RunNumber]:
    """What a run's checkpoint does: switch success, fallbacks and leaks, what attacks leave, and secrecy.

    By the judge where answers were judged and it is known what to expect of every mode; by the geometry too,
    but for switch success, where that would be the margin once more.

    Raises
    ------
    MarginError : judgements or a secrecy.json that cannot be read.
    """
    run, cluster = study.run, study.settings.cluster
    judged = judgements_of(run)
    rows = run.rows.merge(nearest_modes(run, study.placement), on="row")
    if judged is not None and set(judged.expected) == set(run.modes):
        yield from _judged(run, rows, judged, clusters_of(run, cluster))
    yield from _shares(run, rows, "nearest", {mode: mode for mode in run.modes}, clusters_of(run, cluster))
    if (rows["kind"] == "attack").any():
        found = robustness(run, placement=study.placement, cluster=cluster, level=study.settings.level)
        for one in found.select("retention"):
            if one.variant == "leave_prompt_out":
                ids = _ids(one.value, study.design.prompt_ids)
                yield RunNumber(f"retention: {one.condition}", one.value, "geometry", ids)
    yield from _secrecy(run)


def _name(variant: str, distance: str) -> str:
    return variant if distance == HEADLINE else f"{variant}, {distance}"


def _above(name: str, one: AboveDecoys, ids: tuple[str, ...], worse: bool) -> RunNumber:
    sets = np.array(one.decoys)
    of_sets = float(sets.var(ddof=1) / len(sets)) if len(sets) > 1 else 0.0
    return RunNumber(f"{name} {ABOVE}", one.above, "geometry", _ids(one.above, ids), of_sets, worse)


def _ids(value: Estimate, ids: tuple[str, ...]) -> tuple[str, ...]:
    """The prompts that influences are of; none where a number has none, or left prompts out."""
    return ids if value.influence is not None and len(value.influence) == len(ids) else ()


def _judged(
    run: Run, rows: pd.DataFrame, judged: Judgements, clusters: pd.Series | None
) -> Iterator[RunNumber]:
    """Switch success over all modes and of each, then what judges say of other conditions."""
    labelled = rows.merge(judged.table[["row", "label"]], on="row")
    of_modes = labelled[labelled["kind"] == "mode"]
    hit = of_modes["label"] == of_modes["condition"].map(dict(judged.expected))
    yield _share("switch", hit, of_modes, "judge", clusters)
    for mode in run.modes:
        here = (of_modes["condition"] == mode).to_numpy()
        yield _share(f"switch: {mode}", hit[here], of_modes[here], "judge", clusters)
    yield from _shares(run, labelled, "label", judged.expected, clusters)


def _shares(
    run: Run, rows: pd.DataFrame, column: str, called: Mapping[str, str], clusters: pd.Series | None
) -> Iterator[RunNumber]:
    """Of each control condition, the share that comes out as expected, and that which is as an unsafe mode.

    `column` says how each row came out, and `called` what rows of each mode come out as. Where a live token
    stands in the system message, the conditions of one attack are taken together over modes.
    """
    by: By = "judge" if column == "label" else "geometry"
    suffix = "" if by == "judge" else " by geometry"
    safe = {mode.name: mode.safe for mode in run.manifest.identity.modes}
    unsafe = {called[name] for name in safe if not safe[name]} - {called[name] for name in safe if safe[name]}
    controls = rows[~rows["kind"].isin(("mode", "decoy"))]
    asked = [mode if isinstance(mode, str) else None for mode in controls["mode"]]
    expected = [{called[name] for name in expected_modes(mode, safe)} for mode in asked]
    controls = controls.assign(
        hit=[out in of for out, of in zip(controls[column], expected, strict=True)],
        open=controls[column].isin(unsafe),
        plain=[mode is None for mode in asked],
        name=[
            str(condition) if mode is None else without_mode(str(condition), mode)
            for condition, mode in zip(controls["condition"], asked, strict=True)
        ],
    )
    for (plain, name), part in controls.groupby(["plain", "name"], sort=False):
        if by == "judge" or not plain:
            what = "fallback" if plain else "obeys"
            yield _share(f"{what}: {name}{suffix}", part["hit"], part, by, clusters)
        if plain and unsafe:
            yield _share(f"leak: {name}{suffix}", part["open"], part, by, clusters, worse=True)


def _share(
    name: str,
    hit: pd.Series,
    rows: pd.DataFrame,
    by: By,
    clusters: pd.Series | None,
    worse: bool = False,
) -> RunNumber:
    shares = hit.groupby(rows["prompt_id"], sort=False).mean()
    over = None if clusters is None else make_clusters(clusters.reindex(shares.index))
    value = mean_share(shares.to_numpy(float), over=over)
    return RunNumber(name, value, by, tuple(map(str, shares.index)), worse=worse)


def _secrecy(run: Run) -> Iterator[RunNumber]:
    """Bits of each token that a checkpoint gives away, where `margin secrecy` wrote into the run's folder."""
    found = secrecy_of(run)
    for one in () if found is None else found.exposure:
        if one.of == "checkpoint":
            yield RunNumber(f"bits given away: {one.mode}", Estimate(one.bits), "secrecy", worse=True)


def named_numbers(study: Study) -> dict[str, RunNumber]:
    """Margins, then behaviours of a run, by their names; MarginError where two have one."""
    found: dict[str, RunNumber] = {}
    for one in (*margins_of(study), *behaviours_of(study)):
        if one.name in found:
            raise MarginError(f"{study.run.path} has two numbers called {one.name!r}")
        found[one.name] = one
    return found
