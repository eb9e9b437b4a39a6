"""`margin judge`: what the answers of a run do, beside where its geometry puts them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from margin.commands.report import CLUSTER, SEED
from margin.commands.session import PLACE, QUIET, Session
from margin.errors import MarginError
from margin.streams import say, show_json, written
from margin.text import json_text

if TYPE_CHECKING:
    from margin.analysis.behaviour.findings import Behaviour
    from margin.run.run import Run
    from margin.study.judgements import Judge, Judgements
    from margin.study.table import Table

DRAWN = (
    "Fill in the column label of every line, in the judge's words, and give the file back with --audit. It "
    "shows prompts and answers, not what the judge said."
)


@click.command(short_help="Judge a run's answers: the behaviour beside the geometry.")
@click.argument("run", type=PLACE)
@click.option(
    "--judge",
    metavar="WHO",
    help="refusal (the matcher), a file as --labels takes it, or a text classifier: a folder or a hub id. "
    "With --draw-audit or --audit alone: who judged last.",
)
@click.option(
    "--labels",
    multiple=True,
    metavar="[CONDITION=]FILE",
    help="Labels of others: a table (CSV, JSON lines, Parquet), or a log of Inspect, lm-evaluation-harness, "
    "garak or promptfoo; of logs repeatable, with the condition that each is of where it does not say so.",
)
@click.option("--score", metavar="NAME", help="Of logs: which score, metric or detector is the label.")
@click.option(
    "--audit",
    type=PLACE,
    metavar="FILE",
    help="The file that --draw-audit wrote, with your labels: corrected rates, and the judge's errors.",
)
@click.option(
    "--draw-audit",
    "draw",
    type=click.IntRange(min=1),
    metavar="N",
    help="Write N answers for you to label, drawn within each condition and label of the judge.",
)
@click.option(
    "--out", type=PLACE, metavar="FILE", help="Of --draw-audit: .csv or .jsonl.  [default: RUN/audit.csv]"
)
@click.option("--seed", default=0, show_default=True, type=SEED, help="Of --draw-audit.")
@click.option(
    "--refusal-mode",
    "refusal_modes",
    multiple=True,
    metavar="MODE",
    help="Mode whose answers should be refusals; repeatable.  [default: rej]",
)
@click.option(
    "--expect",
    "expected",
    multiple=True,
    metavar="MODE=LABEL",
    help="Label that answers under a mode should bear; repeatable.",
)
@click.option("--device", help="For a classifier, as torch names it.  [default: CUDA if there]")
@click.option("--trust-remote-code", is_flag=True, help="Run code that comes with the classifier.")
@CLUSTER
@click.option("--text", is_flag=True, help="Show prompts and answers of disagreements.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@QUIET
@click.pass_obj
def judge(
    session: Session,
    run: Path,
    judge: str | None,
    labels: tuple[str, ...],
    score: str | None,
    audit: Path | None,
    draw: int | None,
    out: Path | None,
    seed: int,
    refusal_modes: tuple[str, ...],
    expected: tuple[str, ...],
    device: str | None,
    trust_remote_code: bool,
    cluster: str | None,
    text: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge the answers of RUN: what was asked for and what came, with exact intervals.

    Keeps the labels in RUN/judgements.parquet, where margin report finds them; answers are not copied, but
    by --draw-audit.
    """
    from margin.console import PlainConsole
    from margin.report.judge_terminal import print_judgement
    from margin.report.terminal import print_tables
    from margin.run.run import open_run
    from margin.study.audit import draw_audit
    from margin.study.judgements_file import NAME
    from margin.study.judging import judge as judge_run
    from margin.study.notation import model_name
    from margin.study.sections.audit import AuditSection
    from margin.study.table import table

    if judge is None and not labels and audit is None and draw is None:
        raise click.UsageError("Missing option '--judge'.")
    if judge is not None and labels:
        raise MarginError("--judge and --labels both say who judged: give one of them")
    if out is not None and draw is None:
        raise MarginError("--out is where --draw-audit writes: give that, too, or leave --out out")
    opened = open_run(run)
    session.redact_tokens_of(opened)
    record: dict[str, object] = {}
    judged: Behaviour | None = None
    tables: list[Table] = []
    files: list[Path] = []
    if judge is not None or labels or audit is not None:
        who: Path | Judge | Judgements | str | None = None
        if judge is not None:
            who = _judge(opened, judge, score, device, trust_remote_code, quiet)
        elif labels:
            who = _labels(opened, _by_condition(opened, labels), score, quiet)
        judged = found = judge_run(
            opened,
            who,
            audit=audit,
            refusal_modes=refusal_modes,
            expected=expectations(expected),
            text=text,
            cluster=cluster,
        )
        record |= {"judge": found.judge, "expected": dict(found.expected), "behaviour": found.records()}
        if found.audit is not None:
            record |= AuditSection(found.audit).record().model_dump()
        files.append(opened.path / NAME)
    if draw is not None:
        drawn = draw_audit(opened, draw, out=out, seed=seed)
        record["drawn"] = {"file": str(drawn.path), "allocation": drawn.allocation.to_dict("records")}
        tables.append(table("drawn", "Answers to label", DRAWN, drawn.allocation))
        files.append(drawn.path)
    if as_json:
        show_json(json_text(record, indent=2))
    elif not quiet:
        console, identity = PlainConsole(), opened.manifest.identity
        if judged is not None:
            print_judgement(judged, model_name(identity.model, identity.adapter), console, text)
        print_tables(tables, console)
        written(files)


