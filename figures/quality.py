"""What a 2-D picture keeps of the full space, in numbers to print beside it.

No metric of a model is ever computed in a projection: these numbers judge the picture, not the model.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import squareform
from scipy.stats import spearmanr
from sklearn.manifold import trustworthiness
from sklearn.metrics import euclidean_distances, silhouette_score

NEIGHBOURS = 15


@dataclass(frozen=True)
class Quality:
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
    """Spearman correlation of the distances between points, picture against full space, -1 to 1."""
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


def quality(
    X: NDArray[np.float64],
    Y: NDArray[np.float64],
    modes: NDArray[np.str_],
    prompts: NDArray[np.str_],
    *,
    silhouette_full: float | None = None,
    limit: int = 1500,
    seed: int = 0,
) -> Quality:
    """Judge the picture Y (N, 2) of the points X (N, d), whose modes and prompts are given (N,).

    `silhouette_full` is taken as given where it is known already, say from a report. With more than `limit`
    points the pairwise numbers rest on a sample of whole prompts drawn with `seed`.
    Cost O(min(N, limit)^2 (d + log N)).
    """
    X = X - X.mean(axis=0)  # a large common offset would cost the distances their digits
    explained = _explained(X, Y)
    keep = _whole_prompts(prompts, limit, seed)
    X, Y, modes = X[keep], Y[keep], modes[keep]
    full, flat = euclidean_distances(X), euclidean_distances(Y)
    for distances in (full, flat):
        np.fill_diagonal(distances, 0.0)
    n = len(X)
    near = min(NEIGHBOURS, (n - 1) // 2)  # trustworthiness is defined below n / 2 neighbours
    several = 2 <= len(np.unique(modes)) < n

    def silhouette(distances: NDArray[np.float64]) -> float:
        return float(silhouette_score(distances, modes, metric="precomputed")) if several else float("nan")

    return Quality(
        silhouette_full=silhouette(full) if silhouette_full is None else silhouette_full,
        silhouette_2d=silhouette(flat),
        trustworthiness=float(trustworthiness(X, Y, n_neighbors=near)),
        continuity=float(trustworthiness(Y, X, n_neighbors=near)),
        hit_full=_hit(full, modes, near),
        hit_2d=_hit(flat, modes, near),
        shepard=float(spearmanr(squareform(full, checks=False), squareform(flat, checks=False)).statistic),
        explained=explained,
        neighbours=near,
        n_points=n,
        sampled=n < len(keep),
    )


def _whole_prompts(prompts: NDArray[np.str_], limit: int, seed: int) -> NDArray[np.bool_]:
    """Mask of at most `limit` points (one prompt at least), made of whole prompts."""
    if len(prompts) <= limit:
        return np.ones(len(prompts), dtype=bool)
    names, counts = np.unique(prompts, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    fitting = int(np.sum(np.cumsum(counts[order]) <= limit))
    return np.isin(prompts, names[order[: max(fitting, 1)]])


def _hit(distances: NDArray[np.float64], modes: NDArray[np.str_], near: int) -> float:
    """Mean share of the `near` nearest other points that have a point's own mode."""
    others = distances + np.diag(np.full(len(distances), np.inf))
    nearest = np.argsort(others, axis=1, kind="stable")[:, :near]
    return float(np.mean(modes[nearest] == modes[:, None]))


def _explained(X: NDArray[np.float64], Y: NDArray[np.float64]) -> float:
    """R^2 of the least-squares map from the coordinates back to the centred points."""
    basis, sizes, _ = np.linalg.svd(Y - Y.mean(axis=0), full_matrices=False)
    basis = basis[:, sizes > sizes[0] * 1e-12]
    return float(np.sum((basis.T @ X) ** 2) / np.sum(X**2))
