"""Layouts of points by their neighbours: t-SNE and UMAP."""

from __future__ import annotations

import atexit
import warnings
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

DIMENSIONS = 50
"""Principal components that t-SNE and UMAP start from, as is usual (van der Maaten and Hinton 2008)."""
TSNE_STEPS = 750
"""250 of early exaggeration and 500 after it, as openTSNE takes (Policar, Strazar and Zupan 2024)."""
COMPILED = ("smooth_knn_dist", "compute_membership_strengths")
"""What UMAP compiles in every process, for six seconds, unless it is told to keep it as it keeps the rest."""
FEWEST_POINTS = 12
"""Fewest points that make a layout worth drawing."""


def layout(points: NDArray[np.float64], method: Literal["tsne", "umap"], seed: int) -> NDArray[np.float64]:
    """t-SNE or UMAP coordinates (N, 2) of the leading principal components."""
    n = len(points)
    if n < FEWEST_POINTS:
        raise ValueError(f"{method} needs at least {FEWEST_POINTS} points, not {n}: use pca")
    if min(points.shape) > DIMENSIONS:
        points = PCA(n_components=DIMENSIONS, random_state=seed).fit_transform(points)
    # Both start from principal components, which keeps the coarse arrangement (Kobak and Linderman 2021) but
    # leaves t-SNE without a random part. Yet a jitter far below any meaning moves a layout: drawn with the
    # seed, it lets several seeds show how much of the layout is chance.
    points = points + 1e-6 * points.std() * np.random.default_rng(seed).standard_normal(points.shape)
    if method == "tsne":
        model = TSNE(
            perplexity=min(30.0, (n - 1) / 3),
            init="pca",
            max_iter=TSNE_STEPS,
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
    # It sets the threads of OpenMP, which torch shares, to all cores, and leaves them so.
    with threadpool_limits(), warnings.catch_warnings():
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
    for name in COMPILED:
        keep = getattr(getattr(umap.umap_, name, None), "enable_caching", None)
        if keep is not None:  # nothing is compiled under NUMBA_DISABLE_JIT
            keep()
    return umap
