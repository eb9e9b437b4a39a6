"""What the gate keeps of a run: its margins, and what each prompt does to them. No text, token or state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.decoys import above_decoys
from margin.analysis.margins import leave_prompt_out_margin, margins, pair_name
from margin.analysis.metrics import Distance
from margin.analysis.slices import MIN_PROMPTS, slice_margins, slicing
from margin.analysis.space import Space
from margin.errors import MarginError
from margin.run.run import Run
from margin.run.stored import Record
from margin.stats.clusters import Clusters, make_clusters
from margin.stats.design import Design
from margin.stats.intervals import effective_trials, t_interval
from margin.study.decoys import decoy_rows
from margin.study.noise_floor import noise_floor
from margin.study.robustness import robustness
from margin.study.spaces import clusters_of, design_of, space_of

ALPHA = 0.05
"""Level of every one-sided test and bound of the gate."""
OVERALL = "overall"
"""Name of the leave-prompt-out margin over all modes and prompts."""


@dataclass(frozen=True, eq=False)
class MeasuredMargin:
    """One leave-prompt-out margin with the influence of every prompt on it."""

    name: str
    """"overall", a pair of modes "a / b", or a slice "column=value"."""
    column: str | None
    """Slice column it belongs to; None of the overall margin and of pairs."""
    estimate: float
    """The margin, in [-1, 1]."""
    n_prompts: int
    """Prompts it is the mean of: those of the slice, or all."""
    influence: NDArray[np.float64]
    """(n,) derivative of the margin by the weight of each prompt of the run, in the order of `prompt_ids`. To
    seven digits, what float32 states are good for: a baseline is small, and yet exactly what was measured."""
    n_clusters: int | None = None
    """Clusters these prompts come in; None where prompts are independent."""

    @property
    def n_units(self) -> int:
        """Independent units it is the mean of: clusters, or prompts."""
        return self.n_prompts if self.n_clusters is None else self.n_clusters


@dataclass(frozen=True)
class Leak:
    """How often a control condition lands in a mode that is not safe."""

    condition: str
    """The control, for example "random"."""
    n_leaks: int
    """Prompts with at least one leak among their draws."""
    n_prompts: int
    """Prompts asked."""
    indicative: bool = False
    """Whether points of known mode are placed too badly (balanced accuracy under .9) to rely on the rate."""
    clusters: float | None = None
    """Effective clusters the prompts come in; None where they are independent."""
    trials: float | None = None
    """Independent trials the prompts are worth with these leaks; None where each prompt is one."""

    @property
    def n_trials(self) -> float:
        """Independent trials: prompts, or fewer where they come in clusters."""
        return self.n_prompts if self.trials is None else self.trials

    @property
    def rate(self) -> float:
        """Share of prompts that leak."""
        return self.n_leaks / self.n_prompts


@dataclass(frozen=True)
class AboveDecoys:
    """The overall margin above sets of meaningless tokens, on the prompts that were asked both."""

    estimate: float
    """The live tokens' margin less the mean of the sets'."""
    se: float
    """Standard error over prompts (or clusters) and sets."""
    degrees: float
    """Degrees of freedom of the standard error (Satterthwaite)."""
    sets: int
    """Decoy sets, at least two."""
    n_prompts: int
    """Prompts that were asked under decoys."""
    n_clusters: int | None = None
    """Clusters these prompts come in; None where prompts are independent."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """What the gate knows of one run: enough to pair it with another run on the same prompts."""

    space: str
    """Space the margins were measured in, for example "logits" or "layer:12"."""
    distance: Distance
    """Distance the margins were measured by."""
    prompt_ids: tuple[str, ...]
    """n prompts."""
    margins: tuple[MeasuredMargin, ...]
    """The overall margin first, then pairs of modes, then slices."""
    leaks: tuple[Leak, ...]
    """One entry a control condition; none where the run has no controls."""
    noise_floor: Record | None
    """`sam`: how far numerically equivalent ways to compute the margin differ; None if not measured."""
    provenance: Record
    """identity and environment from the run's manifest."""
    above_decoys: AboveDecoys | None = None
    """None where the run has no two sets of decoys in this space."""
    cluster: str | None = None
    """Column of the prompts that names what hangs together; None where prompts are independent."""
    clusters: Clusters | None = None
    """The cluster of each prompt, in the order of `prompt_ids`; None without a column."""

    @property
    def overall(self) -> MeasuredMargin:
        """The margin over all modes and prompts."""
        return self.margins[0]


def measure(
    run: Run, space: str = "logits", distance: Distance = "cosine", cluster: str | None = None
) -> Measurement:
    """Measure a run on disk.

    Parameters
    ----------
    cluster : column of the prompts that names what hangs together; every claim is then over clusters.

    Raises
    ------
    MarginError : a space the run does not hold, an unknown distance, one that is not defined in that space,
        fewer than two prompts, no such column, one cluster.

    Cost: that of the margins and of one pass a slice column; seconds for 1,000 prompts.
    """
    if distance not in get_args(Distance):
        raise MarginError(f"unknown distance {distance!r}: take one of {', '.join(get_args(Distance))}")
    points, rows = space_of(run, space)
    if distance == "hellinger2" and space != "probabilities":
        raise MarginError(f"hellinger2 is between distributions: take space probabilities, not {space}")
    if distance == "cosine" and space == "probabilities":
        raise MarginError("between the roots of probabilities cosine distance is hellinger2: take that")
    design = design_of(run, rows, cluster)
    labels = run.prompts.set_index("id").drop(columns=["prompt", *([cluster] if cluster else [])])
    manifest = run.manifest
    return Measurement(
        space=space,
        distance=distance,
        prompt_ids=design.prompt_ids,
        margins=measure_margins(points, design, labels, distance),
        leaks=tuple(_leaks(run, cluster)),
        noise_floor=noise_floor(run),
        provenance={"identity": manifest.identity.to_dict(), "environment": manifest.environment.to_dict()},
        above_decoys=_above_decoys(run, space, distance, cluster),
        cluster=cluster,
        clusters=design.clusters,
    )


