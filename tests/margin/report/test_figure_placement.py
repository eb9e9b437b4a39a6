"""No figure hides data behind its legend, prints words over words, or cuts them off: as it is drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import margin
from margin import figures
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.figures.style import StyleName
from margin.inputs.modes import ModeSet
from margin.inputs.modes_file import load_modes
from margin.report.analyse import analyse
from margin.report.report import Report
from margin.study.canvas import Canvas
from margin.study.picture import Picture, picture
from margin.study.probe_file import write_probes
from margin.study.sections import FIGURES
from tests.placement import faults

Kind = Literal["small", "large", "named"]

DRAWN_ALIKE = {"projection-lda", "projection-tsne", "projection-umap"}
"""Figures that differ from the projection by principal components in their numbers only."""
LONG = {"pos": "helpful_and_constructive_answer.v2", "neg": "不安全的有害回答模式与其他", "rej": "refusal"}
TOPICS = ("a category whose name goes on and on", "医疗健康与公共卫生以及其他许多问题", "law", "$x_1$ & more")
CONTROLS = ("none", "random", "near-miss", "user-turn")
pytestmark = pytest.mark.filterwarnings("ignore:some names have characters that no font")


def asked(kind: Kind) -> tuple[pd.DataFrame, ModeSet, dict[str, Any]]:
    """Prompts, modes, and what is asked beside them."""
    modes = load_modes(modes_path())
    table = pd.read_json(prompts_path(), lines=True)
    table = table.iloc[:: len(table) // (18 if kind == "large" else 8)].reset_index(drop=True)
    if kind == "small":
        table["topic"] = [("law", "trade")[i % 2] for i in range(len(table))]
        return table, modes, {"controls": ("none",), "decoys": 2}
    if kind == "large":
        table["topic"] = [f"topic {i % 18:02d}" for i in range(len(table))]
        return table, modes, {"controls": CONTROLS, "attacks": "shipped", "decoys": 3}
    table["id"] = [f"an-identifier-that-is-long/{i:04d}/问题" for i in range(len(table))]
    table["一个名字很长的类别列以及它的说明"] = [TOPICS[i % len(TOPICS)] for i in range(len(table))]
    named = ModeSet(tuple(dataclasses.replace(mode, name=LONG[mode.name]) for mode in modes.modes))
    return table, named, {"controls": CONTROLS, "decoys": 2}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], Report]:
    """Maker of reports with something for every figure."""

    @cache
    def make(kind: Kind) -> Report:
        out: Path = tmp_path_factory.mktemp(kind) / "run"
        table, modes, beside = asked(kind)
        model = checkpoint_path("cotrained")
        options = beside | {"layers": "all", "positions": 2, "noise_prompts": 0, "quiet": True}
        margin.trace(model, prompts=table, modes=modes, out=out, **options)
        few: dict[str, Any] = {
            "tried": 2,
            "confirmed": 2,
            "draws": 4,
            "passes": 0,
            "answer": 0,
            "candidates": 1000,
        }
        margin.secrecy(model, prompts=table, modes=modes, out=out, **few)
        run = margin.open_run(out)
        write_probes(margin.probe(run), run)
        return analyse(run, permutations=9)

    return make


def laid_out(drawn: Picture) -> Figure:
    """The figure as it is written."""
    with figures.style("paper"):
        figures.fit(drawn.figure)
    return drawn.figure


@pytest.mark.parametrize("style", ["paper", "talk"])
@pytest.mark.parametrize("kind", ["small", "large", "named"])
def test_nothing_is_hidden_overprinted_or_cut(
    reports: Callable[[Kind], Report], kind: Kind, style: StyleName
) -> None:
    report, found = reports(kind), {}
    for name in FIGURES.keys() - DRAWN_ALIKE:
        if of_figure := faults(report.figure(name, style)):
            found[name] = of_figure
    assert not found


@pytest.mark.parametrize("inches", [3.35, 9.0])
def test_a_figure_is_as_wide_as_asked_and_still_in_place(
    reports: Callable[[Kind], Report], inches: float
) -> None:
    study, found = reports("small").study, {}
    for name in FIGURES.keys() - DRAWN_ALIKE - {"overview"}:
        drawn = laid_out(picture(study, name, Canvas(width=inches, titles=False, notes=False)))
        assert drawn.get_figwidth() == inches
        if of_figure := faults(drawn):
            found[name] = of_figure
    assert not found


def test_a_fitted_figure_moves_no_more_when_it_is_laid_out_again(reports: Callable[[Kind], Report]) -> None:
    """So that every format of it is one picture."""
    report = reports("named")
    for name in ("overview", "robustness", "layers", "slices"):
        fig = report.figure(name)
        engine = fig.get_layout_engine()
        assert engine is not None
        before = [ax.get_window_extent().bounds for ax in fig.axes]
        engine.execute(fig)
        after = [ax.get_window_extent().bounds for ax in fig.axes]
        np.testing.assert_allclose(after, before, atol=1.0, err_msg=name)  # pixels


def test_what_leaves_a_figure_stands_in_its_caption(reports: Callable[[Kind], Report]) -> None:
    study = reports("small").study
    for name, panels in (("projection", 2), ("slices", 2), ("waterfall", 1)):
        whole, bare = (picture(study, name, Canvas(titles=full, notes=full)) for full in (True, False))
        assert bare.caption == whole.caption
        axes = laid_out(bare).axes
        titled = [ax.get_title(loc=side) for ax in axes for side in ("left", "center")]
        assert [text for text in titled if text.strip()] == ["(a)", "(b)"][: panels - panels % 2]
        for ax in axes:
            assert "\n" not in ax.get_xlabel()
    assert "weakest: " in bare.caption
    assert "8 prompts under 3 modes" in bare.caption


def test_faults_are_seen() -> None:
    """Each kind that the other tests find none of, made on purpose."""
    with figures.style("paper"):
        fig = figures.figure("single")
        left, right = fig.subplots(1, 2)
        left.plot([0, 1, 2], [2, 1, 2], label="a line")
        left.legend(loc="lower center")
        left.text(0.5, 1.7, "one")
        left.text(0.5, 1.7, "another")
        left.text(2.1, 1.5, "over the panel beside")
        right.text(0.1, 1.4, "far above the canvas")
        fig.set_layout_engine(None)
        found = "\n".join(faults(fig))
    for words in ("'one' overlaps 'another'", "legend", "over another panel", "above the canvas' is cut"):
        assert words in found
