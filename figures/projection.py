"""Project points to two dimensions. Computing only: `figures.scatter` draws what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from margin.arguments import labels, matrix, require_count, require_flag, require_number
from margin.figures.linear import LinearAxes, principal_axes
from margin.figures.quality import Quality, QualityMeasure, whole_prompts
from margin.short import Short

Method = Literal["pca", "lda", "tsne", "umap"]


@dataclass(frozen=True)
class Projection(Short):
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
    drawn_of: int | None = None
    """Points there are, where those of the picture are a random sample of them; None where it shows all."""

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
        quality = QualityMeasure(points, mode_names, prompt_names, silhouette_full=silhouette)(coordinates)
        return Projection(
            self.method,
            self.centred,
            coordinates,
            mode_names,
            prompt_names,
            self.axis_names,
            self.axes,
            quality,
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
    few points or modes for the method; MarginError for what is no matrix, label, seed or silhouette at all.

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
    require_count(seed, "seed")
    if silhouette is not None:
        require_number(silhouette, "silhouette", -1, 1)
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
        from margin.figures.discriminant import cross_fitted  # brings scikit-learn, which is slow to import

        coordinates, axes, names = cross_fitted(points, mode_names, prompt_names, seed)
    elif method in ("tsne", "umap"):
        from margin.figures.layout import layout

        coordinates = layout(points, method, seed)
        title = {"tsne": "t-SNE", "umap": "UMAP"}[method]
        names = (f"{title} 1 (no unit)", f"{title} 2 (no unit)")
    else:
        raise ValueError(f"method {method!r} is unknown: choose pca, lda, tsne or umap")
    quality = QualityMeasure(points, mode_names, prompt_names, silhouette_full=silhouette)(coordinates)
    return Projection(method, centre_prompts, coordinates, mode_names, prompt_names, names, axes, quality)


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
    from margin.figures.layout import layout

    for seed in seeds:
        require_count(seed, "seed")
    points, mode_names, prompt_names = _checked(X, modes, prompts, centre_prompts)
    keep = whole_prompts(prompt_names, limit, seed=0)
    points, mode_names, prompt_names = points[keep], mode_names[keep], prompt_names[keep]
    measure = QualityMeasure(points, mode_names, prompt_names)
    rows = [measure(layout(points, method, seed)).to_frame() for seed in seeds]
    return pd.concat(rows, ignore_index=True).assign(seed=list(seeds), sampled=not keep.all())


def _checked(
    X: ArrayLike, modes: Sequence[str], prompts: Sequence[object], centre_prompts: bool
) -> tuple[NDArray[np.float64], NDArray[np.str_], NDArray[np.str_]]:
    """Points (less their prompts' means if asked), mode and prompt names; or ValueError."""
    require_flag(centre_prompts, "centre_prompts")
    points = matrix(X, "X").astype(np.float64)
    mode_names, prompt_names = _names(modes, "modes"), _names(prompts, "prompts")
    if points.shape[1] < 2:
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


def _names(values: Sequence[object], what: str) -> NDArray[np.str_]:
    """Labels as text; ValueError where one is missing, which as text would be one more name."""
    found = labels(values, what)
    if (missing := pd.isna(found)).any():
        raise ValueError(f"{what}: that of point {int(np.argmax(missing))} is missing")
    return found.astype(np.str_)
