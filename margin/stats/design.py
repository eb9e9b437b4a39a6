"""Which point belongs to which prompt and mode: the design every statistic of a run is computed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from margin.arguments import labels
from margin.errors import MarginError
from margin.short import Short
from margin.stats.clusters import Clusters, make_clusters


@dataclass(frozen=True, eq=False)
class Design(Short):
    """N points, each one prompt under one mode.

    The points of one prompt are dependent, so the prompt is the unit of every inference. What is computed
    from `counterpart` needs a prompt at most once under a mode, which `make_design` makes sure of.
    """

    mode: NDArray[np.intp]
    """(N,) index of each point's mode, 0 to k-1."""
    prompt: NDArray[np.intp]
    """(N,) index of each point's prompt, 0 to n-1."""
    modes: tuple[str, ...]
    """k mode names."""
    prompt_ids: tuple[str, ...]
    """n prompt ids."""
    clusters: Clusters | None = None
    """Which prompts hang together; None where they are independent of each other."""

    @property
    def n_points(self) -> int:
        """Number of points N."""
        return len(self.mode)

    @property
    def n_modes(self) -> int:
        """Number of modes k."""
        return len(self.modes)

    @property
    def n_prompts(self) -> int:
        """Number of prompts n."""
        return len(self.prompt_ids)

    @property
    def n_units(self) -> int:
        """Number of independent units: clusters, or prompts n where each stands by itself."""
        return self.n_prompts if self.clusters is None else len(self.clusters)

    @cached_property
    def unit(self) -> NDArray[np.intp]:
        """(n,) index of the independent unit each prompt belongs to: its cluster, or the prompt itself."""
        return np.arange(self.n_prompts) if self.clusters is None else self.clusters.code

    @cached_property
    def prompts_in_unit(self) -> NDArray[np.intp]:
        """(n,) prompts of the unit that each prompt belongs to, itself among them."""
        return np.bincount(self.unit)[self.unit]

    def clustered(self, labels: pd.Series | None) -> Design:
        """The design with the cluster of each prompt, by prompt id as text (index); itself without labels.

        Raises
        ------
        MarginError : labels of other prompts than these.
        """
        if labels is None:
            return self
        if not labels.index.isin(self.prompt_ids).any():
            raise MarginError("the clusters are of none of these prompts: index them by prompt id, as text")
        return replace(self, clusters=make_clusters(labels.reindex(list(self.prompt_ids))))

    @cached_property
    def counterpart(self) -> NDArray[np.intp]:
        """(N, k) index of the same prompt's point in each mode (its own: the point itself), -1 if absent."""
        point_of = np.full((self.n_prompts, self.n_modes), -1, dtype=np.intp)
        point_of[self.prompt, self.mode] = np.arange(self.n_points)
        return point_of[self.prompt]

    @cached_property
    def onehot(self) -> NDArray[np.float64]:
        """(N, k) indicator of each point's mode."""
        return np.eye(self.n_modes)[self.mode]

    @property
    def is_complete(self) -> bool:
        """Whether every prompt was seen under every mode."""
        return self.n_points == self.n_prompts * self.n_modes

    def sum_by_prompt(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Sums of `values` (N, ...) over each prompt's points: (n, ...), of the same dtype."""
        sums = np.zeros((self.n_prompts, *values.shape[1:]), dtype=values.dtype)
        for mode in range(self.n_modes):  # within one mode no prompt comes twice, so += adds every row
            points = self.mode == mode
            sums[self.prompt[points]] += values[points]
        return sums

    def mean_by_prompt(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Means of `values` (N, ...) over each prompt's points: (n, ...), of the same dtype."""
        points = np.bincount(self.prompt, minlength=self.n_prompts).astype(values.dtype)
        return self.sum_by_prompt(values) / points.reshape(-1, *[1] * (values.ndim - 1))

    def influence(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n,) influence of each prompt on the mean over points of `values` (N,): what intervals rest on.

        The points of a prompt count together, so it does not matter how they depend on each other.
        """
        deviation = (values - values.mean()) / len(values)
        sums = np.bincount(self.prompt, weights=deviation, minlength=self.n_prompts)
        return sums.astype(np.float64, copy=False)

    def of_prompts(self, values: ArrayLike | Sequence[object], name: str) -> pd.Series:
        """(n,) label of each prompt, by prompt id, from that of each point (N,).

        MarginError, which calls the labels by their `name`, where two points of a prompt have different ones.
        """
        of_point = pd.Series(labels(values, name), dtype=object)
        if len(of_point) != self.n_points:
            raise MarginError(f"{len(of_point)} {name} but {self.n_points} points: give one of each a point")
        by_prompt = of_point.groupby(self.prompt)
        different = by_prompt.nunique(dropna=False)
        if (different > 1).any():
            prompt = self.prompt_ids[int(np.argmax(different > 1))]
            raise MarginError(f"prompt '{prompt}' stands in two {name}: give each prompt one")
        return by_prompt.first().set_axis(pd.Index(self.prompt_ids))

    def part(self, keep: NDArray[np.bool_]) -> Design:
        """The points that the mask (N,) keeps: the same modes, prompts numbered anew in the same order."""
        there, prompt = np.unique(self.prompt[keep], return_inverse=True)
        ids = tuple(self.prompt_ids[code] for code in there)
        clusters = None if self.clusters is None else self.clusters.part(there)
        return Design(self.mode[keep], prompt.astype(np.intp), self.modes, ids, clusters)

    def sample(self, prompts: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Mask (N,) of the points of about so many random prompts, of whole clusters where there are any."""
        many = max(2, prompts * self.n_units // self.n_prompts)
        kept = np.isin(self.unit, rng.permutation(self.n_units)[:many])
        return kept[self.prompt]

    def subset(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Design:
        """The design of the points that `keep` picks: a mask (N,), or indices in the order wanted.

        Modes and prompts are numbered anew, by first appearance; those left without points drop out.
        """
        mode_names = np.asarray(self.modes, dtype=object)[self.mode[keep]]
        prompts = self.prompt[keep]
        found = make_design(mode_names, np.asarray(self.prompt_ids, dtype=object)[prompts])
        return (
            found
            if self.clusters is None
            else replace(found, clusters=self.clusters.part(pd.unique(prompts)))
        )


def require_rows(rows: object) -> None:
    """MarginError where `rows` are handed over as something else, such as the modes alone."""
    if not isinstance(rows, Design):
        kind = type(rows).__name__
        raise MarginError(f"rows must be what margin.probes.make_rows(modes, prompts) gives, got {kind}")


def make_design(
    modes: ArrayLike | Sequence[object],
    prompts: ArrayLike | Sequence[object] | None = None,
    clusters: ArrayLike | Sequence[object] | None = None,
) -> Design:
    """Index the labels of N points.

    Parameters
    ----------
    modes : (N,) mode of each point, strings or numbers; at least two different ones.
    prompts : (N,) prompt of each point; None makes every point a prompt of its own.
    clusters : (N,) what the prompt of each point hangs together with; a missing label (None, NaN) leaves a
        prompt by itself. None where prompts are independent.

    Raises
    ------
    MarginError : a missing label, fewer than two modes, lengths that differ, a prompt seen twice in one mode.
    """
    mode, mode_names = pd.factorize(labels(modes, "modes"), sort=False)
    prompt, prompt_ids = pd.factorize(
        np.arange(len(mode)) if prompts is None else labels(prompts, "prompts"), sort=False
    )
    if len(mode_names) < 2:
        raise MarginError(f"a margin needs at least two modes, got {len(mode_names)}")
    if len(prompt) != len(mode):
        raise MarginError(f"{len(mode)} modes but {len(prompt)} prompts: give one of each a point")
    for what, codes in (("mode", mode), ("prompt", prompt)):
        if (codes < 0).any():
            raise MarginError(f"the {what} of point {int(np.argmin(codes))} is missing: label every point")
    cells = pd.Series(prompt * len(mode_names) + mode)
    if cells.duplicated().any():
        twice = cells[cells.duplicated()].iloc[0]
        raise MarginError(
            f"prompt '{prompt_ids[twice // len(mode_names)]}' stands twice under mode "
            f"'{mode_names[twice % len(mode_names)]}': give each prompt one point a mode"
        )
    design = Design(
        mode=mode.astype(np.intp),
        prompt=prompt.astype(np.intp),
        modes=tuple(str(name) for name in mode_names),
        prompt_ids=tuple(str(name) for name in prompt_ids),
    )
    return design if clusters is None else design.clustered(design.of_prompts(clusters, "clusters"))
