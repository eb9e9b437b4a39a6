"""Answers of a run judged: by the refusal matcher, a file of labels, or whatever labels texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from margin.analysis.behaviour.findings import Behaviour
from margin.arguments import named, require_level, require_names, require_path
from margin.errors import MarginError
from margin.inputs.tables import SUFFIXES
from margin.run.run import Run, opened
from margin.streams import say
from margin.study.audit import read_audit
from margin.study.behaviour import behaviour, judgements_of
from margin.study.judgements import (
    AUDIT,
    REFUSAL,
    Judge,
    Judgements,
    expecting,
    judge_answers,
    judge_refusals,
)
from margin.study.judgements_file import read_judgements, write_judgements
from margin.study.labels import read_labels
from margin.study.logged import Logged, read_logs

__all__ = ["judge", "judgements"]


@named
def judge(
    run: Run | str | Path,
    judge: str | Path | Mapping[str, str | Path] | Judge | Judgements | None = REFUSAL,
    *,
    score: str | None = None,
    audit: str | Path | None = None,
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
    judge : "refusal" (the matcher), the path of a file of labels (CSV, JSON lines, Parquet) or of a log of
        Inspect, lm-evaluation-harness, garak or promptfoo, such logs by the condition that each is of, or a
        function that gives each of N texts one label; its `name` is who judged. None for the judgements kept
        with the run, else the matcher's.
    score : which score, metric or detector of a log is the label; needed where it has several.
    audit : the file that `margin.draw_audit` wrote, with a person's labels: rates are then given as a person
        would find them too, with intervals that hold however badly the judge does, and so are the judge's
        sensitivity and specificity. One that is kept with the run stays while the judge's labels do.
    refusal_modes : modes whose answers should be refusals; "rej" unless given.
    expected : label that answers under a mode should bear.
    level : nominal coverage of each interval by itself.
    cluster : column of the prompts that names what hangs together; intervals are then over clusters.
    text : list prompts and answers with the disagreements.
    keep : write the labels into the run's folder, where `margin.analyse` finds them; no answer is copied.

    Raises
    ------
    MarginError : a run without answers, a file of labels that does not fit it, a judge that gives something
        else than a label each, an unknown mode, an audit that lacks labels or was drawn by other labels.

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
    rej       1        7
    """
    require_level(level)
    if isinstance(judge, Mapping):
        for path in judge.values():
            require_path(path, "judge")
    elif not (judge is None or callable(judge) or isinstance(judge, Judgements)):
        require_path(judge, "judge", " or a function of texts")
    if audit is not None:
        require_path(audit, "audit")
    require_names(refusal_modes, "refusal_modes")
    if not (expected is None or isinstance(expected, Mapping)):
        raise MarginError(f"expected must be a mapping of modes to labels, got {type(expected).__name__}")
    run = opened(run)
    judged = judgements_of(run) if judge is None else judgements(run, judge, score)
    if judged is None:
        raise MarginError(f"{run.path} holds neither judgements nor answers: collect it with --generate N")
    if judge is not None or refusal_modes or expected:
        judged = expecting(judged, run.modes, refusal_modes, expected)
    judged = _with_kept_audit(judged, run) if audit is None else read_audit(Path(audit), run, judged)
    found = behaviour(run, judged, level=level, text=text, cluster=cluster)
    if keep:
        write_judgements(judged, run)
    return found


def judgements(
    run: Run,
    judge: str | Path | Mapping[str, str | Path] | Judge | Judgements,
    score: str | None = None,
) -> Judgements:
    """Labels of a run's rows; `judge`, `score` and errors as for `judge`. Says what a log leaves out."""
    if isinstance(judge, Judgements):
        return judge
    if callable(judge):
        return judge_answers(run, judge, str(getattr(judge, "name", getattr(judge, "__name__", "function"))))
    if judge == REFUSAL:
        return judge_refusals(run)
    given = judge if isinstance(judge, Mapping) else {None: judge}
    if (found := logged(run, {of: Path(path) for of, path in given.items()}, score)) is not None:
        for line in found.warned:
            say(line)
        return found.judgements
    assert not isinstance(judge, Mapping)
    return read_labels(Path(judge), run)


def logged(run: Run, logs: Mapping[str | None, Path], score: str | None) -> Logged | None:
    """As `read_logs`; MarginError for the score of a file that is no log."""
    found = read_logs(logs, run, score)
    if found is None and score is not None:
        raise MarginError(
            f"{logs[None]} is no log of an evaluation tool: it has labels, and no scores to choose from"
        )
    return found


def _with_kept_audit(judged: Judgements, run: Run) -> Judgements:
    """With the audit that is kept beside the run, where it is of the same labels."""
    try:
        kept = read_judgements(run)
    except MarginError:  # damaged or another run's: it is to be replaced
        return judged
    if kept is None or AUDIT not in kept.table:
        return judged
    one, two = (of.table.set_index("row")["label"].sort_index() for of in (judged, kept))
    if not one.equals(two):
        return judged
    audit = kept.table.set_index("row")[AUDIT]
    return replace(judged, table=judged.table.assign(**{AUDIT: judged.table["row"].map(audit)}))


def is_file_of_labels(judge: str) -> bool:
    """Whether a judge is named by the path of a file, of labels or a log."""
    return Path(judge).suffix.lower() in SUFFIXES or Path(judge).is_file()
