"""What the head makes of a run's states, as the run holds it: geometry, not the head itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from margin.errors import MarginError, foreign
from margin.run.geometry import FloatArray, LogitGeometry, from_factor

NAME = "head.safetensors"


@dataclass(frozen=True)
class StoredHead:
    """The file of a run that says what its head does, without the checkpoint."""

    run: Path
    """Folder of the run."""
    vocabulary: int
    """Tokens of its vocabulary."""

    def geometry(
        self, states: Callable[[], NDArray[np.float32]], logsumexp: NDArray[np.float32]
    ) -> LogitGeometry:
        """All Euclidean and cosine geometry of the logits of N rows.

        `states` gives their final states (N, d), read where the head is affine; logsumexp (N,).
        """
        with self._open() as stored:
            others = ("hellinger.", "marginals")
            names = [name for name in stored.keys() if not name.startswith(others)]  # noqa: SIM118
            arrays = {name: stored.get_tensor(name) for name in names}
        if "factor" in arrays:
            return from_factor(states(), logsumexp, arrays["factor"], arrays["column_sum"], self.vocabulary)
        rows = arrays["rows"]
        return LogitGeometry(
            rows=rows,
            means=arrays["means"],
            logsumexp=logsumexp[rows].astype(np.float64),
            vocabulary=self.vocabulary,
            points=None,
            products=arrays["products"] + arrays["cross"][:, None] + arrays["cross"] + arrays["origin"],
        )

    def logit_points(self, states: NDArray[np.float32]) -> FloatArray | None:
        """(M, d+2) points with the logits' geometry for any final states (M, d); None for a capped head."""
        with self._open() as stored:
            if "factor" not in stored.keys():  # noqa: SIM118
                return None
            factor, sums = stored.get_tensor("factor"), stored.get_tensor("column_sum")
        unused = np.zeros(len(states), dtype=np.float32)
        return from_factor(states, unused, factor, sums, self.vocabulary).coordinates()

    def hellinger_gram(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """As `Run.hellinger_gram`."""
        with self._open() as stored:
            return stored.get_tensor("hellinger.rows"), stored.get_tensor("hellinger.products")

    def decoy_grams(self) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """As `Run.decoy_grams`."""
        with self._open() as stored:
            if "hellinger.decoys.rows" not in stored.keys():  # noqa: SIM118
                return None
            return stored.get_tensor("hellinger.decoys.rows"), stored.get_tensor("hellinger.decoys.products")

    def marginals(self) -> NDArray[np.float32]:
        """As `Run.marginals`."""
        with self._open() as stored:
            marginals: NDArray[np.float32] = stored.get_tensor("marginals")
            return marginals

    @contextmanager
    def _open(self) -> Iterator[safe_open]:
        path = self.run / NAME
        with foreign(f"{path} cannot be read"), safe_open(path, framework="numpy") as stored:
            told = self.vocabulary
            if "marginals" in stored.keys() and stored.get_slice("marginals").get_shape()[-1] != told:  # noqa: SIM118
                raise MarginError(f"{path} is of another vocabulary than the {told:,} tokens of its run")
            yield stored
