"""Linear discriminant axes whose picture does not flatter: every point is placed by axes that never saw its
prompt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import GroupKFold

from margin.figures.linear import LinearAxes

FOLDS = 5
_DIMENSIONS = 256
"""Principal components kept before LDA. They are found without the modes, so they cannot part noise, and they
make the cost independent of the hidden size."""


def cross_fitted(
    X: NDArray[np.float64], modes: NDArray[np.str_], prompts: NDArray[np.str_], seed: int
) -> tuple[NDArray[np.float64], LinearAxes, tuple[str, str]]:
    """Coordinates (N, 2), axes fitted on all points, and names of the axes.

    Prompts are dealt to five folds; a fold's points are placed by LDA (Ledoit-Wolf shrinkage) fitted on the
    other folds and turned onto the axes of the whole, since a discriminant's sign and rotation are arbitrary.
    With two modes there is one discriminant; the second axis is then the largest principal component of what
    it leaves. Raises ValueError with fewer than two modes, or fewer than three prompts with all modes.
    """
    names, counts = np.unique(modes, return_counts=True)
    n_prompts = len(np.unique(prompts))
    if len(names) < 2:
        raise ValueError("lda parts modes: it needs at least two, use pca for one")
    if n_prompts < 3 or counts.min() < 3:
        raise ValueError(
            f"lda fits axes on prompts left out: it needs at least 3 with every mode, not {n_prompts}"
        )
    pca = PCA(n_components=min(_DIMENSIONS, len(X) - 1, X.shape[1]), random_state=seed).fit(X)
    basis = pca.components_[pca.explained_variance_ > 1e-12 * pca.explained_variance_[0]]
    Z = (X - pca.mean_) @ basis.T
    if Z.shape[1] < 2:
        raise ValueError("all points lie on one line: draw a single axis instead of a projection")
    whole = _discriminants(Z, modes)
    coordinates = np.empty((len(X), 2))
    folds = GroupKFold(min(FOLDS, n_prompts), shuffle=True, random_state=seed)
    for train, test in folds.split(Z, groups=prompts):
        if len(np.unique(modes[train])) < len(names):
            raise ValueError(
                "lda needs every mode under several prompts, so that none is missing when a fold is left out"
            )
        fold = _discriminants(Z[train], modes[train])
        turn, _ = orthogonal_procrustes(fold.transform(Z[train]), whole.transform(Z[train]))
        coordinates[test] = fold.transform(Z[test]) @ turn
    axes = LinearAxes(pca.mean_ + whole.mean @ basis, basis.T @ whole.directions)
    second = "LD 2 (s.d. within modes)" if len(names) > 2 else "PC 1 of the rest (s.d.)"
    return coordinates, axes, ("LD 1 (s.d. within modes)", second)


def _discriminants(Z: NDArray[np.float64], modes: NDArray[np.str_]) -> LinearAxes:
    """Two axes of unit within-mode scatter (with two modes: the second of unit variance)."""
    try:
        lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto").fit(Z, modes)
    except (
        np.linalg.LinAlgError
    ) as error:  # no scatter within the modes to measure the distance between them by
        raise ValueError("lda needs prompts that differ within a mode: use pca") from error
    directions = lda.scalings_[:, :2]
    if len(lda.classes_) == 2:
        first = directions[:, :1]
        unit = first / np.linalg.norm(first)
        rest = PCA(n_components=1).fit((Z - Z.mean(axis=0)) @ (np.eye(len(unit)) - unit @ unit.T))
        deviation = np.sqrt(rest.explained_variance_)
        directions = np.hstack([first, rest.components_.T / np.where(deviation > 0, deviation, 1)])
    return LinearAxes(Z.mean(axis=0), directions)
