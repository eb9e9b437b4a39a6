"""Plots show what their tables say, and refuse what they cannot show in one line."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from margin.figures.curves import layer_curve, position_curve, trajectory
from margin.figures.forest import slice_forest
from margin.figures.intervals import written
from margin.figures.overview import overview
from margin.figures.pairs import pair_heatmap
from margin.figures.projection import project
from margin.figures.robustness import robustness
from margin.figures.save import save
from margin.figures.scatter import projection_panels, scatter
from margin.figures.silhouettes import silhouette_ecdf, silhouette_plot, silhouette_strips
from margin.figures.style import figure, mode_looks, style
from margin.figures.waterfall import prompt_waterfall

HOSTILE = ["<script>$x^2$</script>", "a_b\n$5 and $6", "\u202eturned", "quo\"te's"]


@pytest.fixture
def ax() -> Iterator[Axes]:
    with style("paper"):
        yield figure().add_subplot()


def silhouettes(n: int = 30, value: float | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {"prompt": f"p{i}", "mode": mode, "silhouette": rng.normal(0.1, 0.1) if value is None else value}
        for i in range(n)
        for mode in ("pos", "neg", "rej")
    ]
    return pd.DataFrame(rows, columns=["prompt", "mode", "silhouette"])


ESTIMATES = pd.DataFrame(
    {"name": ["pos", "neg"], "estimate": [0.1, 0.2], "low": [0.05, 0.1], "high": [0.15, np.nan]}
)
PAIRS = pd.DataFrame(
    {
        "first": ["neg", "pos", "rej"],
        "second": ["pos", "rej", "neg"],
        "estimate": [0.1, 0.2, 0.3],
        "low": [0.05, 0.1, np.nan],
        "high": [0.15, np.nan, np.nan],
    }
)
LAYERS = pd.DataFrame(
    {"layer": [0, 1, 2], "estimate": [0.0, 0.1, 0.2], "low": [-0.1, 0.0, 0.1], "high": [0.1, 0.2, 0.3]}
)
SLICES = pd.DataFrame(
    {
        "slice": ["strong", "tiny", "weak"],
        "estimate": [0.3, 0.01, 0.1],
        "low": [0.2, -0.2, 0.05],
        "high": [0.4, 0.2, np.nan],
        "n_prompts": [100, 29, 30],
    }
)
LANDING = pd.DataFrame(
    {
        "condition": ["none", "none", "random", "random"],
        "outcome": ["pos", "outside", "pos", "outside"],
        "share": [0.9, 0.1, 0.8, 0.2],
        "low": [0.85, 0.05, 0.7, 0.1],
        "high": [0.95, 0.15, 0.9, 0.3],
        "n_prompts": [100, 100, 90, 90],
    }
)
POSITIONS = LAYERS.rename(columns={"layer": "position"})
STEPS = LAYERS.rename(columns={"layer": "checkpoint"})

Draw = Callable[[pd.DataFrame, Axes], Axes]
PLOTS: list[tuple[Draw, pd.DataFrame]] = [
    (silhouette_plot, silhouettes()),
    (silhouette_ecdf, silhouettes()),
    (silhouette_strips, silhouettes()),
    (prompt_waterfall, silhouettes()),
    (pair_heatmap, PAIRS),
    (layer_curve, LAYERS),
    (position_curve, POSITIONS),
    (slice_forest, SLICES),
    (robustness, LANDING),
    (trajectory, STEPS),
    (scatter, pd.DataFrame({"mode": ["pos", "neg"], "x": [0.0, 1.0], "y": [0.0, 1.0]})),
]
each_plot = pytest.mark.parametrize(
    ("draw", "table"), PLOTS, ids=[getattr(draw, "__name__", "") for draw, _ in PLOTS]
)


def bars(ax: Axes) -> set[tuple[float, float, float]]:
    """Horizontal interval bars of an Axes as (height, low, high)."""
    found = set()
    for collection in ax.collections:
        if isinstance(collection, LineCollection):
            for (x0, y0), (x1, y1) in collection.get_segments():
                if y0 == y1:
                    found.add((round(float(y0), 6), round(float(x0), 6), round(float(x1), 6)))
    return found


def lines(ax: Axes) -> list[tuple[list[float], list[float]]]:
    return [(list(map(float, line.get_xdata())), list(map(float, line.get_ydata()))) for line in ax.lines]  # type: ignore[arg-type]


def tick_texts(ax: Axes) -> list[str]:
    return [tick.get_text() for tick in ax.get_yticklabels()]


@each_plot
def test_every_plot_returns_its_axes_with_title_and_axis_names(
    draw: Draw, table: pd.DataFrame, ax: Axes
) -> None:
    assert draw(table, ax) is ax
    assert ax.get_title(loc="left") or ax.get_title(loc="center")
    named = [ax.get_xlabel(), *(other.get_ylabel() for other in ax.figure.axes)]
    assert any(named)


@each_plot
def test_every_plot_leaves_its_table_alone(draw: Draw, table: pd.DataFrame, ax: Axes) -> None:
    before = table.copy()
    draw(table, ax)
    pd.testing.assert_frame_equal(table, before)


@each_plot
def test_every_plot_names_what_is_wrong_with_its_table(draw: Draw, table: pd.DataFrame, ax: Axes) -> None:
    with pytest.raises(ValueError, match="no rows: there is nothing to draw"):
        draw(table.iloc[:0], ax)
    numeric = [column for column in table.select_dtypes("number") if column not in ("low", "high")][-1]
    with pytest.raises(ValueError, match=f"lacks {numeric}"):
        draw(table.drop(columns=numeric), ax)
    with pytest.raises(ValueError, match=f"row 1 of the .* table has no finite {numeric}"):
        draw(table.assign(**{numeric: [1.0, np.inf, *[1.0] * (len(table) - 2)]}), ax)
    name = next((c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])), None)
    if name:
        with pytest.raises(ValueError, match=f"row 0 of the .* table has no {name}"):
            draw(table.assign(**{name: [None, *table[name][1:]]}), ax)
    with pytest.raises(ValueError, match="no number"):
        draw(table.assign(**{numeric: "many"}), ax)


@each_plot
@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_rows_are_drawn_without_a_complaint(
    draw: Draw, table: pd.DataFrame, count: int, ax: Axes, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(table.head(count), ax)
        save(ax.figure, tmp_path / "a.png", dpi=50)  # type: ignore[arg-type]


@each_plot
def test_hostile_names_are_drawn_as_text(draw: Draw, table: pd.DataFrame, ax: Axes, tmp_path: Path) -> None:
    names = [column for column in table.columns if not pd.api.types.is_numeric_dtype(table[column])]
    distinct = pd.unique(table[names].to_numpy().ravel())
    swap = {name: f"{HOSTILE[i % len(HOSTILE)]}{i}" for i, name in enumerate(distinct)}
    if not draw(table.replace(swap), ax).get_title(loc="left"):
        assert ax.get_title(loc="center")
    save(ax.figure, tmp_path / "a.svg")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0.0, -1.0])
@pytest.mark.parametrize("draw", [silhouette_plot, silhouette_ecdf, silhouette_strips, prompt_waterfall])
def test_constant_silhouettes_are_drawn(draw: Draw, value: float, ax: Axes, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(silhouettes(value=value), ax)
        save(ax.figure, tmp_path / "a.png", dpi=50)  # type: ignore[arg-type]


def test_duplicates_are_refused(ax: Axes) -> None:
    for draw, table in ((silhouette_plot, silhouettes()), (layer_curve, LAYERS), (slice_forest, SLICES)):
        with pytest.raises(ValueError, match="two rows for"):
            draw(pd.concat([table, table.head(1)]), ax)
    with pytest.raises(ValueError, match="two rows for pos and neg"):
        pair_heatmap(
            pd.concat([PAIRS, PAIRS.head(1).rename(columns={"first": "second", "second": "first"})]), ax
        )


def test_slices_are_ranked_from_thirty_prompts_on(ax: Axes) -> None:
    slice_forest(SLICES, ax)
    assert [text.split("\n")[0] for text in tick_texts(ax)] == ["weak", "strong", "tiny"]
    assert "under 30 prompts, not ranked" in ax.get_xlabel()
    hollow = [np.asarray(line.get_xdata()) for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert np.concatenate(hollow) == pytest.approx([0.01])


def test_a_long_list_of_slices_says_what_it_leaves_out(ax: Axes) -> None:
    slice_forest(SLICES, ax, most=1)
    assert [text.split("\n")[0] for text in tick_texts(ax)] == ["weak"]
    assert "1 of 3 slices shown" in ax.get_xlabel()


def test_intervals_are_drawn_where_the_table_has_them(ax: Axes) -> None:
    slice_forest(SLICES, ax)
    assert bars(ax) == {(0.0, 0.05, 0.1), (1.0, 0.2, 0.4), (2.5, -0.2, 0.2)}


def test_where_prompts_land_has_an_interval_for_each_share(ax: Axes) -> None:
    robustness(LANDING, ax)
    assert {(low, high) for _, low, high in bars(ax)} == set(
        zip(LANDING["low"], LANDING["high"], strict=True)
    )
    with pytest.raises(ValueError, match=r"row 0 .* outside 0 to 1"):
        robustness(LANDING.assign(share=1.5), ax)


def test_waterfall_ascends_and_names_the_weakest(ax: Axes) -> None:
    table = silhouettes()
    prompt_waterfall(table, ax, named=2)
    means = table.groupby("prompt")["silhouette"].mean().sort_values()
    assert ax.get_xlabel().split("\n")[1] == f"weakest: {means.index[0]}, {means.index[1]}"
    drawn = [patch.get_data().values for patch in ax.patches if not patch.get_fill()]  # type: ignore[attr-defined]
    assert drawn[0] == pytest.approx(means.to_numpy())
    assert f"{(means < 0).sum()} below 0" in ax.get_xlabel()


def test_ecdf_is_the_share_of_prompts_within_its_band(ax: Axes) -> None:
    table = silhouettes(50)
    silhouette_ecdf(table, ax)
    values = table.loc[table["mode"] == "pos", "silhouette"].to_numpy()
    x, y = next(line for line in lines(ax) if len(line[0]) == 51)
    for point in np.quantile(values, [0.1, 0.5, 0.9]) + 1e-9:
        assert y[np.searchsorted(x, point, side="right") - 1] == pytest.approx(np.mean(values <= point))
    assert "95%" in ax.get_xlabel()


def test_heat_map_writes_each_pair_once_whatever_its_order(ax: Axes) -> None:
    pair_heatmap(PAIRS, ax)
    written_there = {text.get_text() for text in ax.texts}
    assert written_there == {"0.10\n[0.05, 0.15]", "0.20\n[≥ 0.10]", "0.30\n[–]"}
    with pytest.raises(ValueError, match="with itself"):
        pair_heatmap(PAIRS.assign(second=PAIRS["first"]), ax)


def test_curves_keep_numbers_to_scale_and_names_in_order(ax: Axes) -> None:
    trajectory(STEPS.assign(checkpoint=[0, 100, 1000]), ax, null=-0.01)
    assert ([0.0, 100.0, 1000.0], [0.0, 0.1, 0.2]) in lines(ax)
    assert ([0.0, 1.0], [-0.01, -0.01]) in lines(ax)
    ax.clear()
    trajectory(STEPS.assign(checkpoint=["warm", "base", "end"]), ax)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["warm", "base", "end"]


def test_a_mode_has_its_own_colour_in_every_curve(ax: Axes) -> None:
    table = pd.concat([LAYERS.assign(mode="neg"), LAYERS.assign(mode="pos")])
    layer_curve(table, ax, series="mode")
    colours = {line.get_label(): line.get_color() for line in ax.lines}
    assert {mode: colours[mode] for mode in ("pos", "neg")} == {
        mode: look.colour for mode, look in mode_looks(["pos", "neg"]).items()
    }


def test_scatter_draws_every_point_in_its_modes_look(ax: Axes) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(90, 2)), columns=["x", "y"]).assign(mode=["pos", "neg", "rej"] * 30)
    scatter(table, ax)
    for mode, look in mode_looks(table["mode"]).items():
        drawn = [line for line in ax.lines if line.get_color() == look.colour]
        assert {line.get_marker() for line in drawn} == {look.marker}
        xs = np.concatenate([np.asarray(line.get_xdata()) for line in drawn])
        assert np.sort(xs) == pytest.approx(np.sort(table.loc[table["mode"] == mode, "x"]))


@pytest.mark.parametrize(
    ("rows", "texts"),
    [
        ([(0.131, 0.10, 0.17)], ["0.13 [0.10, 0.17]"]),
        ([(-0.0004, -0.003, 0.002)], ["0.000 [−0.003, 0.002]"]),
        ([(0.2, np.nan, np.nan), (0.2, np.nan, 0.3)], ["0.20 [–]", "0.20 [≤ 0.30]"]),
    ],
)
def test_numbers_are_written_as_finely_as_their_interval_asks(rows: Any, texts: list[str]) -> None:
    assert written(pd.DataFrame(rows, columns=["estimate", "low", "high"])) == texts


def test_overview_has_a_panel_for_what_is_handed_over(points: Any, tmp_path: Path) -> None:
    X, modes, prompts = points(n=10)
    projections = tuple(project(X, modes, prompts, centre_prompts=centred) for centred in (False, True))
    with style("paper"):
        small = overview("run", silhouettes=silhouettes(1))
        full = overview(
            "run",
            silhouettes=silhouettes(),
            estimates=ESTIMATES,
            projections=projections,
            pairs=PAIRS,
            layers=LAYERS,
            slices=SLICES,
            landing=LANDING,
        )
        panels = projection_panels(figure("double"), projections)
    titles = [ax.get_title(loc="left") or ax.get_title() for ax in full.axes]
    assert [title[:3] for title in titles if title] == [
        "(a)",
        "(b)",
        "(c)",
        "(d)",
        "(e)",
        "(f)",
        "(g)",
        "(h)",
    ]
    assert len([ax for ax in small.axes if ax.get_title(loc="left")]) == 2
    assert full.get_figheight() < 10  # one page
    assert str(projections[1].quality) in panels[1].get_xlabel()
    alone = save(full, tmp_path / "a.svg")
    save(full, tmp_path / "a.png", dpi=50)
    assert save(full, tmp_path / "b.svg").read_bytes() == alone.read_bytes()


def overlaps(texts: list[Any]) -> list[tuple[str, str]]:
    """Texts of a figure that lie on each other."""
    boxes = [text.get_window_extent().shrunk(0.95, 0.95) for text in texts]
    return [
        (texts[i].get_text(), texts[j].get_text())
        for i in range(len(texts))
        for j in range(i)
        if boxes[i].overlaps(boxes[j])
    ]


@pytest.mark.parametrize("width", ["single", "double", "slide"])
@pytest.mark.parametrize("names", [[f"mode{i}" for i in range(12)], ["n" * 200, "o" * 200, "p" * 200]])
def test_many_modes_and_long_names_do_not_lie_on_each_other(names: list[str], width: Any) -> None:
    rng = np.random.default_rng(0)
    pairs = pd.DataFrame(
        [
            {"first": a, "second": b, "estimate": 0.123, "low": -0.101, "high": 0.201}
            for i, a in enumerate(names)
            for b in names[:i]
        ]
    )
    points = pd.DataFrame(
        [{"prompt": p, "mode": m, "silhouette": rng.normal() / 9} for p in range(5) for m in names]
    )
    means = pd.DataFrame({"name": names, "estimate": -0.111, "low": -0.222, "high": -0.101})
    with style("talk" if width == "slide" else "paper"):
        fig = figure(width)
        ax = pair_heatmap(pairs, fig.add_subplot())
        fig.draw_without_rendering()
        assert not overlaps([*ax.texts, *ax.get_xticklabels()])
        assert len(ax.texts) == (0 if len(names) == 12 and width == "single" else len(pairs))
        for plot in (silhouette_plot, silhouette_strips):
            fig = figure(width)
            ax = plot(points, fig.add_subplot(), estimates=means)
            fig.draw_without_rendering()
            assert not overlaps(ax.get_yticklabels())


@pytest.mark.parametrize("names", [[f"m{i}" for i in range(12)], ["n" * 200, "o" * 200, "p" * 200]])
def test_the_legend_of_a_projection_stays_in_its_panel_and_off_its_points(
    names: list[str], points: Callable[..., Any]
) -> None:
    projection = project(*points(n=9, modes=tuple(names)))
    with style("paper"):
        fig = figure("double", 4.0)
        axes = projection_panels(fig, [projection, projection])
        fig.draw_without_rendering()
    for ax in axes:
        named = ax.get_legend()
        assert named is not None
        legend, panel = named.get_window_extent(), ax.get_window_extent()
        assert panel.x0 <= legend.x0
        assert legend.x1 <= panel.x1 * 1.01
        assert ax.transData.transform(projection.coordinates)[:, 1].max() <= legend.y0 + 5
