"""What the gate keeps of a run: its margins, and what each prompt does to them. No text, token or state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.decoys import above_decoys
from margin.analysis.margins import leave_prompt_out_margin, margins, pair_name
from margin.analysis.metrics import Distance
from margin.analysis.slices import slice_margins, slicing
from margin.analysis.space import Space
from margin.errors import MarginError
from margin.gate.evidence import ALPHA, OVERALL, AboveDecoys, Leak, MeasuredMargin, Measurement, slice_name
from margin.run.run import Run
from margin.stats.clusters import make_clusters
from margin.stats.design import Design
from margin.stats.intervals import effective_trials, t_interval
from margin.study.decoys import decoy_rows
from margin.study.noise_floor import noise_floor
from margin.study.robustness import robustness
from margin.study.spaces import clusters_of, design_of, space_of


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
                slice_name(str(column), name),
                str(column),
                estimate.estimate,
                estimate.n_prompts,
                _seven_digits(found.influence[name]),
                estimate.n_clusters,
            )


def _seven_digits(values: pd.Series) -> NDArray[np.float64]:
    return np.array([float(f"{value:.7g}") for value in values])


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
