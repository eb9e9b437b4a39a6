"""Shards: the part of a run that one stretch of the capture loop wrote, as safetensors.

A shard holds, for its rows: `row` (int64, places in the run), `state` (float32, the final state the head
sees), `layer.L` (float16 where that holds what the model computed, as of one that computes in 16 bits, else
float32), `topk_ids` (int32), `topk_logits` (float32), `logsumexp` (float32) and, when asked, `logits`
(float32).

With more than one response position also `position.J.state` and `position.J.logsumexp` (float32) of the
second to the last, 0 where the row's answer ends before, and (int16) `n_positions`, how many the row reaches,
`n_tokens`, the tokens of its answer that were run, and `n_likeliest`, how many of these are the likeliest
where they stand. The tokens themselves are not kept: a model may repeat a live one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from margin.errors import MarginError, foreign
from margin.run.files import write_atomic

Arrays = Mapping[str, NDArray[np.generic]]


def shard_path(run: Path, index: int) -> Path:
    """Where shard `index` of the run lies."""
    return run / "shards" / f"{index:05d}.safetensors"


def write_shard(path: Path, arrays: Arrays) -> None:
    """Write a shard; it appears by rename when whole, and carries a checksum of its tensors."""
    write_atomic(path, _serialise(arrays))


def is_whole(path: Path, rows: NDArray[np.int64]) -> bool:
    """Whether the shard holds exactly `rows` and every byte is as it was written."""
    if not is_intact(path):
        return False
    with safe_open(path, framework="numpy") as shard:
        return np.array_equal(shard.get_tensor("row"), rows)


def is_intact(path: Path) -> bool:
    """Whether every byte of the shard is as it was written. Reads all of them."""
    try:
        data = path.read_bytes()
    except OSError:  # a folder in its place, a disk that does not give it back
        return False
    try:
        return _serialise(load(data)) == data
    except (SafetensorError, KeyError, ValueError, TypeError):  # a header that makes no sense any more
        return False


def read_rows(paths: Iterable[Path], name: str, n_rows: int) -> NDArray[np.generic]:
    """One tensor of all shards, as (n_rows, ...) in row order; other tensors are not read.

    MarginError where a shard has none of that name, or where the shards together are not of these rows.
    """
    out: NDArray[np.generic] | None = None
    times = np.zeros(n_rows, dtype=np.int64)
    for path in paths:
        with foreign(f"{path} cannot be read"), safe_open(path, framework="numpy") as shard:
            rows, values = shard.get_tensor("row"), shard.get_tensor(name)
        if out is None:
            out = np.empty((n_rows, *values.shape[1:]), dtype=_wide(values.dtype))
        inside = len(rows) == len(values) and bool(((rows >= 0) & (rows < n_rows)).all())
        if not inside or values.shape[1:] != out.shape[1:]:
            raise MarginError(f"{path} holds other rows than its run: collect into another folder")
        out[rows] = values
        times[rows] += 1
    if out is None:
        raise ValueError("no shards")
    if wrong := int((times != 1).sum()):
        raise MarginError(
            f"{path.parent} holds {wrong:,} of {n_rows:,} rows not once: collect into another folder"
        )
    return out


def _wide(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """Half precision is a storage format only: shards may differ in it, and arithmetic should not use it."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def _serialise(arrays: Arrays) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {values.dtype} {values.shape}\n".encode())
        digest.update(values.data)
    contiguous = {name: np.ascontiguousarray(arrays[name]) for name in arrays}
    return save(contiguous, metadata={"sha256": digest.hexdigest()})