def _judge(
    run: Run, who: str, score: str | None, device: str | None, trust_remote_code: bool, quiet: bool
) -> str | Path | Judge | Judgements:
    """The judge of that name; a classifier is loaded."""
    from margin.study.judgements import REFUSAL
    from margin.study.judging import is_file_of_labels

    if who != REFUSAL and is_file_of_labels(who):
        return _labels(run, {None: Path(who)}, score, quiet)
    if score is not None:
        raise MarginError("--score is of logs: give --labels FILE, too, or leave it out")
    if who == REFUSAL:
        return who
    _ = run.answers  # before a model is loaded: that takes long
    if quiet or not sys.stderr.isatty():
        from margin.capture.quiet import hide_bars

        hide_bars()
    return classifier(who, device, trust_remote_code)


def _labels(run: Run, files: dict[str | None, Path], score: str | None, quiet: bool) -> Path | Judgements:
    """What logs say, after saying which tools' they are; a table of labels is named as it is."""
    from margin.study.judging import logged

    found = logged(run, files, score)
    if found is None:
        return files[None]
    for line in (*(() if quiet else found.recognised), *found.warned):
        say(line)
    return found.judgements


def _by_condition(run: Run, labels: tuple[str, ...]) -> dict[str | None, Path]:
    """The files of --labels by the condition before each; what is none is part of a file's name."""
    conditions, files = set(run.rows["condition"]), dict[str | None, Path]()
    for given in labels:
        before, equals, after = given.partition("=")
        known = equals and (before in conditions or not Path(given).exists())
        condition, path = (before, after) if known else (None, given)
        if not path:
            raise MarginError(f"--labels {given!r} names no file: write [CONDITION=]FILE")
        if condition in files:
            twice = "two files without a condition" if condition is None else f"condition {condition!r} twice"
            raise MarginError(f"--labels names {twice}: write CONDITION=FILE, each once")
        files[condition] = Path(path)
    return files


def classifier(who: str, device: str | None, trust_remote_code: bool) -> Judge:
    """A text classifier, loaded."""
    from margin.capture.classifier import load_classifier

    return load_classifier(who, device=device, trust_remote_code=trust_remote_code)


def expectations(expected: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for mode, label in map(_pair, expected):
        if pairs.setdefault(mode, label) != label:
            raise MarginError(f"--expect gives mode {mode!r} two labels: a mode has one")
    return pairs


def _pair(given: str) -> tuple[str, str]:
    mode, equals, label = given.partition("=")
    if not (mode and equals and label):
        raise MarginError(f"--expect {given!r} is no pair: write MODE=LABEL")
    if not label.isprintable():  # bytes that are no text come as halves of characters, which no file can hold
        raise MarginError(f"--expect {given!r} is no text: write MODE=LABEL")
    return mode, label
