"""Answers of a run judged: by the refusal matcher, a file of labels, or whatever labels texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from margin.analysis.behaviour.findings import Behaviour
from margin.inputs.tables import SUFFIXES
from margin.run.run import Run, opened
from margin.study.behaviour import behaviour
from margin.study.judgements import (
    REFUSAL,
    Judge,
    Judgements,
    expecting,
    judge_answers,
    judge_refusals,
    write_judgements,
)
from margin.study.labels import read_labels

__all__ = ["judge", "judgements"]


def judge(
    run: Run | str | Path,
    judge: str | Path | Judge = REFUSAL,
    *,
    refusal_modes: Sequence[str] = (),
    expected: Mapping[str, str] | None = None,
    level: float = 0.95,
    cluster: str | None = None,
    text: bool = False,
    keep: bool = True,
) -> Behaviour:
    """What was answered under each mode and control condition, and whether the geometry agrees.

    Parameters
    ----------
    run : an opened run that holds answers, or the path of its folder.
    judge : "refusal" (the matcher), the path of a file of labels (CSV, JSON lines, Parquet), or a function
        that gives each of N texts one label; its `name` is who judged.
    refusal_modes : modes whose answers should be refusals; "rej" unless given.
    expected : label that answers under a mode should bear.
    level : nominal coverage of each interval by itself.
    cluster : column of the prompts that names what hangs together; intervals are then over clusters.
    text : list prompts and answers with the disagreements.
    keep : write the labels into the run's folder, where `margin.analyse` finds them; no answer is copied.

    Raises
    ------
    MarginError : a run without answers, a file of labels that does not fit it, a judge that gives something
        else than a label each, an unknown mode.

    Example
    -------
    >>> import margin
    >>> from margin.demo import checkpoint_path, modes_path, prompts_path
    >>> answered = margin.collect(
    ...     checkpoint_path("cotrained"),
    ...     prompts=prompts_path(),
    ...     modes=modes_path(),
    ...     out="demo-answers",
    ...     limit=8,
    ...     generate=16,
    ...     decoys=0,
    ...     quiet=True,
    ... )
    >>> margin.judge(answered).matrix()
         answer  refusal
    pos       8        0
    neg       8        0
    rej       0        8
    """
    run = opened(run)
    judged = expecting(judgements(run, judge), run.modes, refusal_modes, expected)
    found = behaviour(run, judged, level=level, text=text, cluster=cluster)
    if keep:
        write_judgements(judged, run)
    return found


def judgements(run: Run, judge: str | Path | Judge) -> Judgements:
    """Labels of a run's rows; `judge` and errors as for `judge`."""
    if callable(judge):
        return judge_answers(run, judge, str(getattr(judge, "name", getattr(judge, "__name__", "function"))))
    if judge == REFUSAL:
        return judge_refusals(run)
    return read_labels(Path(judge), run)


def is_file_of_labels(judge: str) -> bool:
    """Whether a judge is named by the path of a file of labels."""
    return Path(judge).suffix.lower() in SUFFIXES
