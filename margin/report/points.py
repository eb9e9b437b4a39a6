"""The points a report's pictures show, and the projections of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import figures
from figures.projection import Method
from margin.analysis.distances import unit_rows
from margin.analysis.space import Coordinates
from margin.errors import MarginError
from margin.report.report import Report
from margin.run.run import Run
from margin.study.spaces import design_of, space_of


@dataclass(frozen=True, eq=False)
class Points:
    """Points of a run, each one prompt under one mode, in the space of its headline margin."""

    X: NDArray[np.float64]
    """(N, d) rows of length 1, so that Euclidean distances in a picture are those of the cosine margin. Of a
    head that is not affine the final states stand for the logits, which have no coordinates."""
    modes: list[str]
    """(N,) mode of each point."""
    prompts: list[str]
    """(N,) prompt id of each point."""
    rows: NDArray[np.int64]
    """(N,) place of each point in the run."""
    exact: bool
    """Whether X are the coordinates of the space itself, and not the states in its stead."""
    silhouettes: NDArray[np.float64]
    """(N,) leave-prompt-out silhouettes under the headline distance."""

    def to_frame(self) -> pd.DataFrame:
        """One row a point: prompt, mode, silhouette."""
        return pd.DataFrame({"prompt": self.prompts, "mode": self.modes, "silhouette": self.silhouettes})


def points_of(run: Run, report: Report) -> Points:
    """The points behind the headline margin of a report. Costs one pass over the states, N d^2."""
    space, rows = space_of(run, report.sam_space)
    design = design_of(run, rows)
    exact = isinstance(space, Coordinates)
    X = space.X if isinstance(space, Coordinates) else run.states()[rows]
    return Points(
        X=np.asarray(unit_rows(X), dtype=np.float64),
        modes=[design.modes[mode] for mode in design.mode],
        prompts=[design.prompt_ids[prompt] for prompt in design.prompt],
        rows=rows,
        exact=exact,
        silhouettes=report.headline.samples,
    )


def projections(points: Points, report: Report, method: Method) -> tuple[figures.Projection, ...]:
    """The points as they are and prompt-centred, in two dimensions, each with its margin to print beside it.

    Raises
    ------
    MarginError : too few points or modes for the method, or points that are all the same.
    """
    shown = {False: report.headline.leave_prompt_out, True: report.headline.prompt_centred}
    try:
        return tuple(
            figures.project(
                points.X,
                points.modes,
                points.prompts,
                method,
                centre_prompts=centred,
                silhouette=margin.estimate,
            )
            for centred, margin in shown.items()
        )
    except ValueError as error:
        raise MarginError(f"no projection by {method} can be drawn: {error}") from error


def seed_ranges(points: Points, method: Method) -> tuple[pd.DataFrame, ...]:
    """Quality of the raw and the prompt-centred layout under five seeds; none for methods without chance."""
    if method == "pca" or method == "lda":
        return ()
    return tuple(
        figures.seed_range(points.X, points.modes, points.prompts, method, centre_prompts=centred)
        for centred in (False, True)
    )
