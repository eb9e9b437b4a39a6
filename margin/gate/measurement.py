"""What the gate keeps of a run: its margins, and what each prompt does to them. No text, token or state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.margins import margins, pair_name
from margin.analysis.metrics import Distance
from margin.analysis.slices import slice_margins, slicing
from margin.analysis.space import Space
from margin.errors import MarginError
from margin.run.run import Run
from margin.run.stored import Record
from margin.stats.design import Design
from margin.study.noise_floor import noise_floor
from margin.study.robustness import robustness
from margin.study.spaces import design_of, space_of

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

    @property
    def overall(self) -> MeasuredMargin:
        """The margin over all modes and prompts."""
        return self.margins[0]


def measure(run: Run, space: str = "logits", distance: Distance = "cosine") -> Measurement:
    """Measure a run on disk.

    Raises
    ------
    MarginError : a space the run does not hold, an unknown distance, one that is not defined in that space,
        fewer than two prompts.

    Cost: that of the margins and of one pass a slice column; seconds for 1,000 prompts.
    """
    if distance not in get_args(Distance):
        raise MarginError(f"unknown distance {distance!r}: take one of {', '.join(get_args(Distance))}")
    points, rows = space_of(run, space)
    if distance == "hellinger2" and space != "probabilities":
        raise MarginError(f"hellinger2 is between distributions: take space probabilities, not {space}")
    if distance == "cosine" and space == "probabilities":
        raise MarginError("between the roots of probabilities cosine distance is hellinger2: take that")
    design = design_of(run, rows)
    manifest = run.manifest
    return Measurement(
        space=space,
        distance=distance,
        prompt_ids=design.prompt_ids,
        margins=measure_margins(points, design, run.prompts.set_index("id").drop(columns="prompt"), distance),
        leaks=tuple(_leaks(run)),
        noise_floor=noise_floor(run),
        provenance={"identity": manifest.identity.to_dict(), "environment": manifest.environment.to_dict()},
    )


def _leaks(run: Run) -> Iterator[Leak]:
    for finding in robustness(run).findings:
        if finding.quantity == "leak" and finding.column is None and finding.count is not None:
            yield Leak(finding.condition, finding.count, finding.value.n_prompts, finding.indicative)


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
            name, None, found.estimates[key].estimate, design.n_prompts, _seven_digits(found.influence[key])
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
