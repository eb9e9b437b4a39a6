"""What a 2-D picture keeps of the full space, in numbers to print beside it.

No metric of a model is ever computed in a projection: these numbers judge the picture, not the model.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.short import Short

NEIGHBOURS = 15
_MOVED_BY_SEED = ("silhouette_2d", "hit_2d", "trustworthiness", "continuity", "shepard")


@dataclass(frozen=True)
class Quality(Short):
    """Faithfulness of a projection; every distance is Euclidean in the space that was projected."""

    silhouette_full: float
    """Mean silhouette of the modes in the full space (Rousseeuw 1987), -1 to 1; NaN with a single mode."""
    silhouette_2d: float
    """The same in the picture: far above `silhouette_full`, the picture flatters."""
    trustworthiness: float
    """1 where neighbours in the picture are neighbours in the full space (Venna and Kaski 2001), 0 to 1."""
    continuity: float
    """1 where neighbours in the full space stay neighbours in the picture (Venna and Kaski 2001), 0 to 1."""
    hit_full: float
    """Share of a point's nearest neighbours that have its mode, in the full space (Paulovich et al. 2008), 0
    to 1."""
    hit_2d: float
    """The same in the picture."""
    shepard: float
    """Spearman correlation of the distances between points, picture against full space, -1 to 1; NaN where
    one of them has all points at one distance."""
    explained: float
    """Share of the total variance that a linear map of the two coordinates gives back, 0 to 1; of principal
    components, the usual explained variance."""
    neighbours: int
    """Neighbours counted: 15, fewer where there are few points."""
    n_points: int
    """Points the pairwise numbers rest on."""
    sampled: bool
    """Whether those points are a random sample of whole prompts."""

    def to_frame(self) -> pd.DataFrame:
        """One row, the fields as columns."""
        return pd.DataFrame([asdict(self)])

    def __str__(self) -> str:
        """Short lines to write beneath the picture."""
        silhouettes = f"full {self.silhouette_full:.2f}, here {self.silhouette_2d:.2f}"
        lines = [
            f"silhouette: {'undefined' if np.isnan(self.silhouette_2d) else silhouettes}",
            f"same mode in {self.neighbours} nearest: full {self.hit_full:.2f}, here {self.hit_2d:.2f}",
            f"trustworthiness {self.trustworthiness:.2f} · continuity {self.continuity:.2f}",
            f"Shepard ρ {self.shepard:.2f} · variance explained {self.explained:.0%}",
        ]
        return "\n".join([*lines, f"on {self.n_points:,} sampled points"] if self.sampled else lines)


def seed_range_words(table: pd.DataFrame) -> str:
    """Short lines on the least and largest quality over seeds, one row a seed (`seed_range`).

    Layouts of a sample are named as such: theirs is another picture, of which the width of the range counts.
    """
    ends = {name: f"{table[name].min():.2f}–{table[name].max():.2f}" for name in _MOVED_BY_SEED}
    over = f"over {len(table)} seeds"
    if table["sampled"].iloc[0]:
        over = f"layouts of {table['n_points'].iloc[0]:,} of the points, {len(table)} seeds"
    return (
        f"{over}: silhouette {ends['silhouette_2d']}\n"
        f"same mode {ends['hit_2d']} · trustworthiness {ends['trustworthiness']}\n"
        f"continuity {ends['continuity']} · Shepard ρ {ends['shepard']}"
    )


class QualityMeasure:
    """Measures pictures of the same points. What concerns the full space alone is computed once.

    X (N, d) are the points, modes and prompts (N,) what they are. `silhouette_full` is taken as given where
    it is known already, say from a report. With more than `limit` points the pairwise numbers rest on a
    sample of whole prompts drawn with `seed`. Costs O(m^2 (d + log m)) once and O(m^2 log m) a picture, and
    memory of some m^2 numbers, m = min(N, limit).
    """

    def __init__(
        self,
        X: NDArray[np.float64],
        modes: NDArray[np.str_],
        prompts: NDArray[np.str_],
        *,
        silhouette_full: float | None = None,
        limit: int = 1500,
        seed: int = 0,
    ) -> None:
        self._X = X - X.mean(axis=0)  # a large common offset would cost the distances their digits
        self._keep = whole_prompts(prompts, limit, seed)
        self._modes = modes[self._keep]
        self._known = silhouette_full

    @cached_property
    def _full(self) -> _Distances:
        return _Distances(self._X[self._keep], self._modes)

    def __call__(self, Y: NDArray[np.float64]) -> Quality:
        """The quality of the picture Y (N, 2)."""
        full, flat = self._full, _Distances(Y[self._keep], self._modes)
        return Quality(
            silhouette_full=full.silhouette if self._known is None else self._known,
            silhouette_2d=flat.silhouette,
            trustworthiness=_preserved(full, flat),
            continuity=_preserved(flat, full),
            hit_full=full.hit,
            hit_2d=flat.hit,
            shepard=_correlation(full.order, flat.order),
            explained=_explained(self._X, Y),
            neighbours=full.near,
            n_points=full.n,
            sampled=full.n < len(self._keep),
        )


class _Distances:
    """Everything that is asked of the distances between m points."""

    def __init__(self, X: NDArray[np.float64], modes: NDArray[np.str_]) -> None:
        from scipy.spatial.distance import squareform  # slow to import, and not every figure has distances

        self.n = len(X)
        self.near = min(NEIGHBOURS, (self.n - 1) // 2)  # trustworthiness is defined below n / 2 neighbours
        between = _distances(X)
        self._between, self._modes = between, modes
        self.order = _ranks(squareform(between, checks=False))
        """(m (m - 1) / 2,) rank of each distance among all."""
        # A point is nearest to itself, even where others lie upon it.
        nearest = _nearest(between - np.eye(self.n))
        self.neighbours = nearest[:, 1 : self.near + 1]
        """(m, near) each point's nearest others."""
        self.rank = np.empty_like(nearest)
        """(m, m) place of each point (columns) among the neighbours of another, from 1."""
        np.put_along_axis(self.rank, nearest, np.arange(self.n)[None, :], axis=1)
        self.hit = float(np.mean(modes[self.neighbours] == modes[:, None]))

    @cached_property
    def silhouette(self) -> float:
        """Mean silhouette of the modes; NaN with a single one, or one a point."""
        modes, own, counts = np.unique(self._modes, return_inverse=True, return_counts=True)
        if not 2 <= len(modes) < self.n:
            return float("nan")
        sums = self._between @ np.eye(len(modes))[own]
        points = np.arange(self.n)
        within = sums[points, own] / np.maximum(counts[own] - 1, 1)
        means = sums / counts
        means[points, own] = np.inf
        nearest = means.min(axis=1)
        widest = np.maximum(within, nearest)
        # Of a mode with one point, and where all distances are 0, it is 0.
        known = (counts[own] > 1) & (widest > 0)
        return float(np.mean(np.divide(nearest - within, widest, out=np.zeros(self.n), where=known)))


