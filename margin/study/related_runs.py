"""Runs of several checkpoints that are to be related: their numbers, and which training each is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from margin.arguments import require_names, require_path
from margin.errors import IncomparableError, MarginError
from margin.inputs.checkpoints import step_of
from margin.inputs.tables import SUFFIXES, label, read_records
from margin.run.run import Run, opened
from margin.short import Short
from margin.stats.attenuation import Measured
from margin.stats.clusters import Clusters, make_clusters
from margin.stats.estimate import Estimate
from margin.stats.rank_correlation import Float
from margin.stats.seeds import generator
from margin.study.comparison import asked_differently, is_one_checkpoint, names_of
from margin.study.numbers import RunNumber
from margin.text import shown

FOLDER = "folder"
"""Runs that lie in one folder are of one training, as `margin sweep` leaves them."""
AGAIN = 100
"""How often numbers are measured again to tell their reliability."""


@dataclass(frozen=True, eq=False)
class Runs(Short):
    """Checkpoints, by the runs that measured them."""

    names: tuple[str, ...]
    runs: tuple[Run, ...]
    training: tuple[str, ...]
    step: tuple[float | None, ...]
    """When in its training each was saved; None where that is not known."""
    extra: Mapping[str, Float]
    """Numbers of behaviour that a file of the user's brings, by name: (n,), NaN where there is none."""

    @property
    def clusters(self) -> Clusters:
        """Which checkpoints are of one training."""
        return make_clusters(self.training)


def open_runs(
    runs: Sequence[Run | str | Path],
    training: str | Path | Mapping[str, str] | None,
    across: Sequence[str] = (),
    numbers: Sequence[str] = (),
) -> Runs:
    """Open runs that were asked alike, and say which training each is of; parameters as of `margin.relate`.

    Raises
    ------
    MarginError : no runs, one that stands twice, a file that names no run's training, or names another's;
        one checkpoint in two trainings.
    IncomparableError : runs whose models were asked differently, or on other prompts.
    """
    if isinstance(runs, str | Path | Run) or not isinstance(runs, Sequence):
        raise MarginError(f"runs must be a list of runs, got {type(runs).__name__}")
    for run in runs:
        if not isinstance(run, Run):
            require_path(run, "run", " or a Run")
    require_names(across, "across")
    if not runs:
        raise MarginError("no run to relate: name the runs of several checkpoints")
    paths = [run.path if isinstance(run, Run) else Path(run) for run in runs]
    names = names_of(paths)
    found = [opened(run) for run in runs]
    first = found[0]
    for name, run in zip(names[1:], found[1:], strict=True):
        asked_differently(first, run, across, (names[0], name))
        if list(run.prompts["id"]) != list(first.prompts["id"]):
            same = set(run.prompts["id"]) == set(first.prompts["id"])
            order = "the same prompts in another order than" if same else "other prompts than"
            raise IncomparableError(
                f"{name} was asked {order} {names[0]}: collect all runs on the same ones, in one order"
            )
    steps: list[float | None] = [step_of(path) for path in paths]
    extra: dict[str, Float] = {}
    if training is None:
        groups = list(names)
    elif isinstance(training, str) and training == FOLDER:
        groups = [str(path.resolve().parent) for path in paths]
    elif isinstance(training, Mapping):
        groups = [_named(training, name, path) for name, path in zip(names, paths, strict=True)]
    else:
        require_path(training, "training", ", a mapping, or 'folder'")
        table = _table(Path(training), paths, names, numbers)
        groups = [str(group) for group in table["training"]]
        if "step" in table:
            steps = [None if np.isnan(step) else float(step) for step in table["step"]]
        extra = {name: table[name].to_numpy(float) for name in numbers}
    if numbers and not extra:
        raise MarginError(
            f"numbers {', '.join(map(shown, numbers))}: name the file that has them as training"
        )
    for (one, of_one, group), (two, of_two, other) in combinations(zip(names, found, groups, strict=True), 2):
        if group != other and is_one_checkpoint(of_one, of_two):
            raise MarginError(
                f"{two} is of the same checkpoint as {one}, and of no other training: name one of them"
            )
    return Runs(tuple(names), tuple(found), tuple(groups), tuple(steps), extra)


