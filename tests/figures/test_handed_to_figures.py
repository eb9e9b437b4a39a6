"""What figures are handed: the same picture of any container, and one line for what cannot be drawn."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes
from sklearn.decomposition import PCA

from margin import figures
from margin.errors import MarginError

LAYERS = pd.DataFrame({"layer": [0, 1], "estimate": [0.0, 0.1], "low": [-0.1, 0.0], "high": [0.1, 0.2]})
SLICES = pd.DataFrame(
    {"slice": ["en", "zh"], "estimate": [0.2, 0.1], "low": 0.0, "high": 0.3, "n_prompts": 99}
)
POINTS = pd.DataFrame({"prompt": ["a", "a", "b", "b"], "mode": ["pos", "neg"] * 2, "silhouette": 0.5})
DECOYS = pd.DataFrame({"name": ["all"], "live": [0.3], "decoys": [[0.0, 0.1]]})
X = np.random.default_rng(0).normal(size=(30, 4))
MODES, PROMPTS = ["pos", "neg", "rej"] * 10, np.repeat(range(10), 3).tolist()


def axes() -> Axes:
    return figures.figure().add_subplot()


@pytest.mark.parametrize(
    "points", [X.tolist(), torch.tensor(X, requires_grad=True), pd.DataFrame(X, index=range(5, 35))]
)
def test_any_container_is_projected_as_its_principal_components(points: Any) -> None:
    found = figures.project(points, MODES, PROMPTS).coordinates
    assert np.allclose(np.abs(found), np.abs(PCA(2).fit_transform(X)))


def test_a_slice_that_is_not_ranked_stands_below() -> None:
    forest = figures.slice_forest(SLICES.assign(ranked=[True, False]), axes())
    assert [label.get_text().split()[0] for label in forest.get_yticklabels()] == ["en", "zh"]


BROKEN: list[tuple[Callable[[], object], str]] = [
    (lambda: figures.layer_curve(LAYERS.to_dict("list"), axes()), "must be a DataFrame of pandas, got dict"),
    (lambda: figures.layer_curve(LAYERS.assign(low=0.9), axes()), "row 0 of the layer table has a low above"),
    (lambda: figures.layer_curve(LAYERS.assign(layer=[0, 0.5]), axes()), "row 1 .* layer 0.5: take a whole"),
    (lambda: figures.layer_curve(LAYERS.assign(layer=8), axes()), "two rows for 8:"),
    (lambda: figures.slice_forest(SLICES, axes(), most=0), "most 0: take a whole number from 1"),
    (lambda: figures.slice_forest(SLICES, axes(), most=-1), "most -1"),
    # What a CSV file or a spreadsheet makes of it: as a truth every text is True.
    (lambda: figures.slice_forest(SLICES.assign(ranked="False"), axes()), "ranked .* True and False"),
    (lambda: figures.silhouette_plot(POINTS.assign(silhouette=50.0), axes()), "silhouette 50: it lies from"),
    (lambda: figures.prompt_waterfall(POINTS.assign(silhouette=-3.0), axes()), "silhouette -3"),
    (lambda: figures.decoy_strips(DECOYS.assign(decoys=0.1), axes()), "row 0 .* no list of finite numbers"),
    (lambda: figures.decoy_strips(DECOYS.assign(decoys=[[0.1, np.nan]]), axes()), "no list of finite"),
    (lambda: figures.decoy_strips(DECOYS.drop(columns="decoys"), axes()), "lacks decoys"),
    (lambda: figures.probe_curve(LAYERS.assign(quantity="accuracy"), axes(), chance=33), "chance 33"),
    (lambda: figures.project(X, [None, *MODES[1:]], PROMPTS), "modes: that of point 0 is missing"),  # type: ignore[list-item]
    (lambda: figures.project(X, MODES, PROMPTS, seed=-1), "seed -1"),
    (lambda: figures.project(X, MODES, PROMPTS, silhouette=22), "silhouette 22"),
    (lambda: figures.project(X[:, None], MODES, PROMPTS), "X must be a matrix"),
]


@pytest.mark.parametrize(("broken", "message"), BROKEN)
def test_what_cannot_be_drawn_is_one_line(broken: Callable[[], object], message: str) -> None:
    with pytest.raises((ValueError, MarginError), match=message) as caught:
        broken()
    assert "\n" not in str(caught.value)


def drawing() -> list[str]:
    """Public functions that draw on an Axes or change a Figure."""
    return [
        name
        for name in figures.__all__
        if callable(function := getattr(figures, name))
        and not inspect.isclass(function)
        and {"ax", "fig"} & set(inspect.signature(function).parameters)
    ]


@pytest.mark.parametrize("name", drawing())
def test_what_is_no_axes_or_figure_is_one_line(name: str) -> None:
    function = getattr(figures, name)
    taken = inspect.signature(function).parameters
    place = "ax" if "ax" in taken else "fig"
    right = figures.figure() if place == "ax" else axes()
    for wrong in (right, None, np.array([axes()]), "figure.png"):
        others = {
            each.name: LAYERS for each in taken.values() if each.default is each.empty and each.name != place
        }
        with pytest.raises(MarginError, match=f"^{name}: {place} must be .*, such as figure") as caught:
            function(**others, **{place: wrong})
        assert str(caught.value).endswith(f"got {type(wrong).__name__}")
