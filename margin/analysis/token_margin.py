"""The margin of the first response token: how much likelier a mode's own first tokens are than another
mode's.

Which tokens are a mode's own is learned on other prompts (cross-fitting): tokens chosen on the prompt they
are tried on would set any two modes apart, the same one twice as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from margin.errors import MarginError
from margin.short import Short
from margin.stats.design import Design
from margin.stats.folds import prompt_folds

ROUNDING = 1e-6
"""Differences of mean probability up to this are rounding of float32 logits, and distinguish nothing."""


@dataclass(frozen=True, eq=False)
class TokenMargins(Short):
    """First-token margin of every point."""

    margins: NDArray[np.float64]
    """(N,) log probability of the own mode's tokens minus the largest of another mode's, in nats; above 0 the
    response starts as its mode does on other prompts."""
    tokens: pd.DataFrame
    """The sets, most distinctive first: fold, mode, token (id), difference (of mean probabilities)."""

    def to_frame(self) -> pd.DataFrame:
        """The token sets."""
        return self.tokens


def token_margins(
    ids: NDArray[np.integer],
    logits: NDArray[np.floating],
    logsumexp: NDArray[np.floating],
    design: Design,
    rng: np.random.Generator,
    *,
    folds: int = 5,
    size: int = 10,
) -> TokenMargins:
    """Margin between the modes' first-token sets, chosen on the other folds.

    A mode's set holds up to `size` tokens, those whose mean probability under it most exceeds that under any
    other mode on the prompts of the other folds; so no token is in two sets. A set of which nothing is among
    a row's top tokens counts as likely as the least of these, which it is at most: margins of such rows are
    drawn towards 0. Modes that nothing distinguishes have empty sets and margins of 0.

    Parameters
    ----------
    ids, logits : (N, K) likeliest tokens of each point and their logits.
    logsumexp : (N,) over all logits of each point.
    rng : draws the folds, of whole prompts.

    Raises
    ------
    MarginError : fewer than two prompts, or lengths that differ.

    Cost: O(folds (N K + k V log V)), V the largest token id.
    """
    if design.n_prompts < 2:
        raise MarginError("first-token sets are chosen on other prompts: at least two are needed, got one")
    if not design.n_points == len(ids) == len(logits) == len(logsumexp):
        raise MarginError(
            f"{design.n_points} points, but top tokens of {len(ids)}, their logits of {len(logits)} and "
            f"logsumexp of {len(logsumexp)}: give one of each a point"
        )
    probabilities = np.exp(logits.astype(np.float64) - logsumexp.astype(np.float64)[:, None])
    least = np.where(probabilities > 0, probabilities, np.inf).min(axis=1, keepdims=True)
    starts = np.arange(0, ids.size + 1, ids.shape[1])
    P = sparse.csr_array((probabilities.ravel(), ids.ravel(), starts), shape=(len(ids), int(ids.max()) + 1))
    fold_of = prompt_folds(design, rng, folds)[design.prompt]
    margins = np.empty(design.n_points)
    sets: list[pd.DataFrame] = []
    for fold in range(fold_of.max() + 1):
        here = fold_of == fold
        chosen = _distinguishing(P[~here], design.onehot[~here], size)
        sets.append(chosen.assign(fold=fold, mode=np.asarray(design.modes, dtype=object)[chosen["mode"]]))
        membership = sparse.csr_array(
            (np.ones(len(chosen)), (chosen["token"], chosen["mode"])), shape=(P.shape[1], design.n_modes)
        )
        log = np.log(np.maximum((P[here] @ membership).toarray(), least[here]))
        own = design.onehot[here] == 1
        margins[here] = log[own] - np.where(own, -np.inf, log).max(axis=1)
    return TokenMargins(margins, pd.concat(sets, ignore_index=True)[["fold", "mode", "token", "difference"]])


def _distinguishing(P: sparse.csr_array, onehot: NDArray[np.float64], size: int) -> pd.DataFrame:
    """Tokens of each mode (index): mode, token, difference."""
    mean = (P.T @ onehot) / np.maximum(onehot.sum(axis=0), 1)
    sets = []
    for mode in range(mean.shape[1]):
        difference = mean[:, mode] - np.delete(mean, mode, axis=1).max(axis=1)
        tokens = np.argsort(-difference, kind="stable")[:size]
        tokens = tokens[difference[tokens] > ROUNDING]
        sets.append(pd.DataFrame({"mode": mode, "token": tokens, "difference": difference[tokens]}))
    return pd.concat(sets, ignore_index=True)
