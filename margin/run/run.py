"""A run on disk, opened for reading. NumPy and pandas only: neither torch nor the checkpoint is needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from margin.arguments import named, require_path
from margin.errors import MarginError
from margin.run.consistency import require_agreeing
from margin.run.files import sha256_of
from margin.run.geometry import FloatArray, LogitGeometry
from margin.run.head import StoredHead
from margin.run.manifest import NAME, read_manifest
from margin.run.run_tables import RunTables
from margin.run.shards import is_intact, read_rows, shard_path
from margin.text import shown

HEAD_ERROR = 0.1
"""Relative error beyond which logits made by a head cannot be those of the run, even in bfloat16."""

NOISE = "noise.safetensors"
"""File of the final states that were computed again for the noise floor."""

Head = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@named
def open_run(path: str | Path) -> Run:
    """Open a run that is whole and as it was written.

    Every file is compared with its checksum, which reads all bytes once: a report is not made from a damaged
    run. MarginError where there is no run, where collecting did not come to its end, where a file changed, or
    where its parts do not fit together.

    Example
    -------
    >>> import margin
    >>> run = margin.open_run("demo-run")
    >>> run.modes, len(run.prompts), run.states().shape
    (['pos', 'neg', 'rej'], 40, (720, 128))
    """
    require_path(path, "run")
    if not Path(path).exists():
        raise MarginError(f"{path}: no such run")
    run = Run(Path(path), read_manifest(Path(path)))
    if not run.manifest.complete:
        raise MarginError(
            f"{path} is not whole: run the same collect command again, it goes on where it stopped"
        )
    missing = [name for name in run.manifest.files if not (run.path / name).is_file()]
    if missing:
        raise MarginError(
            f"{path} is not whole, {', '.join(missing)} missing: run the same collect command again"
        )
    run.verify()
    require_agreeing(run.manifest, run.prompts, run.rows, str(path))
    return run


def opened(run: Run | str | Path) -> Run:
    """A run itself, or the one in a folder, opened as `open_run` does."""
    return run if isinstance(run, Run) else open_run(run)


class Run(RunTables):
    """What was collected from one checkpoint. Arrays are read when asked for, one tensor at a time."""

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, rows={self.manifest.counts.rows}, modes={self.modes})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        lines = {
            "model": self.manifest.identity.model,
            "modes": ", ".join(self.modes),
            "prompts": f"{len(self.prompts):,}",
            "rows": f"{self.manifest.counts.rows:,}",
            "layers": ", ".join(map(str, self.layers)) or "none",
        }
        cells = (f"<tr><td>{name}</td><td>{escape(shown(value))}</td></tr>" for name, value in lines.items())
        return f"<strong>Run {escape(shown(self.path.name))}</strong><table>{''.join(cells)}</table>"

    @property
    def files(self) -> list[Path]:
        """Every file of the run, the manifest first."""
        return [self.path / name for name in (NAME, *self.manifest.files)]

    @property
    def modes(self) -> list[str]:
        """Names of the modes, in the order of the mode set."""
        return [mode.name for mode in self.manifest.identity.modes]

    @property
    def layers(self) -> list[int]:
        """Layers whose states are stored: 0 is the embeddings' output, L the output of block L."""
        return self.manifest.layers

    @property
    def positions(self) -> int:
        """Number K of response positions whose states are stored, the first included."""
        return self.manifest.identity.positions

    def states(self) -> NDArray[np.float32]:
        """(rows, d) final states: what the head sees at the last prompt position, after the last norm."""
        return self._tensor("state").astype(np.float32, copy=False)

    def position_states(self, position: int) -> NDArray[np.float32]:
        """(rows, d) final states at a response position, 1 to `positions`; 0 where a row ends before it."""
        if not 1 <= position <= self.positions:
            raise MarginError(f"{self.path} holds no response position {position}: it has {self.positions}")
        name = "state" if position == 1 else f"position.{position}.state"
        return self._tensor(name).astype(np.float32, copy=False)

    def n_positions(self) -> NDArray[np.int64]:
        """(rows,) how many of the positions each row reaches: fewer where its answer ends sooner."""
        return self.counts("n_positions") if self.positions > 1 else np.ones(len(self.rows), dtype=np.int64)

    def counts(self, name: str) -> NDArray[np.int64]:
        """(rows,) n_positions, or n_tokens or n_likeliest as `margin.run.shards` has them."""
        return self._tensor(name).astype(np.int64)

    def repeats(self) -> tuple[NDArray[np.int64], list[NDArray[np.float32]]]:
        """Places (M,) of some prompts' rows, and their final states (M, d) each way they were computed.

        As in the run, one row at a time, and in other batches; MarginError where no row was repeated.
        """
        if self.manifest.noise_floor is None or NOISE not in self.manifest.files:
            raise MarginError(f"{self.path} holds no repeated rows: its noise floor was not measured")
        with safe_open(self.path / NOISE, framework="numpy") as stored:
            rows = stored.get_tensor("row")
            return rows, [self.states()[rows], stored.get_tensor("alone"), stored.get_tensor("mixed")]

    def layer(self, layer: int) -> NDArray[np.float32]:
        """(rows, d) states of one layer at the last prompt position, before the last norm."""
        if layer not in self.layers:
            raise MarginError(f"{self.path} holds no layer {layer}: it has {self.layers}")
        return self._tensor(f"layer.{layer}").astype(np.float32, copy=False)

    def topk(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Ids and logits (rows, k) of the likeliest first response tokens, likeliest first."""
        ids, logits = self._tensor("topk_ids"), self._tensor("topk_logits")
        return ids.astype(np.int32, copy=False), logits.astype(np.float32, copy=False)

    def logsumexp(self) -> NDArray[np.float32]:
        """(rows,) log of the sum of exponentials of all logits: logit - logsumexp is a log-probability."""
        return self._tensor("logsumexp").astype(np.float32, copy=False)

    def logits(self, head: Head | None = None) -> NDArray[np.float32]:
        """(rows, V) full logits: as stored with --save-logits, else by the checkpoint's `head`."""
        if self.manifest.identity.save_logits:
            return self._tensor("logits").astype(np.float32, copy=False)
        if head is None:
            raise MarginError(
                f"{self.path} holds no full logits: pass the checkpoint's head, margin.load_head(MODEL)"
            )
        logits = head(self.states())
        if logits.shape[1] != self.manifest.counts.vocabulary:
            raise MarginError(f"this head is not that of {self.path}: it makes {logits.shape[1]} logits")
        ids, expected = self.topk()
        size = np.abs(expected).max(axis=1, keepdims=True)
        if not (np.abs(np.take_along_axis(logits, ids, axis=1) - expected) <= HEAD_ERROR * size).all():
            raise MarginError(f"this head is not that of {self.path}: its logits differ from those stored")
        return logits

    def logit_geometry(self) -> LogitGeometry:
        """All Euclidean and cosine geometry of the logits, without them; kept.

        Costs N d^2 or reads N^2 numbers.
        """
        return self._geometry

    @cached_property
    def _geometry(self) -> LogitGeometry:
        return self._head.geometry(self.states, self.logsumexp())

    def logit_points(self, states: NDArray[np.float32]) -> FloatArray | None:
        """(M, d+2) points with the logits' geometry for any final states (M, d); None for a capped head."""
        return self._head.logit_points(states)

    def hellinger_gram(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Places (M,) of rows, and (M, M) inner products of their distributions' square roots about the mean.

        Half the squared Euclidean distance taken from these is the squared Hellinger distance, in [0, 1].
        """
        return self._head.hellinger_gram()

    def decoy_grams(self) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """Places (M, R) of rows of M sets of decoys, and products (M, R, R) of each set, as `hellinger_gram`.

        None of a run without decoys, or from before these were kept.
        """
        return self._head.decoy_grams()

    def marginals(self) -> NDArray[np.float32]:
        """(k, V) mean next-token distribution of each mode over prompts, modes in the order of `modes`."""
        return self._head.marginals()

    def verify(self) -> None:
        """Compare every file with its checksum; of a run that is not whole, its shards with their own.

        Reads all bytes. MarginError names the files that changed or are missing.
        """
        if self.manifest.complete:
            damaged = [
                name
                for name, checksum in self.manifest.files.items()
                if not (self.path / name).is_file() or sha256_of(self.path / name) != checksum
            ]
        else:
            shards = sorted((self.path / "shards").glob("*.safetensors"))
            damaged = [shard.relative_to(self.path).as_posix() for shard in shards if not is_intact(shard)]
        if damaged:
            raise MarginError(
                f"{self.path} is damaged, {', '.join(damaged)} not as written: run the same collect "
                "command again, it collects what is damaged anew"
            )

    @property
    def _head(self) -> StoredHead:
        return StoredHead(self.path, self.manifest.counts.vocabulary)

    def _tensor(self, name: str) -> NDArray[np.generic]:
        counts = self.manifest.counts
        return read_rows((shard_path(self.path, i) for i in range(counts.shards)), name, counts.rows)
