"""What was found of a run and is kept beside it, as probe.json: read where it is of that very run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError

from margin.errors import MarginError
from margin.run.run import Run
from margin.run.seal import read_sealed
from margin.study.record import Record
from margin.study.sealed import broken_rule

F = TypeVar("F")
R = TypeVar("R", bound=Record)


def of_this_run(run: Run, name: str, form: str, kind: Callable[..., R], command: str) -> R:
    """The record of format `form` in RUN/name, which `command` has made.

    Raises
    ------
    MarginError : none there, one that is damaged or edited, of another format, or of another run: the run
        was collected anew, or the file copied from elsewhere.
    """
    path, again = run.path / name, f"run {command} again"
    record = read_sealed(path, path.stem, form, again)
    try:
        found = kind(**record)
    except ValidationError as error:
        raise MarginError(f"{path} {broken_rule(error)}: {again}") from None
    if getattr(found, "run", None) != run.manifest.digest:
        raise MarginError(f"{path} is not of this run: {again}")
    return found


def if_any(run: Run, name: str, read: Callable[[Run], F]) -> F | None:
    """What `read` finds in RUN/name; None where there is no such file, or none that can be used."""
    if not (run.path / name).is_file():
        return None
    try:
        return read(run)
    except MarginError:
        return None
