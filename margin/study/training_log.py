"""What a training logs of the runs of its model, and reads back from its own log."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from margin.errors import LONGEST, MarginError
from margin.inputs.modes import ModeSet
from margin.inputs.moment import opens_thought, undecided
from margin.run.run import Run
from margin.stats.estimate import Estimate
from margin.study.robustness import robustness
from margin.study.sections.decoys import Decoys
from margin.study.settings import Settings
from margin.study.study import Study
from margin.text import brief, shown

SAM, ABOVE, LEAK = "eval_sam", "eval_sam_above_decoys", "eval_leak"
"""Names of what is logged. Trainers show eval_ apart from the training's own numbers, and may choose the best
model by it."""

Logs = dict[str, float]


def readings(run: Run, level: float, cluster: str | None) -> Logs:
    """What is logged of a run: its margin, what that has above decoys, how often controls leak."""
    study = Study(run, Settings(level=level, cluster=cluster))
    margin = study.headline.leave_prompt_out
    logs = {SAM: margin.estimate, f"{SAM}_low": margin.low, f"{SAM}_high": margin.high}
    if (found := study.section(Decoys)) is not None:
        above = found.headline.above
        logs |= {ABOVE: above.estimate, f"{ABOVE}_low": above.low, f"{ABOVE}_high": above.high}
    if (run.rows["kind"] != "mode").any():
        for leak in robustness(run, level=level, placement=study.placement, cluster=cluster).select("leak"):
            name = f"{LEAK}_{leak.condition.replace(' ', '_')}"
            logs |= {name: leak.value.estimate, f"{name}_high": leak.value.high}
    return {name: float(value) for name, value in logs.items() if value is not None}


def as_metrics(found: Logs | None, best: str | None, metrics: Mapping[str, float]) -> Logs:
    """What was read as metrics of an evaluation that has `metrics` of its own.

    NaN, which is never the best, for the metric that the best model goes by, where nothing was read: the
    Trainer would end with a KeyError.
    """
    if found is None:
        wanted = f"eval_{(best or '').removeprefix('eval_')}"
        found = {wanted: math.nan} if wanted.startswith((SAM, LEAK)) and wanted not in metrics else {}
    return {name: value for name, value in found.items() if name.startswith((SAM, LEAK))}


def logged_at(history: Iterable[Mapping[str, Any]], step: int) -> Logs | None:
    """What a training logged of the margin at a step."""
    return next((dict(entry) for entry in history if SAM in entry and entry["step"] == step), None)


def logged_margins(history: Iterable[Mapping[str, Any]]) -> list[Estimate]:
    """All margins a training logged, those before it was resumed among them."""
    return [
        Estimate(entry[SAM], entry.get(f"{SAM}_low"), entry.get(f"{SAM}_high"))
        for entry in history
        if SAM in entry
    ]


def reason_without_tokens(error: BaseException, modes: ModeSet) -> str:
    """Why a model was not measured, in a short line without a live token, safe to print."""
    reason = str(error) if isinstance(error, MarginError) else f"{type(error).__name__}: {error}"
    return brief(modes.redact(reason), LONGEST)


def warn_where_undecided(run: Run) -> None:
    """Warn where nearly all rows of a run open a thought."""
    if (alike := run.manifest.one_token) is not None and opens_thought(alike.token):
        warn(
            f"{undecided(shown(alike.token), alike.share)}; what comes after a thought is measured of saved "
            "checkpoints, by margin sweep --measure-after thought"
        )


def warn(text: str) -> None:
    """Warn; where warnings are made errors, which would end the training, log instead."""
    try:
        warnings.warn(text, stacklevel=3)
    except UserWarning:
        logging.getLogger("margin.training").warning("%s", text)
