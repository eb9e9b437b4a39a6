"""A report's numbers are those of the full logits; its renderings are valid, and hide what they must."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from margin.analysis.metrics import Distance
from margin.errors import MarginError
from margin.report.analyse import analyse
from margin.report.markdown import to_markdown
from margin.report.report import Report
from margin.report.write import schema, to_json, write_report
from margin.run.run import Run
from tests.margin.report.conftest import HOSTILE


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "sqeuclidean"])
def test_plain_margins_are_scikit_learns_on_the_full_logits(
    run: Run, report: Report, distance: Distance
) -> None:
    expected = silhouette_score(run.logits().astype(np.float64), run.rows["condition"], metric=distance)
    assert report.sam[distance].plain.estimate == pytest.approx(expected, abs=1e-5)


def test_hellinger_margin_is_scikit_learns_on_square_root_probabilities(run: Run, report: Report) -> None:
    logits = run.logits().astype(np.float64)
    roots = np.exp((logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))) / 2)
    expected = silhouette_score(roots, run.rows["condition"], metric="sqeuclidean")
    assert report.sam["hellinger2"].plain.estimate == pytest.approx(expected, abs=1e-5)


def test_json_follows_its_schema_and_says_what_the_report_says(report: Report) -> None:
    record = json.loads(to_json(report))
    jsonschema.validate(record, schema())
    margin = record["sam"]["cosine"]["leave_prompt_out"]
    assert margin["low"] < margin["estimate"] < margin["high"]
    assert record["sam"]["cosine"]["plain"]["low"] is None
    assert {tuple(pair["modes"]) for pair in record["one_vs_one"]} == {
        ("pos", "neg"),
        ("pos", "rej"),
        ("neg", "rej"),
    }
    margins = [line["margin"] for line in record["worst_prompts"]]
    assert margins == sorted(margins)
    assert len(margins) == 10
    assert [line["layer"] for line in record["layers"]["curve"]][:4] == [0, 1, 2, 3]


def test_the_schema_refuses_an_interval_that_is_no_number(report: Report) -> None:
    record = json.loads(to_json(report))
    record["sam"]["cosine"]["leave_prompt_out"]["low"] = "0.1"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, schema())


def test_the_same_run_and_seed_give_the_same_report(run: Run, report: Report) -> None:
    assert to_json(analyse(run, permutations=99)) == to_json(report)


@pytest.mark.parametrize(
    "wrong", [{"thresholds": 0.1}, {"thresholds": 0.0}, {"thresholds": {}}, {"against": 0.1}]
)
def test_limits_of_another_kind_are_refused_and_not_replaced(run: Run, wrong: dict[str, Any]) -> None:
    with pytest.raises(MarginError, match=rf"{next(iter(wrong))} must be of the class"):
        analyse(run, **wrong)


def test_text_is_shown_only_when_asked(run: Run, report: Report) -> None:
    texts = run.prompts["prompt"]
    shown = to_json(report) + to_markdown(report)
    assert not any(text in shown for text in texts)
    asked = to_json(analyse(run, permutations=9, text=True))
    assert sum(text in asked for text in texts) == 10


def test_markdown_shows_what_came_from_outside_as_text(report: Report) -> None:
    markdown = to_markdown(report)
    assert HOSTILE not in markdown
    assert "<script" not in markdown
    assert "&lt;script&gt;" in markdown
    widths = {line.replace("\\|", "").count("|") for line in _table(markdown, "## The weakest prompts")}
    assert len(widths) == 1


def test_a_report_that_cannot_be_written_says_so(run: Run, report: Report, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(Exception, match="cannot write into") as caught:
        write_report(report, blocked)
    assert "\n" not in str(caught.value)


def _table(markdown: str, heading: str) -> list[str]:
    section = markdown.split(heading)[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("|")]
