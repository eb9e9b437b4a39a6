"""Probes of every layer: one layer's numbers, and those of many layers side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from margin.arguments import require_count, require_level, require_number
from margin.probes import checks
from margin.probes.calibration import brier, calibration_error, log_loss
from margin.probes.control import Selectivity, selectivity
from margin.probes.deciding import SHARE_OF_BEST, Deciding, earliest_deciding
from margin.probes.directions import Kind, Pair, cosines, d_primes, directions
from margin.probes.logistic import read_across
from margin.probes.performance import accuracy, auc
from margin.probes.rows import FloatArray
from margin.short import Short
from margin.stats.design import Design
from margin.stats.estimate import Estimate


@dataclass(frozen=True, eq=False)
class LayerProbe(Short):
    """What a mode probe finds in one layer. Intervals are over prompts, each by itself."""

    layer: int
    accuracy: Estimate
    auc: Estimate
    """One versus rest, mean over modes."""
    auc_by_mode: dict[str, Estimate]
    calibration_error: Estimate
    brier: Estimate
    log_loss: Estimate
    control: Selectivity | None
    """None where there are fewer prompts than modes."""
    d_prime: dict[tuple[Kind, Pair], Estimate]
    """Cross-fitted d' of each pair of modes along each kind of direction."""
    cosines: pd.DataFrame
    """Cosines between the directions."""
    influence: NDArray[np.float64]
    """(n,) influence of each prompt on the accuracy."""

    def to_frame(self) -> pd.DataFrame:
        """One line a number: layer, quantity, of (mode, or kind and pair; None over all), and its fields."""
        lines: list[tuple[str, str | None, Estimate]] = [
            ("accuracy", None, self.accuracy),
            ("auc", None, self.auc),
            *(("auc", mode, score) for mode, score in self.auc_by_mode.items()),
            ("calibration_error", None, self.calibration_error),
            ("brier", None, self.brier),
            ("log_loss", None, self.log_loss),
        ]
        if self.control is not None:
            lines.append(("control_accuracy", None, self.control.control))
            lines.append(("selectivity", None, self.control.selectivity))
        lines += [("d_prime", f"{kind} {a} / {b}", score) for (kind, (a, b)), score in self.d_prime.items()]
        records = [
            {"layer": self.layer, "quantity": quantity, "of": of, **score.to_dict()}
            for quantity, of, score in lines
        ]
        return pd.DataFrame(records)


@dataclass(frozen=True, eq=False)
class LayerProbes(Short):
    """Probes of several layers of the same rows."""

    layers: tuple[LayerProbe, ...]
    deciding: Deciding

    def to_frame(self) -> pd.DataFrame:
        """The tables of all layers."""
        return pd.concat([layer.to_frame() for layer in self.layers], ignore_index=True)

    def curve(self) -> pd.DataFrame:
        """Accuracy with the intervals that hold for all layers at once, and selectivity: layer, quantity
        and the fields of a score; what `figures.probe_curve` draws."""
        lines = [
            {"layer": layer, "quantity": "accuracy", **score.to_dict()}
            for layer, score in zip(self.deciding.layers, self.deciding.accuracy, strict=True)
        ]
        lines += [
            {"layer": layer.layer, "quantity": "selectivity", **layer.control.selectivity.to_dict()}
            for layer in self.layers
            if layer.control is not None
        ]
        return pd.DataFrame(lines)


