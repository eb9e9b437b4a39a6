"""What the gate knows of one run: enough to pair it with another run. No text, token or state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.analysis.metrics import Distance
from margin.analysis.slices import MIN_PROMPTS
from margin.run.stored import Record
from margin.short import Short
from margin.stats.clusters import Clusters
from margin.text import json_text

ALPHA = 0.05
"""Level of every one-sided test and bound of the gate."""

OVERALL = "overall"
"""Name of the leave-prompt-out margin over all modes and prompts."""


def slice_name(column: str, value: str) -> str:
    """A slice as "column=value", the column in quotes, as JSON has them, where else another might be meant.

    Example
    -------
    >>> slice_name("language", "de"), slice_name("a", "b=c"), slice_name("a=b", "c")
    ('language=de', 'a=b=c', '"a=b"=c')
    """
    plain = "=" not in column and not column.startswith('"')
    return f"{column if plain else json_text(column)}={value}"


@dataclass(frozen=True, eq=False)
class MeasuredMargin(Short):
    """One leave-prompt-out margin with the influence of every prompt on it."""

    name: str
    """"overall", a pair of modes "a / b", or a slice as `slice_name` has it."""
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
class AboveDecoys(Short):
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
class Measurement(Short):
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


def error_of(influence: NDArray[np.float64], n_units: int, clusters: Clusters | None) -> float | None:
    """Standard error of a margin or its change, from influences (n,); None below `MIN_PROMPTS` of a slice.

    The correction for n counts the prompts (or clusters) the value is the mean of.
    """
    of_units = influence if clusters is None else clusters.sums(influence)
    if n_units < min(MIN_PROMPTS, len(of_units)):
        return None
    return float(np.sqrt(n_units / (n_units - 1) * np.sum(of_units**2)))
