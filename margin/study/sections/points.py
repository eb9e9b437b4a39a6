"""Where do the points lie? Pictures of them, no numbers of their own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin import figures
from margin.analysis.vectors import FloatArray, unit_rows
from margin.errors import MarginError
from margin.extras import require
from margin.figures.projection import Method, Projection
from margin.figures.quality import whole_prompts
from margin.study.canvas import Canvas
from margin.study.section import PointDraw, PointSection
from margin.study.study import PointStudy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURED = 10_000
"""Points that a picture shows at most."""


def _projected(method: Method) -> PointDraw:
    """Draws the points as they are and prompt-centred, side by side."""

    def draw(study: PointStudy, canvas: Canvas) -> Figure:
        points = study.section(Points)
        assert points is not None
        panels, seeds = points.projections(study, method), points.seed_ranges(study, method)
        fig, axes = canvas.panels(len(panels), 4.0 if not seeds else 4.5)
        for ax, projection, ranges in zip_longest(axes, panels, seeds):
            figures.draw_projection(projection, ax, modes=list(study.headline.per_mode), seeds=ranges)
        return fig

    return draw


def _silhouette(study: PointStudy, canvas: Canvas) -> Figure:
    """Silhouettes of every mode's points."""
    fig = canvas.figure("single")
    modes = list(study.headline.per_mode)
    figures.silhouette_plot(silhouettes(study), fig.add_subplot(), estimates=estimates(study), modes=modes)
    return fig


def _distributions(study: PointStudy, canvas: Canvas) -> Figure:
    """How silhouettes are distributed in each mode."""
    fig, (left, right) = canvas.panels(2, 2.8)
    lines, modes = silhouettes(study), list(study.headline.per_mode)
    figures.silhouette_ecdf(lines, left, level=study.settings.level, modes=modes)
    figures.silhouette_strips(lines, right, estimates=estimates(study), modes=modes)
    return fig


def _waterfall(study: PointStudy, canvas: Canvas) -> Figure:
    """The prompts' silhouettes, sorted."""
    fig = canvas.figure("single")
    figures.prompt_waterfall(silhouettes(study), fig.add_subplot())
    return fig


def silhouettes(study: PointStudy) -> pd.DataFrame:
    """One row a point: prompt, mode, leave-prompt-out silhouette."""
    design = study.design
    return pd.DataFrame(
        {
            "prompt": [design.prompt_ids[prompt] for prompt in design.prompt],
            "mode": [design.modes[mode] for mode in design.mode],
            "silhouette": study.headline.samples,
        }
    )


def estimates(study: PointStudy) -> pd.DataFrame:
    """Margin of each mode: name and the fields of its estimate."""
    return pd.DataFrame([{"name": mode, **e.to_dict()} for mode, e in study.headline.per_mode.items()])


@dataclass(frozen=True, eq=False)
class Points(PointSection):
    """Points of a run, each one prompt under one mode, in the space of its headline margin."""

    figures = {
        "projection": _projected("pca"),
        "projection-lda": _projected("lda"),
        "projection-tsne": _projected("tsne"),
        "projection-umap": _projected("umap"),
        "silhouette": _silhouette,
        "distributions": _distributions,
        "waterfall": _waterfall,
    }
    coordinates: FloatArray
    """(N, d) places of the points, as the study has them. Of a head that is not affine the final states stand
    for the logits, which have no coordinates."""
    modes: list[str]
    """(N,) mode of each point."""
    prompts: list[str]
    """(N,) prompt id of each point."""
    exact: bool
    """Whether these are the coordinates of the space itself, and not the states in its stead."""
    _projections: dict[Method, tuple[Projection, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, study: PointStudy) -> Points:
        """The points behind the headline margin."""
        design, (X, exact) = study.design, study.coordinates()
        return cls(
            coordinates=X,
            modes=[design.modes[mode] for mode in design.mode],
            prompts=[design.prompt_ids[prompt] for prompt in design.prompt],
            exact=exact,
        )

    def projections(self, study: PointStudy, method: Method) -> tuple[Projection, ...]:
        """The points as they are and prompt-centred, in two dimensions, each with its margin beside it; kept.

        Of more than `PICTURED` points a random sample of whole prompts, which the picture says: more cannot
        be told apart on paper, and a layout of them takes hours.

        Raises
        ------
        MarginError : too few points or modes for the method, or points that are all the same.
        MissingExtraError : the method is umap, which is not installed.
        """
        if method not in self._projections:
            self._projections[method] = self.projected(study, method, PICTURED)
        return self._projections[method]

    def projected(self, study: PointStudy, method: Method, most: int) -> tuple[Projection, ...]:
        """As `projections`, of at most so many points; not kept."""
        if method == "umap":
            require("umap", "a projection by umap")
        X, modes, prompts = self._sample(study, most)
        margin, centred = study.headline.leave_prompt_out, study.headline.prompt_centred
        drawn_of = len(self.modes) if len(modes) < len(self.modes) else None
        try:
            return tuple(
                replace(
                    figures.project(X, modes, prompts, method, centre_prompts=centre, silhouette=of.estimate),
                    drawn_of=drawn_of,
                )
                for centre, of in ((False, margin), (True, centred))
            )
        except ValueError as error:
            raise MarginError(f"no projection by {method} can be drawn: {error}") from error

    def seed_ranges(self, study: PointStudy, method: Method) -> tuple[pd.DataFrame, ...]:
        """Quality of both layouts under five seeds; none for methods without chance."""
        if method == "pca" or method == "lda":
            return ()
        X, modes, prompts = self._sample(study, PICTURED)
        return tuple(
            figures.seed_range(X, modes, prompts, method, centre_prompts=centred) for centred in (False, True)
        )

    def unit_rows(self, keep: NDArray[np.intp]) -> NDArray[np.float64]:
        """Some of the points, scaled to length 1: Euclidean distances in a picture of them are those of the
        cosine margin."""
        return np.asarray(unit_rows(self.coordinates[keep]), dtype=np.float64)

    def _sample(self, study: PointStudy, most: int) -> tuple[NDArray[np.float64], list[str], list[str]]:
        """Whole prompts at random of at most so many points: unit rows, modes, prompts."""
        keep = np.flatnonzero(whole_prompts(np.asarray(self.prompts), most, study.settings.seed))
        return self.unit_rows(keep), [self.modes[i] for i in keep], [self.prompts[i] for i in keep]
