"""Project points to two dimensions. Computing only: `figures.scatter` draws what comes out."""

from __future__ import annotations

import atexit
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from figures.discriminant import cross_fitted
from figures.linear import LinearAxes
from figures.quality import Judge, Quality, whole_prompts

Method = Literal["pca", "lda", "tsne", "umap"]

_LAYOUT_DIMENSIONS = 50
"""Principal components that t-SNE and UMAP start from, as is usual (van der Maaten and Hinton 2008)."""
_EXACT = 1500
"""Dimensions up to which the eigenvectors of the covariance cost less than a randomised search for them."""
_TSNE_STEPS = 750
"""250 of early exaggeration and 500 after it, as openTSNE takes (Policar, Strazar and Zupan 2024)."""
_LAYOUT_POINTS = 12
"""Fewest points that make a layout by neighbours worth drawing."""


@dataclass(frozen=True)
class Projection:
    """Points of a run in two dimensions, with the axes that put them there and the quality of the picture."""

    method: Method
    """How the coordinates were made."""
    centred: bool
    """Whether each prompt's mean over its modes was taken off first."""
    coordinates: NDArray[np.float64]
    """(N, 2), in the order of the points given."""
    modes: NDArray[np.str_]
    """(N,) mode of each point."""
    prompts: NDArray[np.str_]
    """(N,) prompt of each point."""
    axis_names: tuple[str, str]
    """What the two axes are, with their unit."""
    axes: LinearAxes | None
    """Axes fitted on all points, for `reuse`; None for t-SNE and UMAP, whose layouts know no place for new
    points. Of LDA the coordinates are cross-fitted and so differ a little from these axes."""
    quality: Quality
    """What the picture keeps of the full space."""

    def table(self) -> pd.DataFrame:
        """One row a point: prompt, mode, x, y."""
        x, y = self.coordinates.T
        return pd.DataFrame({"prompt": self.prompts, "mode": self.modes, "x": x, "y": y})

    def reuse(
        self,
        X: ArrayLike,
        modes: Sequence[str],
        prompts: Sequence[object],
        *,
        silhouette: float | None = None,
    ) -> Projection:
        """Points of another run on the axes of this one, so that two runs can be compared by eye.

        X (N, d) comes from the same space. Raises ValueError where the method has no axes or d differs.
        """
        if self.axes is None:
            raise ValueError(
                f"{self.method} has no axes to reuse: project both runs together, or use pca or lda"
            )
        points, mode_names, prompt_names = _checked(X, modes, prompts, self.centred)
        if points.shape[1] != len(self.axes.mean):
            raise ValueError(
                f"the axes were fitted in {len(self.axes.mean)} dimensions, the points have {points.shape[1]}"
            )
        coordinates = self.axes.transform(points)
        judged = Judge(points, mode_names, prompt_names, silhouette_full=silhouette)(coordinates)
        return Projection(
            self.method,
            self.centred,
            coordinates,
            mode_names,
            prompt_names,
            self.axis_names,
            self.axes,
            judged,
        )


