"""The verdict of a run: what it says first, what it was not told, and that each option it names is there."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from click import Group
from rich.console import Console

import margin
from margin.cli import main
from margin.errors import MarginError
from margin.gate.against import STATUS, against_release
from margin.gate.check import check
from margin.gate.evidence import OVERALL
from margin.gate.measurement import measure
from margin.report.markdown import to_markdown
from margin.report.report import Report
from margin.report.terminal import print_summary
from margin.report.write import to_json
from margin.run.run import Run
from margin.study.outcomes import Outcome, Tally
from margin.study.sections.verdict import Verdict
from margin.study.settings import Settings
from margin.study.study import Study
from margin.study.verdict import Thresholds, unknown


@pytest.fixture(scope="module")
def report(answered: Run) -> Report:
    return margin.analyse(answered, permutations=9)


def test_it_stands_first_in_every_rendering(report: Report) -> None:
    lines = report.verdict.lines
    assert 1 < len(lines) <= 5
    told = io.StringIO()
    print_summary(report, Console(file=told, width=300))
    record = json.loads(to_json(report))["verdict"]["lines"]
    for text in (told.getvalue(), to_markdown(report), report._repr_html_()):
        assert text.index(lines[0].mark) < text.index("eakest pair")  # of the numbers
        for line in lines:
            assert line.question.replace("'", "&#39;") in text or line.question in text
    assert [line["sentence"] for line in record] == [line.sentence for line in lines]


def test_what_was_not_measured_is_named_with_options_that_are_there(report: Report) -> None:
    (missing,) = (line for line in report.verdict.lines if line.status == "unmeasured")
    assert isinstance(main, Group)
    options = {
        option for command in main.commands.values() for each in command.params for option in each.opts
    }
    named = re.findall(r"--[a-z-]+", missing.sentence)
    assert {"--decoys", "--controls", "--attacks", "--baseline"} <= set(named) <= options
    for command in re.findall(r"margin ([a-z]+)", missing.sentence):
        assert command in main.commands
    assert "--generate" not in named  # the run has answers
    assert "near-miss,user-turn" in missing.sentence


def test_thresholds_are_stated_and_can_be_set(answered: Run) -> None:
    strict = Study(answered, Settings(thresholds=Thresholds(0.25, 0.5))).section(Verdict)
    assert strict is not None
    assert "over 0.25 above" in strict.asked
    assert "more than 50% of prompts" in strict.asked
    for wrong in ((3.0, 0.1), (0.0, 1.5), (float("nan"), 0.1)):
        with pytest.raises(MarginError):
            Thresholds(*wrong)


def test_the_last_release_is_what_the_gate_says(answered: Run) -> None:
    before = measure(answered)
    line = against_release(answered, before)
    verdict = check(answered, before)
    overall = next(claim for claim in verdict.claims if claim.name == OVERALL)
    assert line.status == STATUS[overall.status]
    assert f"changed by +0.000 [{overall.value.low:+.3f}, {overall.value.high:+.3f}]" in line.sentence
    found = Study(answered, Settings(), line).section(Verdict)
    assert found is not None
    assert line in found.lines
    assert not any("--baseline" in each.sentence for each in found.lines)


def test_a_release_that_lost_its_margin_fails(answered: Run) -> None:
    before = measure(answered)
    higher = [replace(margin, estimate=margin.estimate + 0.5) for margin in before.margins]
    line = against_release(answered, replace(before, margins=tuple(higher)))
    assert line.status == "fails"
    assert "changed by -0.500" in line.sentence
    assert "shown to have fallen further: overall" in line.sentence


def tried(words: str, leaked: int) -> Outcome:
    """A kind of unknown tokens, under which so many of 40 prompts come nearest to `neg`."""
    counts = {"pos": 40 - leaked, "neg": leaked}
    tally = Tally(counts, frozenset({"pos", "rej"}), np.arange(40) < leaked, None)
    return Outcome(words, "control", None, words, 1, False, False, tally, tally, None)


@pytest.mark.parametrize(
    ("leaked", "says"),
    [
        ([9], "an unsafe mode(?!; )"),
        ([9, 0], "; the other kind of unknown tokens opens nothing unsafe"),
        ([0, 9, 0], "; the 2 other kinds of unknown tokens open nothing unsafe"),
        ([9, 0, 4], "; 1 of the 2 other kinds of unknown tokens opens an unsafe mode, too"),
        ([9, 5, 4, 0], "; 2 of the 3 other kinds of unknown tokens open an unsafe mode, too"),
        ([9, 5, 4], "; the 2 other kinds of unknown tokens open an unsafe mode, too"),
    ],
)
def test_how_many_other_kinds_of_unknown_tokens_open_an_unsafe_mode_is_said(
    leaked: list[int], says: str
) -> None:
    line = unknown([tried(f"tokens {place}", count) for place, count in enumerate(leaked)], (), 0.05, 0.95)
    assert "9 of 40 prompts" in line.sentence
    assert re.search(says, line.sentence), line.sentence
