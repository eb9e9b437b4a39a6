"""When a training may end, by the margins measured so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from margin.arguments import named, require_count, require_number
from margin.errors import MarginError
from margin.stats.estimate import Estimate


@named
@dataclass(frozen=True)
class EarlyStop:
    """Reasons to end a training, any of which is enough.

    Each look at the margin is a look of its own: a claim at 95% over n looks takes intervals of level
    1 - 0.05 / n (Bonferroni).

    Raises
    ------
    MarginError : no reason at all, a margin that there cannot be, or a patience below 1.
    """

    reached: float | None = None
    """The margin is shown to be at least this: its lower bound is."""
    lost: float | None = None
    """The margin is shown to be below this: its upper bound is."""
    patience: int | None = None
    """This many measurements in a row were no better than the best before them."""

    def __post_init__(self) -> None:
        if self.reached is None and self.lost is None and self.patience is None:
            raise MarginError("an early stop needs a reason: give reached, lost or patience")
        for name in ("reached", "lost"):
            if getattr(self, name) is not None:
                require_number(getattr(self, name), name, -1, 1)
        if self.patience is not None:
            require_count(self.patience, "patience", 1)

    def reason(self, history: Sequence[Estimate]) -> str | None:
        """Why training should end after these margins (the oldest first, at least one); None to go on."""
        latest = history[-1]
        if self.reached is not None and latest.low is not None and latest.low >= self.reached:
            return f"the margin is at least {self.reached:g}: {latest}"
        if self.lost is not None and latest.high is not None and latest.high < self.lost:
            return f"the margin is below {self.lost:g}: {latest}"
        since_best = len(history) - 1 - int(np.argmax([margin.estimate for margin in history]))
        if self.patience is not None and since_best >= self.patience:
            return f"the margin has not risen for {since_best} measurements: {latest}"
        return None
