"""JUnit and Markdown, read by what other people read them with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from junit2htmlreport.parser import Junit
from junitparser import JUnitXml
from markdown_it import MarkdownIt

from margin.gate.check import decide
from margin.gate.evidence import AboveDecoys, Leak
from margin.gate.junit import write_junit
from margin.gate.policy import Policy
from margin.gate.summary import append_summary, to_summary
from margin.gate.verdict import Verdict
from margin.text import shown
from tests.margin.gate.releases import draw_prompts, measurement

HOSTILE = "中<b>&|`x`\x08]]>"
STRENGTHS = {"pass": 0.98, "inconclusive": 0.83, "regression": 0.4, "limit not met": 0.98}


@pytest.fixture(scope="module", params=STRENGTHS)
def verdict(request: pytest.FixtureRequest) -> Verdict:
    """One verdict of each outcome, on prompts and slices with names that XML and Markdown could trip over."""
    prompts = draw_prompts(90, np.random.default_rng(0))
    prompts.slices.index = [f"{name}{HOSTILE}" for name in prompts.slices.index]
    prompts.slices["language"] = prompts.slices["language"] + HOSTILE
    leaks = 90 if request.param == "limit not met" else 0
    before, after = (
        measurement(
            prompts, prompts.points(s, np.random.default_rng(1), own=0.1), leaks=(Leak("random", leaks, 400),)
        )
        for s in (1, STRENGTHS[request.param])
    )
    after = replace(after, above_decoys=AboveDecoys(0.05, 0.01, 9.5, 5, 90))
    found = decide(before, after, Policy(max_drop=0.04, min_margin=-0.5, above_decoys=0.01, pairs=True))
    assert found.outcome == request.param
    return found


def test_a_junit_reader_sees_a_test_a_claim(verdict: Verdict, tmp_path: Path) -> None:
    path = tmp_path / "new" / "junit.xml"
    write_junit(verdict, path)
    (suite,) = Junit(str(path)).suites
    whole, *cases = suite.all()
    assert suite.name == "margin check"
    assert whole.failed() == (verdict.outcome != "pass")
    assert [case.name for case in cases] == [shown(claim.name) for claim in verdict.claims]
    expected = {"held": "passed", "broken": "failed"}
    for case, claim in zip(cases, verdict.claims, strict=True):
        undecided = "failed" if claim.required else "skipped"
        assert str(case.outcome()) == expected.get(claim.status, undecided)


def test_junitparser_counts_them_the_same(verdict: Verdict, tmp_path: Path) -> None:
    write_junit(verdict, tmp_path / "junit.xml")
    xml = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    xml.update_statistics()
    statuses = [(claim.status, claim.required) for claim in verdict.claims]
    assert xml.tests == 1 + len(statuses)
    failed = verdict.outcome in ("regression", "limit not met")
    assert xml.failures == sum(s == "broken" for s, _ in statuses) + failed
    assert xml.errors == statuses.count(("open", True)) + (verdict.outcome == "inconclusive")
    assert xml.skipped == statuses.count(("open", False))


def tables(markdown: str) -> list[list[list[str]]]:
    """Tables as a reader of GitHub's dialect shows them: rows of cells of text."""
    found: list[Any] = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level >= 3:
            found[-1][-1].append("".join(child.content for child in token.children or []))
    return found


def test_the_summary_shows_every_claim_and_the_names_as_they_are(verdict: Verdict) -> None:
    text = to_summary(verdict)
    claims, *rest = tables(text)
    assert [row[1] for row in claims[1:]] == [shown(claim.name) for claim in verdict.claims]
    assert all(len(row) == 6 for row in claims)
    assert verdict.outcome in text.splitlines()[0]
    for worst in rest:
        assert [row[0] for row in worst[1:]] == [*map(shown, verdict.worst_prompts["prompt_id"])]
    assert "<b>" not in text
    (above,) = (row for row in claims[1:] if row[1] == "above-decoys")
    assert above[2] == "at least 0.01 above decoys"


def test_the_summary_is_added_to_what_other_steps_wrote(verdict: Verdict, tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("from another step\n", encoding="utf-8")
    append_summary(verdict, path)
    assert path.read_text(encoding="utf-8") == f"from another step\n{to_summary(verdict)}"
