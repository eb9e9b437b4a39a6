"""Numbers of checkpoints against each other: what is drawn is what was measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from margin import figures


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "x": [0.1, 0.2, 0.4],
            "x_low": [0.0, np.nan, 0.3],
            "x_high": [0.2, np.nan, 0.5],
            "y": [0.5, 0.9, 0.7],
            "y_low": [0.4, 0.8, 0.6],
            "y_high": [0.6, 1.0, 0.8],
        }
    )


def test_each_checkpoint_is_drawn_with_both_intervals(table: pd.DataFrame) -> None:
    ax = figures.association(table, figures.figure().add_subplot(), names=("margin", "switch"), title="ρ")
    (markers,) = ax.lines
    assert np.array(markers.get_xydata()).tolist() == table[["x", "y"]].to_numpy().tolist()
    across, up = (
        [segment.tolist() for segment in collection.get_segments()]  # type: ignore[attr-defined]
        for collection in ax.collections
    )
    assert across[0] == [[0.0, 0.5], [0.2, 0.5]]
    assert across[1] == [[0.2, 0.9], [0.2, 0.9]]  # no interval: no bar
    assert up[2] == [[0.4, 0.6], [0.4, 0.8]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("margin", "switch")


def test_a_checkpoint_without_one_of_the_numbers_is_left_out(table: pd.DataFrame) -> None:
    table.loc[0, "y"] = np.nan
    ax = figures.association(table, figures.figure().add_subplot())
    assert np.shape(ax.lines[-1].get_xdata())[0] == 2


def test_the_mean_of_the_risks_is_drawn_over_those_of_the_runs() -> None:
    runs = pd.DataFrame(
        {"run": ["a", "a", "b", "b"], "coverage": [0.05, 1.0, 0.05, 1.0], "risk": [0.0, 0.2, 0.2, 0.4]}
    )
    ax = figures.risk_coverage(runs, figures.figure().add_subplot())
    *each, mean = ax.lines
    assert len(each) == 2
    assert np.asarray(mean.get_ydata())[[0, -1]] == pytest.approx([0.1, 0.3])


def test_an_empty_table_says_so() -> None:
    with pytest.raises(ValueError, match="no rows"):
        figures.risk_coverage(
            pd.DataFrame(columns=["run", "coverage", "risk"]), figures.figure().add_subplot()
        )