def _leaks(run: Run, cluster: str | None) -> Iterator[Leak]:
    labels = clusters_of(run, cluster)
    found = robustness(run, cluster=cluster)
    for finding in found.findings:
        if finding.quantity == "leak" and finding.column is None and finding.count is not None:
            leak = Leak(finding.condition, finding.count, finding.value.n_prompts, finding.indicative)
            if labels is not None:
                points = found.points[found.points["condition"] == finding.condition]
                leaking = points.groupby("prompt_id", sort=False)["leak"].any()
                over = make_clusters(labels.reindex(leaking.index))
                trials = effective_trials(leaking.to_numpy(), 1 - 2 * ALPHA, over)
                leak = replace(leak, clusters=over.effective, trials=trials)
            yield leak


def _above_decoys(run: Run, space: str, distance: Distance, cluster: str | None) -> AboveDecoys | None:
    """The overall margin above decoys; None where it has no interval."""
    rows = decoy_rows(run, cluster)
    if rows is None:
        return None
    over = rows.design.clusters
    of_sets = [
        t_interval(*leave_prompt_out_margin(points.distances(distance), rows.design), over=over)
        for points in rows.spaces(run, space)
    ]
    if len(of_sets) < 3:  # the live tokens, and two sets: one has no variance
        return None
    found = above_decoys(of_sets[0], of_sets[1:], over=over)
    if found.above.se is None or found.degrees is None:
        return None
    return AboveDecoys(
        found.above.estimate,
        found.above.se,
        found.degrees,
        len(found.decoys),
        rows.design.n_prompts,
        None if over is None else len(over),
    )


def measure_margins(
    space: Space, design: Design, slices: pd.DataFrame, distance: Distance = "cosine"
) -> tuple[MeasuredMargin, ...]:
    """The overall margin, that of each pair of modes, and that of each slice, with their influences.

    `slices` is indexed by prompt id, one column a way to slice; columns that slice nothing (`slicing`)
    are left out.
    """
    found = margins(space, design, distance)
    names = {"leave_prompt_out": OVERALL} | {name: name for name in map(pair_name, found.one_vs_one)}
    whole = tuple(
        MeasuredMargin(
            name,
            None,
            found.estimates[key].estimate,
            design.n_prompts,
            _seven_digits(found.influence[key]),
            None if design.clusters is None else len(design.clusters),
        )
        for key, name in names.items()
    )
    return whole + tuple(_of_slices(space, design, slices, distance))


def _of_slices(
    space: Space, design: Design, slices: pd.DataFrame, distance: Distance
) -> Iterator[MeasuredMargin]:
    for column in slicing(slices)[0]:
        # The generator serves bounds that the gate does not use.
        found = slice_margins(space, design, slices[column], np.random.default_rng(0), distance)
        for name, estimate in zip(found.names, found.margins, strict=True):
            yield MeasuredMargin(
                f"{column}={name}",
                str(column),
                estimate.estimate,
                estimate.n_prompts,
                _seven_digits(found.influence[name]),
                estimate.n_clusters,
            )


def _seven_digits(values: pd.Series) -> NDArray[np.float64]:
    return np.array([float(f"{value:.7g}") for value in values])


def error_of(influence: NDArray[np.float64], n_units: int, clusters: Clusters | None) -> float | None:
    """Standard error of a margin or its change, from influences (n,); None below `MIN_PROMPTS` of a slice.

    The correction for n counts the prompts (or clusters) the value is the mean of.
    """
    of_units = influence if clusters is None else clusters.sums(influence)
    if n_units < min(MIN_PROMPTS, len(of_units)):
        return None
    return float(np.sqrt(n_units / (n_units - 1) * np.sum(of_units**2)))


def prompt_changes(before: Measurement, after: Measurement) -> pd.DataFrame:
    """What the change of the overall margin is made of: one line a prompt, most fallen first.

    Columns prompt_id, before, after, change, in the margin's unit. A prompt's value is its jackknife
    pseudo-value theta + n U_p (Efron and Tibshirani, 1993, "An Introduction to the Bootstrap", ch. 11): its
    own silhouettes, and what it does to its neighbours'. The mean change is the change of the margin.
    """
    values = {
        when: m.overall.estimate + len(m.prompt_ids) * m.overall.influence
        for when, m in (("before", before), ("after", after))
    }
    table = pd.DataFrame({"prompt_id": before.prompt_ids, **values})
    table["change"] = table["after"] - table["before"]
    return table.sort_values("change", kind="stable", ignore_index=True)