def _distances(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, m) Euclidean distances by inner products, which is fast, of points that lie about the origin."""
    lengths = np.einsum("ij,ij->i", X, X)
    squared = lengths[:, None] + lengths - 2 * (X @ X.T)
    np.fill_diagonal(squared, 0.0)
    return np.asarray(np.sqrt(squared.clip(0)))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank of each value from 1, equal values at the mean of theirs; twice as fast as `scipy.stats.rankdata`,
    which sorts stably."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def _nearest(between: NDArray[np.float64]) -> NDArray[np.intp]:
    """(m, m) points by their distance from each, equal ones by their number.

    A stable sort says so too, but takes five times as long: it is kept for rows that hold equal distances.
    """
    nearest = np.argsort(between, axis=1)
    ordered = np.take_along_axis(between, nearest, axis=1)
    tied = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    nearest[tied] = np.argsort(between[tied], axis=1, kind="stable")
    return nearest


def _preserved(space: _Distances, picture: _Distances) -> float:
    """Trustworthiness of the picture of a space (Venna and Kaski 2001): a neighbour in the picture costs as
    many places as it lies beyond the neighbours in the space. With the two exchanged, it is continuity."""
    n, near = space.n, space.near
    beyond = np.take_along_axis(space.rank, picture.neighbours, axis=1) - near
    return 1.0 - 2.0 / (n * near * (2 * n - 3 * near - 1)) * float(beyond[beyond > 0].sum())


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson correlation, NaN where one of them is constant."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else float("nan")


def whole_prompts(prompts: NDArray[np.str_], limit: int, seed: int) -> NDArray[np.bool_]:
    """Mask of at most `limit` points (one prompt at least), made of whole prompts."""
    if len(prompts) <= limit:
        return np.ones(len(prompts), dtype=bool)
    names, counts = np.unique(prompts, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    fitting = int(np.sum(np.cumsum(counts[order]) <= limit))
    return np.isin(prompts, names[order[: max(fitting, 1)]])


def _explained(X: NDArray[np.float64], Y: NDArray[np.float64]) -> float:
    """R^2 of the least-squares map from the coordinates back to the centred points."""
    basis, sizes, _ = np.linalg.svd(Y - Y.mean(axis=0), full_matrices=False)
    basis = basis[:, sizes > sizes[0] * 1e-12]
    return float(np.sum((basis.T @ X) ** 2) / np.sum(X**2))
