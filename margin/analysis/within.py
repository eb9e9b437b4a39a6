"""Distances within independent units: what leaving out a prompt, or a cluster of prompts, takes away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from margin.analysis.distances import Distances
from margin.stats.design import Design

AT_A_TIME = 2048
"""Points whose distances are worked out at a time; a larger unit by itself."""
KEPT = 2**23
"""Distances up to which all are kept for the next product; more are worked out again."""

Block = tuple[NDArray[np.intp], NDArray[np.float64]]
"""Points (U, b) of U units of b points, and the distances (U, b, b) within each."""


@dataclass(frozen=True, eq=False)
class Within:
    """D o S, with S 1 where two points are of one unit (prompt or cluster), unit by unit.

    Units of b points hold N b distances in all, and cost O(N b d) once.
    """

    distances: Distances
    design: Design

    def matmul(self, M: NDArray[np.floating]) -> NDArray[np.float64]:
        """(D o S) @ M for M (N, m): float64 (N, m)."""
        out = np.zeros((self.design.n_points, M.shape[1]))
        for points, D in self._kept if self._kept is not None else self._blocks():
            out[points] = D @ M[points]
        return out

    @cached_property
    def _groups(self) -> list[NDArray[np.intp]]:
        """Points (U, b) of all units of each size b."""
        unit = self.design.unit[self.design.prompt]
        order, sizes = np.argsort(unit, kind="stable"), np.bincount(unit)
        starts = np.cumsum(sizes) - sizes
        return [
            order[starts[sizes == size][:, None] + np.arange(size)] for size in np.unique(sizes[sizes > 0])
        ]

    @cached_property
    def _kept(self) -> list[Block] | None:
        """All blocks, where they are few enough to keep."""
        entries = sum(points.size * points.shape[1] for points in self._groups)
        return list(self._blocks()) if entries <= KEPT else None

    def _blocks(self) -> Iterator[Block]:
        for points in self._groups:
            step = max(1, AT_A_TIME // points.shape[1])
            for start in range(0, len(points), step):
                some = points[start : start + step]
                D = self.distances.within(some)
                D[:, np.arange(D.shape[1]), np.arange(D.shape[1])] = 0
                yield some, D


def matmul_within(distances: Distances, design: Design, M: NDArray[np.floating]) -> NDArray[np.float64]:
    """(D o S) @ M for M (N, m), S 1 where two points are of one unit (prompt or cluster): float64 (N, m).

    Costs O(N b d) for units of up to b points.
    """
    return Within(distances, design).matmul(M)
