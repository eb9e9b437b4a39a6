"""Columns of the prompts may be called as anything: they never get in the way of a report's own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pandas as pd
import pytest
from rich.console import Console

from margin.analysis.behaviour.findings import Observation
from margin.analysis.robustness.findings import Finding
from margin.capture.collect import collect
from margin.gate.measurement import measure
from margin.inputs.modes import ModeSet
from margin.report.analyse import analyse
from margin.report.html import to_html
from margin.report.report import Report
from margin.report.terminal import print_summary
from margin.report.write import schema, to_json, write_report
from margin.run.run import Run
from margin.stats.estimate import Estimate
from margin.study.probing import probe
from margin.study.sections.prompts import without_clashes

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint

OWN = [
    *("prompt_id", "margin", "stability", "weakest", "weakest_mode", "distance_ratio", "token_margin"),
    *("token_weakest", "row", "n_tokens", "nearest", "p_value", "ranked", "worst", "name", "modes"),
    *("measure", "unit", "text", "ID", "Prompt", "index", "count", "id_x", "margin_x", "margin_y", "0"),
    *("column margin", "column column margin", "pos", "all", "outside", "attack", "clean", "a|b", "c<d>"),
    *(field.name for kind in (Finding, Observation, Estimate) for field in fields(kind)),
]
COLUMNS = list(dict.fromkeys(OWN))


@pytest.fixture(scope="module")
def collected(
    make_checkpoint: Callable[..., Checkpoint],
    modes: ModeSet,
    prompts: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Run]:
    """Runs that differ in the names of the prompts' columns: a report's own, and ordinary ones."""

    attacks = tmp_path_factory.mktemp("attacks") / "attacks.jsonl"
    attacks.write_text('{"name": "polite", "template": "Please: {prompt}"}')

    def make(names: list[str]) -> Run:
        values = [[f"v{(i + shift) % (2 + shift % 3)}" for i in range(12)] for shift in range(len(names))]
        table = pd.DataFrame({"id": [f"p{i}" for i in range(12)], "prompt": prompts[:12]})
        slices = pd.DataFrame(dict(zip(names, values, strict=True)))
        return collect(
            make_checkpoint(),
            prompts=pd.concat([table, slices], axis=1),
            modes=modes,
            controls=["none", "random"],
            attacks=attacks,
            layers="all",
            noise_prompts=0,
            out=tmp_path_factory.mktemp("runs") / "run",
            decoys=0,
            quiet=True,
        )

    return {"own": make(COLUMNS), "ordinary": make([f"c{i}" for i in range(len(COLUMNS))])}


@pytest.fixture(scope="module")
def reports(collected: dict[str, Run]) -> dict[str, Report]:
    return {name: analyse(run, permutations=9) for name, run in collected.items()}


def test_the_numbers_are_those_under_ordinary_names(reports: dict[str, Report]) -> None:
    own, ordinary = reports["own"], reports["ordinary"]
    assert [slices.column for slices in own.slices] == COLUMNS
    for named, plain in zip(own.slices, ordinary.slices, strict=True):
        pd.testing.assert_frame_equal(
            named.to_frame().drop(columns="column"), plain.to_frame().drop(columns="column")
        )
    pd.testing.assert_frame_equal(
        own.robustness.to_frame().drop(columns="column"),
        ordinary.robustness.to_frame().drop(columns="column"),
    )
    shared = [name for name in ordinary.prompts if name not in {f"c{i}" for i in range(len(COLUMNS))}]
    pd.testing.assert_frame_equal(own.prompts[shared], ordinary.prompts[shared])
    assert own.headline.estimates == ordinary.headline.estimates


def test_every_column_stands_beside_its_prompts(
    collected: dict[str, Run], reports: dict[str, Report]
) -> None:
    table, about = reports["own"].prompts, collected["own"].prompts.set_index("id")
    assert table.columns.is_unique
    for name in COLUMNS:
        shown = table.columns[-len(COLUMNS) + COLUMNS.index(name)]
        assert shown == name or shown == f"column {name}"
        assert table[shown].tolist() == about.loc[table["prompt_id"], name].tolist()
    assert without_clashes(["language", "margin"], table) == ["language", "column margin"]


def test_every_rendering_is_made(
    collected: dict[str, Run], reports: dict[str, Report], tmp_path: Path
) -> None:
    run, report = collected["own"], reports["own"]
    record = json.loads(to_json(report))
    jsonschema.validate(record, schema())
    assert record["worst_prompts"][0]["margin"] == round(report.prompts["margin"][0], 3)
    assert record["worst_prompts"][0]["column margin"] in {"v0", "v1", "v2", "v3"}
    write_report(report, tmp_path)
    print_summary(report, Console(file=io.StringIO()))
    report.figure("overview")
    assert to_html(analyse(run, permutations=9, text=True))
    assert {m.column for m in measure(run).margins} == {None, *COLUMNS}


def test_slices_of_two_columns_that_read_the_same_are_drawn_apart(
    make_checkpoint: Callable[..., Checkpoint], modes: ModeSet, prompts: list[str], tmp_path: Path
) -> None:
    halves = ["b: c" if i % 2 else "d" for i in range(12)]
    table = {
        "prompt": prompts[:12],
        "a": halves,
        "a: b": ["c" if i % 3 else "d" for i in range(12)],
        "a=b": halves,
    }
    run = collect(
        make_checkpoint(),
        prompts=table,
        modes=modes,
        out=tmp_path / "run",
        noise_prompts=0,
        decoys=0,
        quiet=True,
    )
    report = analyse(run, permutations=9)
    drawn = report.figure("overview")
    ticks = {text.get_text().split("\n")[0] for ax in drawn.axes for text in ax.get_yticklabels()}
    assert {"a: b: c", "a: b: c (2)"} <= ticks


def test_a_column_called_attack_is_not_taken_for_the_attacks(collected: dict[str, Run]) -> None:
    found = probe(collected["own"], layers=[3], columns=["attack"])
    assert [transfer.column for transfer in found.transfers] == ["attack", "attack (conditions)"]


def test_columns_that_slice_nothing_are_named_with_the_reason(
    make_checkpoint: Callable[..., Checkpoint], modes: ModeSet, prompts: list[str], tmp_path: Path
) -> None:
    texts = [f"{prompts[i % 17]} {i}" for i in range(60)]
    table = {
        "prompt": texts,
        "author": [f"a{i}" for i in range(60)],
        "fifty": [f"a{i % 50}" for i in range(60)],
        "source": ["web"] * 60,
        "note": [None] * 60,
        "remark": [*(f"as in case {i}" for i in range(20)), *[None] * 40],
        "policy": ["No advice on locks. " * 6 + "!" if i % 2 else "None of it." for i in range(60)],
        "kind": ["No advice on locks. " * 6 if i % 2 else "None of it." for i in range(60)],
    }
    run = collect(
        make_checkpoint(),
        prompts=table,
        modes=modes,
        out=tmp_path / "run",
        noise_prompts=0,
        decoys=0,
        quiet=True,
    )
    report = analyse(run, permutations=9)
    assert report.unsliced == {
        "author": "60 values, over 50",
        "source": "one value",
        "note": "no value",
        "remark": "every prompt has its own value",
        "policy": "values of up to 121 characters, over 120",
    }
    assert [slices.column for slices in report.slices] == ["fifty", "kind"]
    told = io.StringIO()
    print_summary(report, Console(file=told, width=200))
    said = "not sliced: author (60 values, over 50), source (one value), note (no value)"
    assert said in told.getvalue()
    write_report(report, tmp_path / "report")
    assert said.capitalize() in (tmp_path / "report/report.md").read_text(encoding="utf-8")
    assert "60 values, over 50" in (tmp_path / "report/report.html").read_text(encoding="utf-8")
    record = json.loads((tmp_path / "report/report.json").read_text(encoding="utf-8"))
    assert {line["column"]: line["why"] for line in record["unsliced"]} == report.unsliced
