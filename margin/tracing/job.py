"""One tracing of a run: what its stages go by, passed whole from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from margin.analysis.trace import Float, Landmarks
from margin.errors import IncomparableError
from margin.run.run import Run
from margin.stats.folds import prompt_folds
from margin.stats.seeds import generator
from margin.study.spaces import design_of
from margin.study.traced_rows import Pair

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint
    from margin.capture.follow import Followed
    from margin.capture.trace_rows import RunRows
    from margin.capture.tracer import Tracing

CONTROL_PROMPTS = 30
"""Prompts at most that the controls of a patch are made on, spread over all."""
STRANGE = 1e-2
"""Relative difference of final states that no way of batching explains: they are of other rows."""

Advance = Callable[[int], None]
"""Is told of rows done."""


class Job:
    """A run, the model it is of, and its rows, made ready to be traced."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        ways: Tracing,
        run: Run,
        rows: RunRows,
        pairs: tuple[Pair, ...],
        layers: tuple[int, ...],
        batch_tokens: int,
        seed: int,
        cluster: str | None,
    ) -> None:
        self.checkpoint, self.ways, self.run, self.rows = checkpoint, ways, run, rows
        self.pairs, self.layers = pairs, layers
        self.batch_tokens, self.seed = batch_tokens, seed
        self.tracer = ways.of(rows.live)
        self.n, self.k = rows.live.n, rows.live.k
        design = design_of(run, rows.places.ravel(), cluster)
        self.over = design.clusters
        fold = prompt_folds(design, generator(seed, "placement"))
        self.marks = Landmarks(self.points(self.run_states[rows.places]), fold)

    @cached_property
    def run_states(self) -> NDArray[np.float32]:
        """(rows, d) final states of the run."""
        return self.run.states()

    @property
    def space(self) -> str:
        """Where rows are placed: "logits", or "state" where the head is not affine."""
        return "logits" if self.run.logit_points(self.run_states[:1]) is not None else "state"

    @property
    def control_prompts(self) -> tuple[int, ...]:
        """Positions of the prompts that controls are made on."""
        spread = np.linspace(0, self.n - 1, min(CONTROL_PROMPTS, self.n)).round().astype(int)
        return tuple(dict.fromkeys(spread.tolist()))

    def decoy_marks(self, place: int) -> Landmarks:
        """Where the rows of a decoy set lie; folds of prompts are those of all, less any that hold none."""
        fold = self.marks.fold[np.asarray(self.rows.decoy_prompts, dtype=np.intp)]
        renumbered = np.unique(fold, return_inverse=True)[1].astype(np.intp)
        return Landmarks(self.points(self.run_states[self.rows.decoy_places[place]]), renumbered)

    def pairs_of(self, recipient: int) -> list[Pair]:
        """Pairs of one recipient, in their order."""
        return [pair for pair in self.pairs if pair[0] == recipient]

    def points(self, states: NDArray[np.float32]) -> Float:
        """Points (..., D) of final states (..., d): with the logits' geometry, or the states themselves."""
        flat = states.reshape(-1, states.shape[-1])
        points = self.run.logit_points(flat)
        found = np.asarray(flat if points is None else points, dtype=np.float64)
        return found.reshape(*states.shape[:-1], found.shape[-1])

    def require_same(self, its: Followed, places: NDArray[np.int64]) -> None:
        """IncomparableError where the run holds other states of these rows than the model gives.

        `places` (B, k) are theirs in the run.
        """
        kept = self.run_states[places[:, its.token]].astype(np.float64)
        moved = np.linalg.norm(its.unchanged[its.token] - kept, axis=1) / np.linalg.norm(kept, axis=1)
        if not moved.max() <= STRANGE:
            raise IncomparableError(
                f"{self.run.path} holds other states than this model gives to its rows: it is of another "
                "checkpoint, or its decoys are of a file, --decoys FILE"
            )
