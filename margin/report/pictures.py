"""The figures of a report, by name: tables of the report and points of its run, drawn by `figures`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

import figures
from figures.projection import Method
from figures.style import StyleName, Width
from margin.errors import MarginError
from margin.report.points import Points, points_of, projections, seed_ranges
from margin.report.report import Report
from margin.run.files import write_atomic
from margin.run.run import Run
from margin.study.notation import model_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # by name only: `figures` comes first, whatever MPLBACKEND says

FORMATS = ("pdf", "png", "svg")
_SLICES = 12
"""Slices of a column that are drawn, the weakest first: more fill a page and hide them."""

_PAIRED = 6
"""Modes up to which all pairs, with their intervals, fit a figure of one column."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Draws the figures of one report. What several figures need is computed once."""

    run: Run
    report: Report
    style: StyleName = "paper"

    def draw(self, name: str) -> Figure:
        """The figure `name`, one of `FIGURES`, in this style.

        Raises
        ------
        MarginError : the run holds too little for this figure; says what is missing.
        """
        with figures.style(self.style):
            return FIGURES[name](self)

    def save(self, names: Iterable[str], out: Path, formats: Iterable[str] = FORMATS) -> Iterator[Path]:
        """Draw figures and write them to `out`/NAME.FORMAT, yielding each path once it is written.

        The same run and seed give the same bytes in PNG and SVG; of the overview, whose nested layout differs
        in its last bits, in PNG only. Raises as `draw`.
        """
        for name in names:
            fig = self.draw(name)
            with figures.style(self.style):
                for suffix in formats:
                    path = out / f"{name}.{suffix}"
                    write_atomic(path, figures.rendered(fig, suffix))
                    yield path

    def canvas(self, width: Width, height: float | None = None) -> Figure:
        """Empty figure: on paper `width` columns wide and `height` inches high, in a talk a slide."""
        return figures.figure("slide") if self.style == "talk" else figures.figure(width, height)

    @cached_property
    def points(self) -> Points:
        """Points behind the headline margin."""
        return points_of(self.run, self.report)

    @cached_property
    def silhouettes(self) -> pd.DataFrame:
        """One row a point: prompt, mode, silhouette."""
        return self.points.to_frame()

    @cached_property
    def modes(self) -> list[str]:
        """All modes, so that they look the same in every figure."""
        return list(self.report.headline.per_mode)

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """Margin of each mode: name and the fields of its estimate."""
        per_mode = self.report.headline.per_mode
        return pd.DataFrame([{"name": mode, **e.to_dict()} for mode, e in per_mode.items()])

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Margin of each pair of modes: first, second and the fields of its estimate."""
        pairs = self.report.headline.one_vs_one
        return pd.DataFrame([{"first": a, "second": b, **e.to_dict()} for (a, b), e in pairs.items()])

    @cached_property
    def layers(self) -> pd.DataFrame | None:
        """Margin by layer and variant, or None."""
        return None if self.report.layers is None else self.report.layers.to_frame()

    @cached_property
    def layer_separation(self) -> pd.DataFrame | None:
        """The mode's share of the variance within prompts by layer, or None."""
        found = None if self.report.layers is None else self.report.layers.separation_frame()
        return None if found is None or found.empty else found

    @cached_property
    def slices(self) -> dict[str, pd.DataFrame]:
        """Margin by slice, a table for each column that holds any."""
        return {found.column: found.to_frame() for found in self.report.slices if found.names}

    @cached_property
    def landing(self) -> pd.DataFrame | None:
        """Shares of prompts landing in each mode, by control condition, or None."""
        table = self.report.robustness.landings()
        return None if table.empty else table

    @cached_property
    def projections(self) -> Callable[[Method], tuple[figures.Projection, ...]]:
        """Raw and prompt-centred projections by method."""
        return cache(lambda method: projections(self.points, self.report, method))


def _overview(pictures: Pictures) -> Figure:
    report = pictures.report
    slices = _together(pictures.slices)
    # With every user's turn and attack there would be dozens: the figure of its own shows those.
    unknown = report.robustness.landings("none", "random", "near-miss")
    try:
        projected = pictures.projections("pca")
    except MarginError:  # the page still shows the rest; the figure of the projection says what it lacks
        projected = ()
    return figures.overview(
        f"Safety Alignment Margin of {model_name(report.provenance['model'])}",
        silhouettes=pictures.silhouettes,
        estimates=pictures.estimates,
        projections=projected,
        pairs=pictures.pairs,
        layers=pictures.layers,
        slices=slices,
        landing=None if unknown.empty else unknown,
        overall=report.headline.leave_prompt_out.estimate,
    )


def _together(slices: dict[str, pd.DataFrame]) -> pd.DataFrame | None:
    """The slices of all columns as "column: value", the same words of another column as "... (2)"."""
    if not slices:
        return None
    table = pd.concat([part.assign(slice=f"{column}: " + part["slice"]) for column, part in slices.items()])
    times = table.groupby("slice").cumcount() + 1
    again = table["slice"] + " (" + times.astype(str) + ")"
    return table.assign(slice=table["slice"].where(times == 1, again))