def project(
    X: ArrayLike,
    modes: Sequence[str],
    prompts: Sequence[object],
    method: Method = "pca",
    *,
    centre_prompts: bool = False,
    silhouette: float | None = None,
    seed: int = 0,
) -> Projection:
    """Project points X (N, d) with their modes and prompts (N,) to two dimensions.

    - `pca`: the two directions of largest variance.
    - `lda`: the directions that part the modes best, cross-fitted: a point's coordinates come from axes
      fitted without any point of its prompt (without this, LDA parts pure noise).
    - `tsne`, `umap`: layouts that keep neighbours, without looking at the modes (supervised UMAP parts pure
      noise). Distances between groups mean little in them, and a jitter of 1e-6 moves a layout as much as
      another seed: look at several seeds (`seed_range`) before reading anything into one.

    Distances are Euclidean: for a cosine picture hand over rows of unit length. `centre_prompts` takes each
    prompt's mean over its modes off first, which shows what the modes do beneath the difference between
    prompts. `silhouette` is the full-space silhouette to print where it is known. The same input and seed
    give the same coordinates on one machine. Cost: pca and lda O(N d 256), layouts about O(N log N) with a
    large constant.

    Raises ValueError for arrays that do not fit together, points that are not finite or all the same, and too
    few points or modes for the method.

    Example
    -------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> modes, prompts = ["neg", "pos"] * 30, np.repeat(range(30), 2)
    >>> X = rng.normal(size=(60, 4)) + np.tile([[0.0], [2.0]], (30, 4))
    >>> found = project(X, modes, prompts, centre_prompts=True)
    >>> table = found.table()
    >>> list(table.columns), len(table)
    (['prompt', 'mode', 'x', 'y'], 60)
    """
    points, mode_names, prompt_names = _checked(X, modes, prompts, centre_prompts)
    axes: LinearAxes | None = None
    if method == "pca":
        axes, shares = principal_axes(points, seed)
        coordinates = axes.transform(points)
        names = (
            f"PC 1 ({shares[0]:.0%} of variance)",
            f"PC 2 ({shares[1]:.0%})",
        )
    elif method == "lda":
        coordinates, axes, names = cross_fitted(points, mode_names, prompt_names, seed)
    elif method in ("tsne", "umap"):
        coordinates = _layout(points, method, seed)
        title = {"tsne": "t-SNE", "umap": "UMAP"}[method]
        names = (f"{title} 1 (no unit)", f"{title} 2 (no unit)")
    else:
        raise ValueError(f"method {method!r} is unknown: choose pca, lda, tsne or umap")
    judged = Judge(points, mode_names, prompt_names, silhouette_full=silhouette)(coordinates)
    return Projection(method, centre_prompts, coordinates, mode_names, prompt_names, names, axes, judged)


def seed_range(
    X: ArrayLike,
    modes: Sequence[str],
    prompts: Sequence[object],
    method: Literal["tsne", "umap"] = "umap",
    *,
    centre_prompts: bool = False,
    seeds: Sequence[int] = range(5),
    limit: int = 300,
) -> pd.DataFrame:
    """Quality of a layout under several seeds, one row a seed: the range to state beside a single layout.

    Of more than `limit` points a sample of whole prompts is laid out, for a layout is costly and its range
    over seeds does not need all of them; n_points says how many. Errors as `project`.

    Example
    -------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> modes, prompts = ["neg", "pos"] * 30, np.repeat(range(30), 2)
    >>> X = rng.normal(size=(60, 4)) + np.tile([[0.0], [2.0]], (30, 4))
    >>> len(seed_range(X, modes, prompts, "tsne", seeds=[0, 1]))  # one row a seed
    2
    """
    points, mode_names, prompt_names = _checked(X, modes, prompts, centre_prompts)
    keep = whole_prompts(prompt_names, limit, seed=0)
    points, mode_names, prompt_names = points[keep], mode_names[keep], prompt_names[keep]
    judge = Judge(points, mode_names, prompt_names)
    rows = [judge(_layout(points, method, seed)).to_frame() for seed in seeds]
    return pd.concat(rows, ignore_index=True).assign(seed=list(seeds), sampled=not keep.all())


def _checked(
    X: ArrayLike, modes: Sequence[str], prompts: Sequence[object], centre_prompts: bool
) -> tuple[NDArray[np.float64], NDArray[np.str_], NDArray[np.str_]]:
    """Points (less their prompts' means if asked), mode and prompt names; or ValueError."""
    points = np.asarray(X, dtype=np.float64)
    mode_names, prompt_names = np.asarray(modes, dtype=str), np.asarray(prompts, dtype=str)
    if points.ndim != 2 or points.shape[1] < 2:
        raise ValueError(f"X has to have the shape (points, dimensions >= 2), not {points.shape}")
    if mode_names.shape != (len(points),) or prompt_names.shape != (len(points),):
        given = f"{mode_names.size} modes and {prompt_names.size} prompts"
        raise ValueError(f"X has {len(points)} points, but {given} are given")
    if len(points) < 3:
        raise ValueError(f"a projection needs at least 3 points, not {len(points)}")
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise ValueError(f"row {row} of X has values that are not finite")
    size = np.abs(points).max()
    if centre_prompts:
        _, codes, counts = np.unique(prompt_names, return_inverse=True, return_counts=True)
        sums = np.zeros((len(counts), points.shape[1]))
        np.add.at(sums, codes, points)
        points = points - (sums / counts[:, None])[codes]
    if np.ptp(points, axis=0).max() <= 1e-12 * size:
        what = "within each prompt all points are the same" if centre_prompts else "all points are the same"
        raise ValueError(f"{what}: there is nothing to project")
    return points, mode_names, prompt_names