def with_error(runs: Runs, numbers: Sequence[RunNumber | None], seed: int, level: float = 0.95) -> Measured:
    """One number of all checkpoints, with what it might have been were each measured again.

    Where influences are known prompts are drawn anew, the same for all checkpoints and numbers, by Gaussian
    multipliers: an error that all have in common moves no order. Else each errs by itself, by its standard
    error. NaN where a run has not got the number.
    """
    values = np.array([np.nan if one is None else one.value.estimate for one in numbers])
    known = [one for one in numbers if one is not None]
    if not known or not all(_has_error(one) for one in known):
        return Measured(values)
    name = known[0].name
    again = np.tile(values, (AGAIN, 1))
    apart = generator(seed, "relate", "by itself", name).normal(size=again.shape)
    multipliers = _multipliers(runs, seed)
    for place, one in enumerate(numbers):
        if one is None:
            continue
        if one.prompt_ids and one.value.influence is not None:
            U, n = one.value.influence, len(one.value.influence)
            drawn = multipliers[list(one.prompt_ids)].to_numpy()
            again[:, place] += np.sqrt(n / max(n - 1, 1)) * drawn @ U
            again[:, place] += np.sqrt(one.of_sets) * apart[:, place]
        else:
            again[:, place] += (one.value.se or 0.0) * apart[:, place]
    return Measured(values, again)


def of_file(runs: Runs, name: str) -> list[RunNumber | None]:
    """A number that a file of the user's brings, as one of each run."""
    return [
        None if np.isnan(value) else RunNumber(name, Estimate(float(value)), "file")
        for value in runs.extra[name]
    ]


def _has_error(one: RunNumber) -> bool:
    return bool(one.prompt_ids) or one.value.se is not None


def _multipliers(runs: Runs, seed: int) -> pd.DataFrame:
    """(R, n) how far each draw of prompts moves every one of them."""
    ids = list(runs.runs[0].prompts["id"])
    drawn = generator(seed, "relate", "prompts").normal(size=(AGAIN, len(ids)))
    return pd.DataFrame(drawn, columns=ids)


def _named(training: Mapping[str, str], name: str, path: Path) -> str:
    for key in (name, str(path), path.name):
        if key in training:
            return str(training[key])
    raise MarginError(f"training names none of run {shown(name)}: it has {len(training)} others")


def _table(path: Path, runs: Sequence[Path], names: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """What a file says of each run: training, and where there are such columns step and `numbers`."""
    if path.suffix.lower() not in SUFFIXES:
        raise MarginError(
            f"training {shown(path)}: take {FOLDER!r}, or a file {', '.join(SUFFIXES)} with the columns run "
            "and training"
        )
    lines: dict[str, dict[str, object]] = {}
    for place, record in read_records(path, "training", "run"):
        name = label(record["run"], "run", place)
        if name is None or name in lines:
            raise MarginError(f"{place}: {'no run' if name is None else 'its run stands there twice'}")
        for column in ("training", *numbers):
            if column not in record:
                raise MarginError(f"{place}: no column named {column}")
        line: dict[str, object] = {"training": label(record["training"], "training", place)}
        if line["training"] is None:
            raise MarginError(f"{place}: its training is missing")
        for column in ("step", *numbers):
            if column in record:
                line[column] = _number(record[column], column, place)
        lines[name] = line
    found = []
    for name, run in zip(names, runs, strict=True):
        key = next((key for key in (name, str(run), run.name) if key in lines), None)
        if key is None:
            raise MarginError(f"{path} says nothing of run {shown(name)}: it needs a line for each")
        found.append(lines[key])
    return pd.DataFrame(found)


def _number(value: object, column: str, place: str) -> float:
    if value is None:
        return np.nan
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise MarginError(f"{place}: column {column!r} holds no number") from None
    if not np.isfinite(number):
        raise MarginError(f"{place}: column {column!r} holds no finite number")
    return number
