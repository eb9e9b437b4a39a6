"""Which mode and which prompt each row of an array belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from margin.arguments import labels
from margin.errors import MarginError
from margin.stats.design import Design

FloatArray = NDArray[np.float32] | NDArray[np.float64]


def make_rows(modes: ArrayLike, prompts: ArrayLike, clusters: ArrayLike | None = None) -> Design:
    """Index the modes (N,) and prompts (N,) of N rows; a prompt may have several rows of a mode, or none.

    Modes keep the order of first appearance. Prompts are numbered in the order of their ids, so that what is
    drawn by prompt does not depend on the order of rows.

    Parameters
    ----------
    clusters : (N,) what the prompt of each row hangs together with; None where prompts are independent.

    Raises
    ------
    ValueError : lengths that differ, or fewer than two modes or prompts.
    MarginError : a label that is missing or can be none, a prompt in two clusters.

    Example
    -------
    >>> rows = make_rows(modes=["pos", "neg", "pos", "neg"], prompts=["a", "a", "b", "b"])
    >>> rows.modes, rows.n_prompts, rows.n_points
    (('pos', 'neg'), 2, 4)
    """
    mode, names = pd.factorize(known(modes, "modes"))
    ids, prompt = np.unique(known(prompts, "prompts"), return_inverse=True)
    if len(mode) != len(prompt):
        raise ValueError(f"{len(mode)} modes but {len(prompt)} prompts: give one of each a row")
    for what, found in (("modes", names), ("prompts", ids)):
        if len(found) < 2:
            raise ValueError(f"a probe needs at least two {what}, got {len(found)}")
    found = Design(
        mode.astype(np.intp),
        prompt.astype(np.intp),
        tuple(str(name) for name in names),
        tuple(str(name) for name in ids),
    )
    return found if clusters is None else found.clustered(found.of_prompts(clusters, "clusters"))


def known(values: ArrayLike, name: str) -> NDArray[Any]:
    """Labels (N,) that can be sorted. MarginError where they are none, or one is missing."""
    found = labels(values, name)
    if (missing := pd.isna(found)).any():
        raise MarginError(f"{name}: that of row {int(np.argmax(missing))} is missing, label every row")
    texts = found.dtype == object and any(isinstance(one, str) for one in found)
    return found.astype(str) if texts else found
