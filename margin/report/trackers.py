"""The numbers of a report in an experiment tracker: any that is installed, with its own settings of where."""

from __future__ import annotations

import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from margin.errors import MarginError, foreign
from margin.report.report import Report
from margin.run.files import make_folder
from margin.run.fingerprints import without_tokens
from margin.study.numbers import RunNumber, behaviours_of, margins_of
from margin.study.study import HEADLINE
from margin.text import shown

PROJECT = "safety-margin"
"""Project, or experiment, where the tracker's own settings name none."""
_UNCOMMON = re.compile(r"[^\w\-. :/]")
"""What some tracker does not take in the name of a number."""


@dataclass(frozen=True)
class Tracked:
    """What is logged of a report: numbers and what was measured, no text and nothing of a single prompt."""

    name: str
    """Of the run's folder."""
    about: Mapping[str, str | int | float]
    numbers: Mapping[str, float]
    """Estimates by "margin/NAME" or "behaviour/NAME", and their intervals by that with /low and /high."""


def tracked(report: Report) -> Tracked:
    """What a tracker is given. Cost: that of the report's sections on margins, decoys and behaviour."""
    run, settings = report.run, report.study.settings
    identity = run.manifest.identity
    about: dict[str, str | int | float] = {
        "model": shown(report.title),
        "modes": ", ".join(map(shown, run.modes)),
        "space": report.sam_space,
        "distance": HEADLINE,
        "prompts": len(run.prompts),
        "rows": len(run.rows),
        "dtype": shown(identity.dtype),
        "level": settings.level,
        "cluster": shown(settings.cluster or "none"),
    }
    numbers: dict[str, float] = {}
    for kind, found in (("margin", margins_of(report.study)), ("behaviour", behaviours_of(report.study))):
        for one in found:
            numbers |= _ends(kind, one)
    return Tracked(without_tokens(run.manifest, shown(run.path.name)), about, numbers)


def _ends(kind: str, number: RunNumber) -> Iterator[tuple[str, float]]:
    value, name = number.value, f"{kind}/{_UNCOMMON.sub('_', shown(number.name).replace(',', ''))}"
    for suffix, end in (("", value.estimate), ("/low", value.low), ("/high", value.high)):
        if end is not None and math.isfinite(end):
            yield f"{name}{suffix}", float(end)


def _to_tensorboard(given: Tracked, out: Path) -> str:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    folder = out / "tensorboard" / given.name
    make_folder(folder)
    writer = EventFileWriter(str(folder))
    values = [Summary.Value(tag=name, simple_value=value) for name, value in given.numbers.items()]
    writer.add_event(Event(wall_time=time.time(), step=0, summary=Summary(value=values)))
    writer.close()
    return f"in {folder}"


def _to_mlflow(given: Tracked, out: Path) -> str:
    import mlflow

    if not {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"} & set(os.environ):
        mlflow.set_experiment(PROJECT)
    with mlflow.start_run(run_name=given.name) as run:
        mlflow.log_params(dict(given.about))
        mlflow.log_metrics(dict(given.numbers))
    return f"at {mlflow.get_tracking_uri()}, run {run.info.run_id}"


def _to_wandb(given: Tracked, out: Path) -> str:
    import wandb

    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=given.name,
        dir=str(out),
        config=dict(given.about),
        # Neither what is printed here nor the code around it is anybody's business there.
        settings=wandb.Settings(console="off", disable_code=True, disable_git=True),
    )
    run.log(dict(given.numbers))
    run.finish()
    return f"as {run.path}"


def _to_trackio(given: Tracked, out: Path) -> str:
    import trackio

    project = os.environ.get("TRACKIO_PROJECT", PROJECT)
    trackio.init(
        project=project,
        name=given.name,
        config=dict(given.about),
        embed=False,
        auto_log_cpu=False,
        auto_log_gpu=False,
    )
    trackio.log(dict(given.numbers))
    trackio.finish()
    return f"in project {project}"


TRACKERS: Mapping[str, Callable[[Tracked, Path], str]] = {
    "wandb": _to_wandb,
    "mlflow": _to_mlflow,
    "trackio": _to_trackio,
    "tensorboard": _to_tensorboard,
}
"""By the name it is installed as: what logs into it and says where."""


def require_tracker(name: str) -> None:
    """Nothing where a tracker is there. MarginError where it is unknown or not installed."""
    if name not in TRACKERS:
        raise MarginError(f"no tracker {shown(name)!r}: choose from {', '.join(TRACKERS)}")
    spec = find_spec(name)
    if spec is None or spec.origin is None:  # a folder that a tracker keeps its files in is no package
        raise MarginError(f"logging to {name} needs {name}: pip install {name}")


def log_to(name: str, report: Report, out: Path) -> str:
    """Log a report's numbers to a tracker; where they are, in words.

    Where they go is the tracker's own setting (MLFLOW_TRACKING_URI, WANDB_PROJECT, ...); what it keeps in
    files of its own beside the report goes into `out`.

    Raises
    ------
    MarginError : the tracker is unknown, not installed, or cannot log.
    """
    require_tracker(name)
    given = tracked(report)
    with foreign(f"{name} could not log"), redirect_stdout(sys.stderr):  # stdout is for results
        return TRACKERS[name](given, out)
