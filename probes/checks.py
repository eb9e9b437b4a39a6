"""What a probe is handed, made sure of: states, folds, domains and estimators that fit its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from margin.arguments import labels, matrix, require_count
from margin.errors import MarginError
from margin.probes.rows import FloatArray, known
from margin.stats.design import Design, require_rows


def states(X: ArrayLike, rows: Design) -> FloatArray:
    """X as an array (N, d) of floating point, a row for each of `rows`; float32 stays what it is.

    MarginError where it is none, has another number of rows, or holds NaN or infinity.
    """
    require_rows(rows)
    found = matrix(X, "X")
    if len(found) != rows.n_points:
        raise MarginError(f"X has {len(found)} rows, but {rows.n_points} modes and prompts are given")
    found = found if found.dtype in (np.float32, np.float64) else found.astype(np.float64)
    bad = ~np.isfinite(found).all(axis=1)
    if bad.any():
        raise MarginError(
            f"{bad.sum()} of {len(bad)} rows of X hold NaN or infinity, the first is row {np.argmax(bad)}"
        )
    return cast(FloatArray, found)


def folds(fold: ArrayLike, rows: Design) -> NDArray[np.intp]:
    """`fold` as an array (N,) of 0 to K-1, none of them empty, that parts no prompt and no cluster.

    MarginError where it is none. With a prompt on both sides a probe is tried on what it has met.
    """
    found = labels(cast(Any, fold), "fold")
    if len(found) != rows.n_points:
        raise MarginError(f"{len(found)} folds but {rows.n_points} rows: give one of each a row")
    if found.dtype.kind not in "fiu" or not (found == np.floor(found)).all():
        raise MarginError("fold must hold whole numbers, as margin.probes.grouped_folds deals them")
    there = np.unique(found).astype(np.intp)
    if len(there) < 2 or not np.array_equal(there, np.arange(len(there))):
        raise MarginError(
            f"fold must hold the numbers from 0 to the last, each of them and two at least: it holds {there}"
        )
    found = found.astype(np.intp)
    unit = rows.unit[rows.prompt]
    parted = pd.Series(found).groupby(unit).nunique().to_numpy() > 1
    if parted.any():
        first = rows.prompt_ids[int(rows.prompt[np.argmax(parted[unit])])]
        raise MarginError(
            f"fold parts what belongs together: rows of prompt {first!r} (or of its cluster) stand in two, "
            "so that a probe would be tried on a prompt it has met. Use margin.probes.grouped_folds"
        )
    return found


def domains(names: ArrayLike, rows: Design) -> NDArray[Any]:
    """`names` as an array (N,) that sorts; MarginError where one is missing or their number differs."""
    require_rows(rows)
    found = known(names, "domains")
    if len(found) != rows.n_points:
        raise MarginError(f"{len(found)} domains but {rows.n_points} rows: give one of each a row")
    return found


def in_order(
    layers: Mapping[int, ArrayLike] | Iterable[tuple[int, ArrayLike]],
) -> Iterator[tuple[int, ArrayLike]]:
    """Number and states of each layer, read as they are needed. MarginError where they do not ascend."""
    last = -1
    for each in layers.items() if isinstance(layers, Mapping) else layers:
        try:
            layer, X = each
        except (TypeError, ValueError):
            raise MarginError(
                "layers must be pairs of a layer's number and its states: (0, X0), ..."
            ) from None
        require_count(layer, "layer")
        if layer <= last:
            raise MarginError(f"layers must ascend, each once: {layer} stands after {last}")
        last = layer
        yield layer, X


def require_estimator(probe: Any, method: str) -> None:
    """MarginError where a probe that is given cannot be asked for what is needed of it."""
    made = not isinstance(probe, type)
    if probe is not None and not (made and hasattr(probe, "fit") and hasattr(probe, method)):
        name = (type(probe) if made else probe).__name__
        raise MarginError(f"probe must be a scikit-learn classifier, made, with {method}: got {name}")
