"""What a reader of the trace's figures relies on: the numbers drawn, and what each line is called."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from margin import figures


def words(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


@pytest.fixture
def curves() -> pd.DataFrame:
    patched = pd.DataFrame({"layer": [0, 1, 2], "estimate": [0.0, 0.4, 1.0]}).assign(curve="patched")
    cut = pd.DataFrame({"layer": [0, 1, 2], "estimate": [0.3, 0.6, 1.0]}).assign(curve="cut")
    table = pd.concat([patched, cut], ignore_index=True)
    return table.assign(low=table["estimate"] - 0.1, high=table["estimate"] + 0.1)


def test_both_curves_are_drawn_with_the_probe_and_the_decoys_behind(curves: pd.DataFrame) -> None:
    decoys = pd.DataFrame({"layer": [0, 1, 2], "low": [0.0, 0.1, 0.8], "high": [0.0, 0.5, 1.0]})
    probe = pd.DataFrame({"layer": [0, 1, 2], "estimate": [0.3, 1.0, 1.0]})
    ax = figures.trace_curves(
        curves, figures.figure().add_subplot(), decoys=decoys, probe=probe, handover=(1, 2)
    )
    drawn = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in ax.get_lines()}
    assert drawn["patched: lands with the donor"] == [0.0, 0.4, 1.0]
    assert drawn["cut: keeps its mode"] == [0.3, 0.6, 1.0]
    assert drawn["read by a probe"] == [0.3, 1.0, 1.0]
    assert "patched, meaningless tokens" in words(ax)
    marked = [line for line in ax.get_lines() if np.all(np.asarray(line.get_ydata()) < 0)]
    assert np.round(np.asarray(marked[0].get_xdata())).tolist() == [1, 2]


def test_without_decoys_probe_and_interval_only_the_curves_are_drawn(curves: pd.DataFrame) -> None:
    ax = figures.trace_curves(curves, figures.figure().add_subplot())
    assert words(ax) == ["patched: lands with the donor", "cut: keeps its mode"]


def test_doses_are_drawn_by_kind_of_direction() -> None:
    table = pd.DataFrame(
        [
            {"dose": dose, "control": control, "estimate": share, "low": share, "high": share}
            for control, shares in {"direction": (0.2, 0.9), "random": (0.0, 0.1)}.items()
            for dose, share in zip((0.5, 1.0), shares, strict=True)
        ]
    )
    ax = figures.dose_response(table, figures.figure().add_subplot())
    drawn = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in ax.get_lines()}
    assert drawn == {"along the direction": [0.2, 0.9], "random direction": [0.0, 0.1]}


def test_a_table_that_lacks_a_column_is_refused(curves: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="estimate"):
        figures.trace_curves(curves.drop(columns="estimate"), figures.figure().add_subplot())
