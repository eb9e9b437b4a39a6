"""What the interactive page shows of a run's points: prompts, slices, a projection of every layer."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.vectors import unit_rows
from margin.figures.linear import principal_axes
from margin.figures.quality import QualityMeasure, whole_prompts
from margin.figures.style import Look, mode_looks
from margin.report.report import Report
from margin.run.stored import Record
from margin.stats.estimate import Estimate
from margin.study.notation import with_interval
from margin.study.sections.points import Points
from margin.text import shown

MOST_POINTS = 3000
"""Points a page shows; of larger runs a sample of whole prompts, so that it opens at once."""
JUDGED_POINTS = 500
"""Points that the quality of each picture rests on: there are two pictures a layer."""
NOTHING = "all points are the same: there is nothing to project"
ROUNDING = 1e-6
"""Spread, as a share of the largest coordinate, that float32 states may have by rounding alone."""
_SHAPES = {
    "o": "circle",
    "^": "triangle-up",
    "s": "square",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "<": "triangle-left",
    ">": "triangle-right",
}
"""Vega's names of matplotlib's markers."""


def views(report: Report, *, explore: bool = False) -> Record:
    """Everything the page's script reads, as plain records.

    modes (name, colours, shape), slices (name, values), prompts (id, slices as places among the values, text
    where the report holds it), points (prompt, mode, silhouette; weakest first) and views: the principal
    components of every captured layer and of the logits, raw and prompt-centred. Costs two PCA a layer.

    Only with `explore` is it told which point is which prompt, for tokens can be found from that, with the
    checkpoint and the prompts at hand. Without, slices and prompts are empty, points have but a mode, and
    each picture has an order of its own.
    """
    points = report.section(Points)
    assert points is not None
    samples = report.headline.samples
    keep = np.flatnonzero(whole_prompts(np.asarray(points.prompts), MOST_POINTS, report.study.settings.seed))
    keep = keep[np.argsort(samples[keep], kind="stable")]
    looks = mode_looks(report.headline.per_mode)
    modes = np.array([list(looks).index(points.modes[i]) for i in keep])
    drawn = _layers(report, points, keep)
    return {
        "modes": [_mode(mode, look) for mode, look in looks.items()],
        "sampled": len(keep) < len(points.prompts),
        **(_told(report, points, keep, modes, drawn) if explore else _untold(modes, drawn)),
    }


def _told(
    report: Report,
    points: Points,
    keep: NDArray[np.intp],
    modes: NDArray[np.intp],
    drawn: list[Record],
) -> Record:
    """Slices, prompts, points and views, each point with its prompt."""
    ids = list(dict.fromkeys(points.prompts[i] for i in keep))
    prompt_codes = pd.Index(ids).get_indexer([points.prompts[i] for i in keep])
    columns = [column.column for column in report.slices]
    about = report.run.prompts.set_index("id").loc[ids]
    factors = [pd.factorize(about[column]) for column in columns]
    codes = np.array([code for code, _ in factors]).reshape(len(columns), len(ids))
    texts = about["prompt"] if "prompt" in report.prompts else None
    return {
        "slices": [
            {"name": shown(column), "values": [shown(value) for value in values]}
            for column, (_, values) in zip(columns, factors, strict=True)
        ],
        "prompts": [
            {"id": shown(prompt), "slices": [int(code) if code >= 0 else None for code in codes[:, i]]}
            | ({} if texts is None else {"text": shown(texts.iloc[i])})
            for i, prompt in enumerate(ids)
        ],
        "points": [
            {
                "prompt": int(prompt),
                "mode": int(mode),
                "silhouette": round(float(report.headline.samples[i]), 4),
            }
            for i, prompt, mode in zip(keep, prompt_codes, modes, strict=True)
        ],
        "views": drawn,
    }


def _untold(modes: NDArray[np.intp], drawn: list[Record]) -> Record:
    """The same without prompts: mode by mode, and within a mode from left to right in every picture."""
    for view in drawn:
        for panel in (view["raw"], view["centred"]):
            order = np.lexsort([panel["y"], panel["x"], modes])
            panel |= {axis: [panel[axis][i] for i in order] for axis in ("x", "y")}
    return {
        "slices": [],
        "prompts": [],
        "points": [{"mode": int(mode)} for mode in np.sort(modes)],
        "views": drawn,
    }


def _mode(name: str, look: Look) -> Record:
    """A mode's look; on dark paper its colour is mixed with white, two parts to three."""
    light = "#" + "".join(f"{round(0.6 * int(look.colour[i : i + 2], 16) + 102):02x}" for i in (1, 3, 5))
    return {
        "name": shown(name),
        "colour": look.colour,
        "dark": light,
        "shape": _SHAPES.get(look.marker, "circle"),
    }


def _layers(report: Report, points: Points, keep: NDArray[np.intp]) -> list[Record]:
    """Projections of each captured layer, ascending, and of the logits; each turned to look like the one
    before."""
    found: list[Record] = []
    modes, prompts = np.asarray(points.modes)[keep], np.asarray(points.prompts)[keep]

    def add(name: str, rows: NDArray[np.floating], margin: Estimate, centred: Estimate) -> None:
        X: NDArray[np.float64] = np.asarray(rows, dtype=np.float64)
        own = pd.DataFrame(X).groupby(prompts).transform("mean").to_numpy()
        size = float(np.abs(X).max())
        last = found[-1] if found else None
        view: Record = {"name": name}
        for panel, drawn, value in (("raw", X, margin), ("centred", X - own, centred)):
            flat, shares = _plane(drawn, size, last and last[panel])
            quality = NOTHING
            if shares.any():
                measure = QualityMeasure(
                    drawn, modes, prompts, silhouette_full=value.estimate, limit=JUDGED_POINTS
                )
                quality = str(measure(flat)).replace("\n", " · ")
            x, y = np.round(flat, 4).T.tolist()
            text = with_interval(value.estimate, value.low, value.high)
            view[panel] = {"x": x, "y": y, "shares": shares.tolist(), "margin": text, "quality": quality}
        found.append(view)

    curve = report.layers
    if curve is not None:
        for layer, margin, centred in zip(
            curve.layers, curve.leave_prompt_out, curve.prompt_centred, strict=True
        ):
            add(
                f"layer {layer}", unit_rows(report.run.layer(layer)[report.study.rows[keep]]), margin, centred
            )
    headline = report.headline
    space = headline.space if points.exact else "state"
    add(space, points.unit_rows(keep), headline.leave_prompt_out, headline.prompt_centred)
    return found


def _plane(
    X: NDArray[np.float64], size: float, before: Record | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First two principal components (N, 2) and their shares of variance; zeros where the points are the
    same.
    """
    flat, shares = np.zeros((len(X), 2)), np.zeros(2)
    if np.ptp(X, axis=0).max() > ROUNDING * size:
        axes, shares = principal_axes(X)
        flat = axes.transform(X)
    if before is not None:  # an axis points either way: keep to that of the layer before
        turned = np.sum(flat * np.column_stack([before["x"], before["y"]]), axis=0) < 0
        flat = np.where(turned, -flat, flat)
    return flat, shares
