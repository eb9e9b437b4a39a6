"""All at one glance: one figure of what the other sections found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from margin import figures
from margin.errors import MarginError
from margin.study.canvas import Canvas
from margin.study.notation import model_name
from margin.study.section import Section
from margin.study.sections.layers import Layers
from margin.study.sections.margins import pairs
from margin.study.sections.points import Points, estimates, silhouettes
from margin.study.sections.robustness import Robustness, leaks
from margin.study.sections.slices import Slices
from margin.study.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(study: Study, canvas: Canvas) -> Figure:
    """Silhouettes, projections, pairs, layers, slices and control conditions of one run."""
    points, layers = study.section(Points), study.section(Layers)
    slices, robustness = study.section(Slices), study.section(Robustness)
    identity = study.run.manifest.identity
    assert points is not None
    assert slices is not None
    assert robustness is not None
    landing = robustness.found.landings()  # of dozens those that leak most are drawn
    try:
        projected = points.projections(study, "pca")
    except MarginError:  # the page still shows the rest; the figure of the projection says what it lacks
        projected = ()
    return figures.overview(
        f"Safety Alignment Margin of {model_name(identity.model, identity.adapter)}",
        silhouettes=silhouettes(study),
        estimates=estimates(study),
        projections=projected,
        pairs=pairs(study.headline),
        layers=None if layers is None else layers.curve.to_frame(),
        slices=_together(slices.frames()),
        landing=None if landing.empty else landing,
        leaks=leaks(robustness.found),
        overall=study.headline.leave_prompt_out.estimate,
        width=canvas.width,
        across=1 if canvas.is_narrow else 2,
    )


def _together(slices: dict[str, pd.DataFrame]) -> pd.DataFrame | None:
    """The slices of all columns as "column: value", the same words of another column as "... (2)"."""
    if not slices:
        return None
    table = pd.concat([part.assign(slice=f"{column}: " + part["slice"]) for column, part in slices.items()])
    times = table.groupby("slice").cumcount() + 1
    again = table["slice"] + " (" + times.astype(str) + ")"
    return table.assign(slice=table["slice"].where(times == 1, again))


class Overview(Section):
    """A figure only."""

    figures = {"overview": draw}

    @classmethod
    def of(cls, study: Study) -> None:
        """Nothing of its own."""
