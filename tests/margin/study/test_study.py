"""A study's numbers depend on the run and the settings alone, and are computed when asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

import margin
from margin.analysis.margins import margins
from margin.cli import main
from margin.errors import MarginError
from margin.report.latex import to_latex
from margin.report.report import Report
from margin.report.write import schema, to_json
from margin.run.run import Run
from margin.study.sections import SECTIONS
from margin.study.sections.layers import Layers
from margin.study.sections.prompts import Prompts
from margin.study.sections.separation import Separation
from margin.study.sections.spaces import Spaces
from margin.study.settings import Settings
from margin.study.study import Study
from tests.margin.study.answered import demo_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the demo checkpoint with all layers, controls and answers."""
    return demo_run(tmp_path_factory.mktemp("study") / "run", layers="all")


@pytest.fixture(scope="module")
def report(run: Run) -> Report:
    return margin.analyse(run, level=0.9, permutations=19, seed=3, optional=True)


def test_a_section_says_the_same_alone_and_among_others(run: Run, report: Report) -> None:
    for kind in reversed(SECTIONS):
        alone = Study(run, report.study.settings).section(kind)
        among = report.section(kind)
        assert (alone is None) == (among is None)
        if alone is not None and among is not None:
            assert alone.record().model_dump_json() == among.record().model_dump_json()


