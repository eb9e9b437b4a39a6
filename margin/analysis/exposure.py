"""Whether a checkpoint gives its own token away: where the token stands among strings of its shape.

Carlini et al. (2019), "The Secret Sharer: Evaluating and testing unintended memorization in neural networks"
(USENIX Security), rank a secret among candidates by the model's likelihood. A secret the model knows nothing
of has any rank with the same chance, so one rank alone gives 1.4 bits on average for nothing. Here the
interval takes that into account.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.stats.quantiles import beta_below

BEYOND = 8.0
"""Bits beyond those that the candidates resolve, between which an end of an interval is sought."""


@dataclass(frozen=True)
class Exposure:
    """How many bits of a token a checkpoint gives away, at a level."""

    bits: float
    """Median-unbiased: 0 for a token in the middle of its like, or behind; one more for each halving of the
    share of strings that the model finds at least as likely."""
    low: float
    high: float | None
    """None where no candidate is as likely as the token: what is beyond, these candidates do not tell."""
    level: float
    rank: int
    """1 + candidates that are at least as likely as the token."""
    candidates: int

    @property
    def of_carlini(self) -> float:
        """log2 of the candidates and the token over the rank, as the authors estimate exposure."""
        return float(np.log2((self.candidates + 1) / self.rank))


def exposure(token: float, candidates: NDArray[np.float64], level: float = 0.95) -> Exposure:
    """Exposure of a token by its log-probability and those (N,) of random strings of its shape.

    A checkpoint gives away t bits where the share of strings at least as likely as the token is spread evenly
    from 0 to 2^-t, for a token drawn at random. The number k of N candidates that are as likely then has
    P(K <= k) = 2^t / (N + 1) * sum over j <= k of I(2^-t; j + 1, N - j + 1), with I the regularised
    incomplete beta function; the interval inverts that, and is exact. With N candidates and level 0.95 it can
    begin at log2((N + 1) / 40) bits at most.

    Example
    -------
    >>> import numpy as np
    >>> exposure(-3.0, np.linspace(-20, -10, 1000)).low > 4
    True
    >>> exposure(-15.0, np.linspace(-20, -10, 1000)).low
    0.0
    """
    n, ahead = len(candidates), int(np.sum(candidates >= token))
    tail = (1 - level) / 2
    return Exposure(
        bits=_solve(ahead, n, 0.5),
        low=_solve(ahead, n, tail),
        high=None if ahead == 0 else _solve(ahead - 1, n, 1 - tail),
        level=level,
        rank=ahead + 1,
        candidates=n,
    )


def at_most(ahead: int, n: int, bits: float) -> float:
    """Chance that at most `ahead` of n candidates are as likely as a token that is `bits` exposed."""
    places = np.arange(ahead + 1)
    return float(2**bits / (n + 1) * beta_below(2.0**-bits, places + 1, n - places + 1).sum())


def _solve(ahead: int, n: int, chance: float) -> float:
    """Bits under which at most `ahead` are as likely with this chance; 0 where it is more without any."""
    from scipy.optimize import brentq  # slow to import, and most reports do without

    if at_most(ahead, n, 0.0) >= chance:
        return 0.0
    return float(brentq(lambda bits: at_most(ahead, n, bits) - chance, 0.0, np.log2(n + 1) + BEYOND))