def probe_layer(
    layer: int,
    X: ArrayLike,
    rows: Design,
    fold: ArrayLike,
    *,
    seed: int = 0,
    level: float = 0.95,
    probe: Any = None,
) -> LayerProbe:
    """Probe one layer.

    Parameters
    ----------
    X : (N, d) states of the rows: an array, a table, a tensor, or lists.
    fold : (N,) as `grouped_folds` makes them.
    seed : of the control's labels and folds, and of the multipliers of the calibration error; the same for
        all layers, which then have the same control task.
    level : nominal coverage of each interval by itself.
    probe : scikit-learn classifier; `logistic_probe()` unless given.

    Cost: 2 fits a fold, and O(N d^2 + d^3) a fold for the directions. On one thread: the products are
    small, and threads of a linear algebra library would wait for each other more than they compute.

    Raises
    ------
    MarginError : as `cross_fit`.

    Example
    -------
    >>> import numpy as np
    >>> from margin.probes import grouped_folds, make_rows
    >>> rng = np.random.default_rng(0)
    >>> modes, prompts = ["neg", "pos"] * 30, np.repeat(range(30), 2)
    >>> X = rng.normal(size=(60, 4)) + np.tile([[0.0], [2.0]], (30, 4))
    >>> rows = make_rows(modes, prompts)
    >>> found = probe_layer(8, X, rows, grouped_folds(rows))
    >>> print(found.accuracy)
    0.950 [0.782, 0.998]
    """
    require_count(seed, "seed")
    require_level(level)
    checks.require_estimator(probe, "predict_proba")
    known, dealt = checks.states(X, rows), checks.folds(fold, rows)
    with threadpool_limits(limits=1):
        return _probe_layer(layer, known, rows, dealt, seed, level, probe)


def _probe_layer(
    layer: int, X: FloatArray, rows: Design, fold: NDArray[np.intp], seed: int, level: float, probe: Any
) -> LayerProbe:
    control_seed, multiplier_seed = np.random.SeedSequence(seed).spawn(2)
    found = read_across(X, rows, fold, probe)
    of_all, by_mode = auc(found, level)
    return LayerProbe(
        layer=layer,
        accuracy=accuracy(found, level),
        auc=of_all,
        auc_by_mode=by_mode,
        calibration_error=calibration_error(found, np.random.default_rng(multiplier_seed), level),
        brier=brier(found, level),
        log_loss=log_loss(found, level),
        control=selectivity(X, found, np.random.default_rng(control_seed), level, probe)
        if rows.n_prompts >= rows.n_modes
        else None,
        d_prime=d_primes(X, rows, fold, level),
        cosines=cosines(directions(X, rows)),
        influence=found.influence(found.correct),
    )


def probe_layers(
    layers: Mapping[int, ArrayLike] | Iterable[tuple[int, ArrayLike]],
    rows: Design,
    fold: ArrayLike,
    *,
    seed: int = 0,
    level: float = 0.95,
    share: float = SHARE_OF_BEST,
    probe: Any = None,
    n_jobs: int = 1,
) -> LayerProbes:
    """Probe every layer, and find the earliest that decides.

    Parameters
    ----------
    layers : numbers and states (N, d), ascending, as pairs or a mapping; read as they are needed.
    n_jobs : processes that share the layers (joblib's).
    The rest as `probe_layer` and `earliest_deciding`.

    Raises
    ------
    ValueError : no layer.
    MarginError : layers that do not ascend, and as `cross_fit`.

    Example
    -------
    >>> import numpy as np
    >>> from margin.probes import grouped_folds, make_rows
    >>> rng = np.random.default_rng(0)
    >>> modes, prompts = ["neg", "pos"] * 30, np.repeat(range(30), 2)
    >>> X = rng.normal(size=(60, 4)) + np.tile([[0.0], [2.0]], (30, 4))
    >>> rows = make_rows(modes, prompts)
    >>> noise = rng.normal(size=(60, 4))  # the states of a layer that does not tell the modes apart
    >>> found = probe_layers([(0, noise), (8, X)], rows, grouped_folds(rows))
    >>> found.deciding.layer
    8
    """
    require_number(share, "share", 0, 1)
    work = (
        delayed(probe_layer)(layer, X, rows, fold, seed=seed, level=level, probe=probe)
        for layer, X in checks.in_order(layers)
    )
    found: list[LayerProbe] = Parallel(n_jobs=n_jobs, pre_dispatch="n_jobs", max_nbytes=None)(work)
    if not found:
        raise ValueError("there is no layer to probe")
    deciding = earliest_deciding(
        [one.layer for one in found],
        np.array([one.accuracy.estimate for one in found]),
        np.column_stack([one.influence for one in found]),
        1 / rows.n_modes,
        np.random.default_rng(seed),
        share=share,
        level=level,
        over=rows.clusters,
    )
    return LayerProbes(tuple(found), deciding)
