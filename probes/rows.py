"""Which mode and which prompt each row of an array belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """N rows, each of one mode and one prompt. A prompt may have several rows of a mode, or none."""

    mode: NDArray[np.intp]
    """(N,) index of each row's mode, 0 to k-1."""
    prompt: NDArray[np.intp]
    """(N,) index of each row's prompt, 0 to n-1, in the order of the prompts' ids."""
    modes: tuple[str, ...]
    """k mode names, in alphabetical order as scikit-learn keeps classes."""
    n_prompts: int

    @property
    def n_modes(self) -> int:
        """Number of modes k."""
        return len(self.modes)

    def __len__(self) -> int:
        return len(self.mode)

    def subset(self, keep: NDArray[np.bool_]) -> Rows:
        """The rows that the mask (N,) keeps: the same modes, prompts numbered anew."""
        ids, prompt = np.unique(self.prompt[keep], return_inverse=True)
        return Rows(self.mode[keep], prompt, self.modes, len(ids))

    def influence(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n,) influence of each prompt on the mean over rows of `values` (N,): what intervals rest on.

        The rows of a prompt count together, so it does not matter how they depend on each other.
        """
        deviation = (values - values.mean()) / len(values)
        sums = np.bincount(self.prompt, weights=deviation, minlength=self.n_prompts)
        return sums.astype(np.float64, copy=False)


def make_rows(modes: ArrayLike, prompts: ArrayLike) -> Rows:
    """Index the modes (N,) and prompts (N,) of N rows.

    Raises
    ------
    ValueError : lengths that differ, or fewer than two modes or prompts.
    """
    names, mode = np.unique(np.asarray(modes), return_inverse=True)
    ids, prompt = np.unique(np.asarray(prompts), return_inverse=True)
    if len(mode) != len(prompt):
        raise ValueError(f"{len(mode)} modes but {len(prompt)} prompts: give one of each a row")
    for what, found in (("modes", names), ("prompts", ids)):
        if len(found) < 2:
            raise ValueError(f"a probe needs at least two {what}, got {len(found)}")
    return Rows(mode, prompt, tuple(str(name) for name in names), len(ids))
