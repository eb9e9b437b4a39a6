"""Numbers of several runs set against each other: every margin against every behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from margin.arguments import named, require_count, require_level, require_names
from margin.errors import MarginError
from margin.run.run import Run
from margin.stats.association import FEWEST, associate
from margin.stats.attenuation import Measured
from margin.stats.multiplicity import holm
from margin.stats.rank_correlation import Float
from margin.study.candidates import candidates_of
from margin.study.numbers import RunNumber, behaviours_of, margins_of
from margin.study.related_runs import Runs, of_file, open_runs, with_error
from margin.study.relation import Pair, Relation
from margin.study.settings import Settings
from margin.study.study import Study
from margin.study.within_run import WithinRun, over_runs, within_run
from margin.text import counted, shown

ROUNDING = 1e-9
"""Difference of two shares that is nothing but rounding."""
Numbers = dict[str, list[RunNumber | None]]
"""Numbers by name, one of each run; None where a run has not got it."""


@named
def relate(
    runs: Sequence[Run | str | Path],
    *,
    training: str | Path | Mapping[str, str] | None = None,
    margins: Sequence[str] = (),
    behaviours: Sequence[str] = (),
    numbers: Sequence[str] = (),
    level: float = 0.95,
    seed: int = 0,
    across: Sequence[str] = (),
    cluster: str | None = None,
) -> Relation:
    """Whether margins of checkpoints tell what these do, and which of the margins tells it best.

    Every margin and separation measure, as it stands and above decoys, against everything the runs say of
    behaviour: switch success, fallbacks and leaks by the judge's labels (`margin.judge`), leaks and retention
    by the geometry, bits of the tokens given away. Rank correlations come with intervals over trainings, the
    correlation without measurement error, and that with the step of training held. A correlation is no cause:
    trainings differ in more than their margin.

    Parameters
    ----------
    runs : five or more of different checkpoints, asked alike on the same prompts.
    training : which checkpoints are of one training, and so no independent evidence. The path of a table
        (CSV, JSON lines, Parquet) with the columns run (its folder, or the name of that) and training, and
        step where it is known; "folder" where runs of one training lie in one folder; or a mapping by run.
        None takes each run for a training of its own. Steps are else told by names such as checkpoint-100.
    margins, behaviours : those whose names begin with one of these; all unless given.
    numbers : columns of that table which hold behaviours measured elsewhere, more being better.
    level : nominal coverage of each interval by itself.
    seed : of what is drawn: folds of measures, and prompts measured again.
    across : what runs may differ in that their models were asked, as for `margin.compare`.
    cluster : column of the prompts that names what hangs together.

    Raises
    ------
    MarginError : fewer than five runs, a training that is not known, no margin or behaviour of such a name,
        runs that say nothing of behaviour.
    IncomparableError : runs whose models were asked differently, or on other prompts.

    Cost: that of every run's margins, and O(R n^2) a pair of numbers of n checkpoints.

    Example
    -------
    >>> import margin
    >>> margin.relate(["demo-run"])
    Traceback (most recent call last):
        ...
    margin.errors.MarginError: 1 checkpoint, and no order to speak of: name the runs of 5 at least
    """
    require_level(level)
    require_count(seed, "seed")
    for values, name in ((margins, "margins"), (behaviours, "behaviours"), (numbers, "numbers")):
        require_names(values, name)
    opened = open_runs(runs, training, across, numbers)
    if len(opened.names) < FEWEST:
        raise MarginError(
            f"{counted(len(opened.names), 'checkpoint')}, and no order to speak of: "
            f"name the runs of {FEWEST} at least"
        )
    settings = Settings(level=level, seed=seed, cluster=cluster)
    of_margin: list[dict[str, RunNumber]] = []
    of_behaviour: list[dict[str, RunNumber]] = []
    within: list[WithinRun] = []
    for name, run in zip(opened.names, opened.runs, strict=True):
        study = Study(run, settings)
        of_margin.append({one.name: one for one in margins_of(study)})
        of_behaviour.append({one.name: one for one in behaviours_of(study)})
        within += within_run(study, name)
    ours = _chosen(_by_name(of_margin), margins, "margin")
    theirs = _by_name(of_behaviour) | {name: of_file(opened, name) for name in numbers}
    theirs = _chosen(theirs, behaviours, "behaviour")
    theirs, left_out = _distinct(theirs)
    pairs, missing = _pairs(opened, ours, theirs, seed, level)
    candidates, ranked = candidates_of(pairs, opened, level)
    return Relation(
        runs=opened,
        level=level,
        numbers={**ours, **theirs},
        pairs=tuple(sorted(pairs, key=_closeness)),
        candidates=tuple(candidates),
        judged_by=tuple(ranked),
        within=tuple(within),
        areas=over_runs(within, dict(zip(opened.names, opened.training, strict=True)), level),
        left_out=left_out | missing,
    )


def _by_name(of_runs: list[dict[str, RunNumber]]) -> Numbers:
    names = dict.fromkeys(name for of_run in of_runs for name in of_run)
    return {name: [of_run.get(name) for of_run in of_runs] for name in names}


def _chosen(found: Numbers, wanted: Sequence[str], what: str) -> Numbers:
    for name in wanted:
        if not any(one.startswith(name) for one in found):
            known = ", ".join(found) or "none"
            raise MarginError(f"no {what} is called {shown(name)!r}: these runs have {known}")
    if not found:
        raise MarginError(
            "these runs say nothing of behaviour: collect them with --generate or --controls, and judge them"
        )
    return {name: of for name, of in found.items() if not wanted or name.startswith(tuple(wanted))}


def _distinct(found: Numbers) -> tuple[Numbers, dict[str, str]]:
    """Behaviours of which none says what another says: a leak is left out where it is 1 - fallback."""
    kept: Numbers = {}
    left_out: dict[str, str] = {}
    for name, of_runs in found.items():
        values = _values(of_runs)
        same = next(
            (
                other
                for other, of_other in kept.items()
                if _equal(values, _values(of_other)) or _equal(values, 1 - _values(of_other))
            ),
            None,
        )
        spread = values[np.isfinite(values)]
        if len(spread) and np.ptp(spread) <= ROUNDING:
            left_out[name] = f"the same in every run: {spread[0]:.3g}"
        elif same is not None:
            left_out[name] = f"says what {same} says"
        else:
            kept[name] = of_runs
    return kept, left_out


def _equal(one: Float, two: Float) -> bool:
    return bool(np.allclose(one, two, rtol=0, atol=ROUNDING, equal_nan=True))


def _values(of_runs: Sequence[RunNumber | None]) -> Float:
    return np.array([np.nan if one is None else one.value.estimate for one in of_runs], dtype=np.float64)


def _pairs(
    runs: Runs, margins: Numbers, behaviours: Numbers, seed: int, level: float
) -> tuple[list[Pair], dict[str, str]]:
    every = {name: with_error(runs, of, seed) for name, of in {**margins, **behaviours}.items()}
    clusters = runs.clusters
    steps = np.array([np.nan if step is None else step for step in runs.step], dtype=np.float64)
    found: list[Pair] = []
    missing: dict[str, str] = {}
    closer = {name: next(one for one in of if one is not None).worse for name, of in margins.items()}
    for behaviour, of_behaviour in behaviours.items():
        first = next(one for one in of_behaviour if one is not None)
        for margin in margins:
            x, y = every[margin], every[behaviour]
            both = np.isfinite(x.values) & np.isfinite(y.values)
            if both.sum() < FEWEST:
                missing[behaviour] = f"known of {int(np.isfinite(y.values).sum())} runs only"
                continue
            step = steps[both] if np.isfinite(steps[both]).all() else None
            over = clusters.part(both)
            one = associate(_part(x, both), _part(y, both), over, level, step)
            found.append(
                Pair(
                    margin,
                    behaviour,
                    first.by,
                    first.worse,
                    closer[margin],
                    one,
                    np.nan,
                    int(both.sum()),
                    len(over),
                )
            )
    return _adjusted(found), missing


def _part(number: Measured, keep: np.ndarray) -> Measured:
    again = None if number.again is None else number.again[:, keep]
    return Measured(number.values[keep], again)


def _adjusted(pairs: list[Pair]) -> list[Pair]:
    """With p-values adjusted over all pairs that have one."""
    p = np.array([pair.association.p_value for pair in pairs])
    known = np.isfinite(p)
    adjusted = np.full(len(p), np.nan)
    if known.any():
        adjusted[known] = holm(p[known])
    return [replace(pair, p_holm=float(value)) for pair, value in zip(pairs, adjusted, strict=True)]


def _closeness(pair: Pair) -> tuple[bool, float]:
    value = pair.association.spearman.estimate
    return bool(np.isnan(value)), -abs(value)
