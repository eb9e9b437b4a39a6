"""The figures of a report: tables from the report and points from its run, drawn by `figures`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import figures
from margin.analysis.distances import unit_rows
from margin.analysis.run_spaces import design_of, space_of
from margin.analysis.space import Coordinates
from margin.errors import MarginError
from margin.report.report import Report
from margin.run.run import Run


def projection(run: Run, report: Report, out: Path) -> Path:
    """Draw the logits (of a head that is not affine: the states) by their principal components, as a PNG.

    Two panels, raw and prompt-centred. Rows are scaled to length 1, so that distances in the picture are
    those of the cosine margin. The numbers beneath say what the picture keeps; no margin is computed from it.
    """
    space, rows = space_of(run, report.sam_space)
    X = space.X if isinstance(space, Coordinates) else run.states()[rows]
    design = design_of(run, rows)
    modes = [design.modes[mode] for mode in design.mode]
    prompts = [design.prompt_ids[prompt] for prompt in design.prompt]
    points = unit_rows(X)
    silhouettes = {False: report.headline.leave_prompt_out, True: report.headline.prompt_centred}
    try:
        panels = [
            figures.project(
                np.asarray(points, dtype=np.float64),
                modes,
                prompts,
                "pca",
                centre_prompts=centred,
                silhouette=margin.estimate,
            )
            for centred, margin in silhouettes.items()
        ]
    except ValueError as error:
        raise MarginError(f"no projection can be drawn: {error}") from error
    with figures.style("paper"):
        fig = figures.figure("double", height=4.0)
        figures.projection_panels(fig, panels, modes=list(design.modes))
        return figures.save(fig, out)