def _projection(method: Method) -> Callable[[Pictures], Figure]:
    def draw(pictures: Pictures) -> Figure:
        panels = pictures.projections(method)
        seeds = seed_ranges(pictures.points, method)
        fig = pictures.canvas("double", 4.0 if not seeds else 4.5)
        figures.projection_panels(fig, panels, modes=pictures.modes, seeds=seeds)
        return fig

    return draw


def _silhouette(pictures: Pictures) -> Figure:
    fig = pictures.canvas("single")
    figures.silhouette_plot(
        pictures.silhouettes, fig.add_subplot(), estimates=pictures.estimates, modes=pictures.modes
    )
    return fig


def _distributions(pictures: Pictures) -> Figure:
    fig = pictures.canvas("double", 2.6)
    left, right = fig.subplots(1, 2)
    figures.silhouette_ecdf(
        pictures.silhouettes,
        left,
        level=pictures.report.headline.leave_prompt_out.level or 0.95,
        modes=pictures.modes,
    )
    figures.silhouette_strips(pictures.silhouettes, right, estimates=pictures.estimates, modes=pictures.modes)
    return fig


def _waterfall(pictures: Pictures) -> Figure:
    fig = pictures.canvas("single")
    figures.prompt_waterfall(pictures.silhouettes, fig.add_subplot())
    return fig


def _pairs(pictures: Pictures) -> Figure:
    modes = len(pictures.modes)
    fig = pictures.canvas("single") if modes <= _PAIRED else pictures.canvas("double", 0.4 * modes + 0.5)
    figures.pair_heatmap(pictures.pairs, fig.add_subplot())
    return fig


def _layers(pictures: Pictures) -> Figure:
    if pictures.layers is None:
        raise MarginError("no layer curve can be drawn: collect the run with --layers all")
    if pictures.layer_separation is None:
        fig = pictures.canvas("single")
        figures.layer_curve(pictures.layers, fig.add_subplot(), series="variant")
        return fig
    fig = pictures.canvas("double", 2.6)
    left, right = fig.subplots(1, 2)
    figures.layer_curve(pictures.layers, left, series="variant")
    figures.layer_curve(
        pictures.layer_separation,
        right,
        title="Mode's share of the variance within prompts",
        ylabel="epsilon squared (at most 1)",
    )
    return fig


def _positions(pictures: Pictures) -> Figure:
    if pictures.report.positions is None:
        raise MarginError("no curve along the response can be drawn: collect the run with --positions")
    fig = pictures.canvas("single")
    figures.position_curve(pictures.report.positions.to_frame(), fig.add_subplot(), series="variant")
    return fig


def _probes(pictures: Pictures) -> Figure:
    probes = pictures.report.probes
    if probes is None:
        raise MarginError("no probes can be drawn: margin probe RUN makes them")
    fig = pictures.canvas("single")
    figures.probe_curve(pd.DataFrame(probes["curve"]), fig.add_subplot(), chance=probes["chance"])
    return fig


def _slices(pictures: Pictures) -> Figure:
    if not pictures.slices:
        raise MarginError("no slices can be drawn: no column of the prompts has two to fifty values")
    rows = [min(_SLICES, len(table)) for table in pictures.slices.values()]
    heights = [figures.forest_height(n) for n in rows]
    fig = pictures.canvas("single", sum(heights))
    panels = fig.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    overall = pictures.report.headline.leave_prompt_out.estimate
    for ax, (column, table) in zip(panels, pictures.slices.items(), strict=True):
        figures.slice_forest(
            table, ax, overall=overall, most=_SLICES, title=f"Margin by {figures.text.label(column, 18)}"
        )
    return fig


def _robustness(pictures: Pictures) -> Figure:
    if pictures.landing is None:
        raise MarginError("no landing of controls can be drawn: collect the run with --controls")
    conditions = pictures.landing["condition"].nunique()
    fig = pictures.canvas("double", 1.1 + 0.3 * conditions)
    figures.robustness(pictures.landing, fig.add_subplot(), modes=pictures.modes)
    return fig


FIGURES: dict[str, Callable[[Pictures], Figure]] = {
    "overview": _overview,
    "projection": _projection("pca"),
    "projection-lda": _projection("lda"),
    "projection-tsne": _projection("tsne"),
    "projection-umap": _projection("umap"),
    "silhouette": _silhouette,
    "distributions": _distributions,
    "waterfall": _waterfall,
    "pairs": _pairs,
    "layers": _layers,
    "positions": _positions,
    "probes": _probes,
    "slices": _slices,
    "robustness": _robustness,
}
"""Every figure by name. The projections are raw and prompt-centred, side by side."""
IN_REPORT = ("overview", "projection")
"""Figures that every report carries."""