def test_of_many_prompts_only_euclidean_margins_are_those_of_a_sample(
    run: Run, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Study(run, report.study.settings)
    n, (table,) = whole.design.n_prompts, Spaces.of(whole).tables()
    assert "of the prompts" not in table.note
    monkeypatch.setattr("margin.study.study.EUCLIDEAN_PROMPTS", n // 2)
    sampled = Study(run, report.study.settings)
    found = sampled.margins("logits", "euclidean")
    keep = sampled.design.sample(n // 2, sampled.settings.rng("Euclidean margins"))
    points, design = sampled.space.subset(keep), sampled.design.subset(keep)
    assert design.n_prompts == found.leave_prompt_out.n_prompts == n // 2
    assert found.leave_prompt_out == margins(points, design, "euclidean", 0.9).leave_prompt_out
    assert sampled.headline.leave_prompt_out == whole.headline.leave_prompt_out
    (table,) = Spaces.of(sampled).tables()
    assert f"Euclidean margins are of {n // 2} of the prompts" in table.note


def test_margins_of_points_that_are_kept_in_float32_are_those_in_float64(
    run: Run, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("margin.run.geometry.MANY", 0)
    anew = margin.open_run(run.path)
    for space in ("logits", "logits_centred", "logprobs"):
        found = Study(anew, report.study.settings).margins(space, "cosine").influence
        expected = report.study.margins(space, "cosine").influence
        assert np.allclose(found, expected, atol=1e-6)
    for one, other in zip(
        Study(anew).headline.estimates.values(), Study(run).headline.estimates.values(), strict=True
    ):
        assert one.estimate == pytest.approx(other.estimate, abs=1e-5)


def test_a_measure_does_not_move_because_another_is_asked_for(run: Run, report: Report) -> None:
    few = Study(run, Settings(0.9, 3, optional=False)).section(Separation)
    many = report.section(Separation)
    assert few is not None
    assert many is not None
    both = few.lines.merge(many.lines, on=["measure", "modes", "space"], suffixes=("", "_many"))
    assert len(both) == len(few.lines) < len(many.lines)
    for column in ("estimate", "low", "high", "p_value"):
        assert both[column].equals(both[f"{column}_many"])


def test_the_level_is_that_of_every_interval(report: Report) -> None:
    record = json.loads(to_json(report))
    levels = {(path, value) for path, value in walk(record, "") if path.endswith(".level")}
    assert len(levels) > 10
    assert {value for path, value in levels if "provenance" not in path} <= {0.9, None}


def walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every plain value of a record, by its path without places in lists."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from walk(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from walk(item, path)
    else:
        yield path, value


def test_a_figure_computes_no_section_but_its_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def unasked(study: Study) -> None:
        raise AssertionError("nobody asked for it")

    for kind in SECTIONS:
        if kind is not Layers:
            monkeypatch.setattr(kind, "of", unasked)
    assert margin.analyse(run).figure("layers").axes


def test_figures_draw_the_bands_of_the_report(run: Run) -> None:
    curve = margin.analyse(run, permutations=9).section(Layers)
    drawn = margin.analyse(run).figure("layers").axes[0]
    assert curve is not None
    (band, *_) = [c for c in drawn.collections if hasattr(c, "get_paths") and len(c.get_paths())]
    lows = [round(e.low, 6) for e in curve.curve.leave_prompt_out if e.low is not None]
    heights = {round(float(y), 6) for path in band.get_paths() for _, y in np.asarray(path.vertices)}
    assert set(lows) <= heights


def test_every_table_is_in_every_rendering(report: Report, run: Run, tmp_path: Path) -> None:
    tables = report.tables()
    assert len({table.key for table in tables}) == len(tables)
    files = {path.suffix: path.read_text(encoding="utf-8") for path in report.save(tmp_path)}
    latex = to_latex(tables)
    for table in tables:
        assert f'id="{table.key}-table"' in files[".html"]
        assert f"tab:{table.key}" in latex
        assert re.search(rf"^## {re.escape(table.title)}$", files[".md"].replace("\\", ""), re.MULTILINE)
    assert latex.count("\\begin{tabular}") == len(tables)
    assert latex.count("{") == latex.count("}")
    jsonschema.validate(json.loads(files[".json"]), schema())


def test_tables_are_printed_one_by_one_or_all(run: Run, tmp_path: Path) -> None:
    one = CliRunner().invoke(main, ["table", str(run.path), "--only", "by-mode", "--latex"])
    assert one.exit_code == 0, one.output
    assert one.stdout.count("\\begin{table}") == 1
    out = tmp_path / "tables.md"
    done = CliRunner().invoke(main, ["table", str(run.path), "--markdown", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_text(encoding="utf-8").count("## ") > 5
    wrong = CliRunner().invoke(main, ["table", str(run.path), "--only", "nothing"])
    assert wrong.exit_code == 2
    assert "by-mode" in wrong.stderr


def test_a_report_shows_itself_briefly(report: Report, run: Run) -> None:
    assert len(repr(report)) < 200
    for html in (report._repr_html_(), run._repr_html_(), report.headline.leave_prompt_out._repr_html_()):
        assert html.startswith("<strong>")
        assert len(html) < 5000


def test_what_is_shared_tells_of_no_single_prompt(report: Report) -> None:
    shared = Report(report.study, over_prompts_only=True)
    found = shared.section(Prompts)
    assert found is not None
    assert found.record().worst_prompts == []
    assert found.record().prompt_margins
    assert "weakest prompts" not in {fact.name for fact in shared.facts()}


@pytest.mark.parametrize("wrong", [{"level": 1.0}, {"seed": -1}, {"permutations": 0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MarginError):
        Settings(**wrong)


def test_an_unknown_figure_is_named_with_those_there_are(report: Report) -> None:
    with pytest.raises(MarginError, match="layers"):
        report.figure("nothing")


def test_every_section_with_numbers_is_one_tidy_table(report: Report) -> None:
    frames, record = report.to_frames(), report.to_dict()
    shown = {section.name() for section in report if any(table.rows for table in section.tables())}
    assert shown <= set(frames)
    for key, name in (("slices", "slices"), ("strata", "strata"), ("separation", "separation")):
        lines = frames[name][frames[name]["key"] == key]
        assert lines["estimate"].tolist() == pytest.approx(
            [np.nan if line["estimate"] is None else line["estimate"] for line in record[key]], nan_ok=True
        )
    assert len(frames["prompts"]) == report.headline.leave_prompt_out.n_prompts
    assert frames["margins"].equals(report.to_frame())
