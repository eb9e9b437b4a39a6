"""Which point belongs to which prompt and mode: the design every statistic of a run is computed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from margin.arguments import labels
from margin.errors import MarginError


@dataclass(frozen=True, eq=False)
class Design:
    """N points, each one prompt under one mode.

    The points of one prompt are dependent, so the prompt is the unit of every inference. What is computed
    from `twin` needs a prompt at most once under a mode, which `make_design` makes sure of.
    """

    mode: NDArray[np.intp]
    """(N,) index of each point's mode, 0 to k-1."""
    prompt: NDArray[np.intp]
    """(N,) index of each point's prompt, 0 to n-1."""
    modes: tuple[str, ...]
    """k mode names."""
    prompt_ids: tuple[str, ...]
    """n prompt ids."""

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

    @cached_property
    def twin(self) -> NDArray[np.intp]:
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

    def part(self, keep: NDArray[np.bool_]) -> Design:
        """The points that the mask (N,) keeps: the same modes, prompts numbered anew in the same order."""
        there, prompt = np.unique(self.prompt[keep], return_inverse=True)
        ids = tuple(self.prompt_ids[code] for code in there)
        return Design(self.mode[keep], prompt.astype(np.intp), self.modes, ids)

    def subset(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Design:
        """The design of the points that `keep` picks: a mask (N,), or indices in the order wanted.

        Modes and prompts are numbered anew, by first appearance; those left without points drop out.
        """
        mode_names = np.asarray(self.modes, dtype=object)[self.mode[keep]]
        prompt_ids = np.asarray(self.prompt_ids, dtype=object)[self.prompt[keep]]
        return make_design(mode_names, prompt_ids)


def make_design(
    modes: ArrayLike | Sequence[object], prompts: ArrayLike | Sequence[object] | None = None
) -> Design:
    """Index the labels of N points.

    Parameters
    ----------
    modes : (N,) mode of each point, strings or numbers; at least two different ones.
    prompts : (N,) prompt of each point; None makes every point a prompt of its own.

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
    return Design(
        mode=mode.astype(np.intp),
        prompt=prompt.astype(np.intp),
        modes=tuple(str(name) for name in mode_names),
        prompt_ids=tuple(str(name) for name in prompt_ids),
    )