def principal_axes(points: NDArray[np.float64], seed: int = 0) -> tuple[LinearAxes, NDArray[np.float64]]:
    """First two principal axes of points (N, d), and the shares (2,) of variance they explain.

    Exact up to `_EXACT` dimensions, by the covariance's eigenvectors; beyond them randomised with the seed.
    """
    solver = "covariance_eigh" if points.shape[1] <= _EXACT else "auto"
    pca = PCA(n_components=2, svd_solver=solver, random_state=seed).fit(points)
    return LinearAxes(pca.mean_, pca.components_.T), pca.explained_variance_ratio_


def _layout(points: NDArray[np.float64], method: Method, seed: int) -> NDArray[np.float64]:
    """t-SNE or UMAP coordinates (N, 2) of the leading principal components."""
    n = len(points)
    if n < _LAYOUT_POINTS:
        raise ValueError(f"{method} needs at least {_LAYOUT_POINTS} points, not {n}: use pca")
    if min(points.shape) > _LAYOUT_DIMENSIONS:
        points = PCA(n_components=_LAYOUT_DIMENSIONS, random_state=seed).fit_transform(points)
    # Both start from principal components, which keeps the coarse arrangement (Kobak and Linderman 2021) but
    # leaves t-SNE without a random part. Yet a jitter far below any meaning moves a layout: drawn with the
    # seed, it lets several seeds show how much of the layout is chance.
    points = points + 1e-6 * points.std() * np.random.default_rng(seed).standard_normal(points.shape)
    if method == "tsne":
        model = TSNE(
            perplexity=min(30.0, (n - 1) / 3),
            init="pca",
            max_iter=_TSNE_STEPS,
            random_state=seed,
            n_jobs=1,
        )
        return np.asarray(model.fit_transform(points), dtype=np.float64)
    k = min(15, n - 1)
    # Left to itself it takes the same exact distances of a few thousand points in Python, one by one.
    distances, neighbours = NearestNeighbors(n_neighbors=k).fit(points).kneighbors(points)
    model = _umap().UMAP(
        n_neighbors=k, init="pca", random_state=seed, n_jobs=1, precomputed_knn=(neighbours, distances)
    )
    with warnings.catch_warnings():
        # That without its own index it could not place new points later, which nobody asks of it.
        warnings.filterwarnings("ignore", message="precomputed_knn", category=UserWarning)
        return np.asarray(model.fit_transform(points), dtype=np.float64)


def _umap() -> Any:
    """The module umap: here and not above, since it compiles for seconds, and only this method needs it.

    It does not come without a folder for what it compiles: where it and its user have none that can be
    written, it gets one that ends with this process. ModuleNotFoundError where it is not installed.
    """
    try:
        import umap
    except ModuleNotFoundError as error:
        if error.name != "umap":
            raise
        advice = "a projection by umap needs umap-learn: pip install 'safety-margin[umap]'"
        raise ModuleNotFoundError(advice, name="umap") from None
    except RuntimeError:
        from numba import config

        folder = mkdtemp(prefix="numba-")  # nobody else's: what lies there is run
        atexit.register(rmtree, folder, ignore_errors=True)
        vars(config)["CACHE_DIR"] = folder
        import umap
    return umap
