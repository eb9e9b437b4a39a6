"""Plain arrays, whoever made them: safetensors, npz or Parquet with the names of the rows.

`states` (n, d), what the head sees at the last prompt position; `layer.L` (n, d), as many as wanted. Which
rows: `prompt_id` and `condition` (and `draw`, of conditions that have several a prompt), or `token_ids`, of
all rows one after the other, with `n_tokens`, how many each row has. In npz these are arrays, in Parquet
columns (`token_ids` and states lists), in safetensors the names are JSON lists in the file's metadata.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import safe_open
from torch import Tensor

from margin.capture.dumps.dump import Dump, Key, names_of
from margin.errors import MarginError, foreign
from margin.inputs.reading import parse_json

ENGINE = "arrays"
SUFFIXES = {".safetensors", ".npz", ".parquet"}
NAMES = ("prompt_id", "condition", "draw")
_LAYER = re.compile(r"layer\.(\d+)")


def fits(path: Path) -> bool:
    """Whether it is one file of arrays."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def read(path: Path, layers: Sequence[int] | None) -> Dump:
    """The arrays of a file. MarginError where they do not say which rows they are of, or of what shape."""
    if layers is not None:
        raise MarginError(f"{path} names its layers itself (layer.L): leave --dump-layers out")
    match path.suffix.lower():
        case ".npz":
            found, names = _npz(path)
        case ".parquet":
            found, names = _parquet(path)
        case _:
            found, names = _safetensors(path)
    with_layers = {int(match[1]): found[name] for name in found if (match := _LAYER.fullmatch(name))}
    states = found.get("states")
    if states is None and not with_layers:
        raise MarginError(f"{path} holds neither states nor layer.L: see what its arrays are to be called")
    keys = _keys(path, found, names)
    for name, values in {"states": states, **{f"layer.{n}": its for n, its in with_layers.items()}}.items():
        if values is not None and (values.ndim != 2 or len(values) != len(keys)):
            raise MarginError(
                f"{path}: {name} is of shape {tuple(values.shape)}, and there are {len(keys)} rows: "
                "give a matrix (rows, width)"
            )
    places = [f"row {number}" for number in range(len(keys))]
    return Dump(ENGINE, path, keys, places, with_layers, states)


def _keys(path: Path, found: Mapping[str, Tensor], names: Mapping[str, Sequence[Any]]) -> list[Key]:
    if "prompt_id" in names and "condition" in names:
        prompts = names["prompt_id"]
        return names_of(prompts, names["condition"], names.get("draw", [0] * len(prompts)))
    if "token_ids" in names:
        return [tuple(map(int, ids)) for ids in names["token_ids"]]
    if "token_ids" in found and "n_tokens" in found:
        ids, ends = found["token_ids"].flatten().tolist(), list(accumulate(found["n_tokens"].tolist()))
        if not ends or ends[-1] != len(ids):
            raise MarginError(f"{path}: n_tokens does not add up to the number of token_ids")
        return [tuple(ids[start:stop]) for start, stop in pairwise([0, *ends])]
    raise MarginError(
        f"{path} does not say which rows it is of: give prompt_id and condition, or token_ids and n_tokens"
    )


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Sequence[Any]]]:
    with foreign(f"{path} is not a safetensors file that can be read"), safe_open(path, "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        about = file.metadata() or {}
    names = {
        name: parse_json(about[name], f"{path}: {name} of its metadata") for name in NAMES if name in about
    }
    if wrong := [name for name, values in names.items() if not isinstance(values, list)]:
        raise MarginError(f"{path}: {wrong[0]} of its metadata is no JSON list")
    if "draw" in found:
        names["draw"] = found["draw"].tolist()
    return found, names


def _npz(path: Path) -> tuple[dict[str, Tensor], dict[str, Sequence[Any]]]:
    found: dict[str, Tensor] = {}
    names: dict[str, Sequence[Any]] = {}
    with foreign(f"{path} is not an npz file that can be read (names as np.array(ids, dtype=str))"):
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        for name, array in arrays.items():
            if name in NAMES:
                names[name] = (np.char.decode(array) if array.dtype.kind == "S" else array).tolist()
            elif array.dtype.kind == "V" and array.dtype.itemsize == 2:  # what NumPy keeps of a bfloat16
                found[name] = torch.from_numpy(array.view(np.int16))
            elif array.dtype.kind in "fiu":
                # In this machine's order of bytes, and as signed integers, which torch has of every size.
                native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
                found[name] = torch.from_numpy(
                    native.view(f"i{native.itemsize}") if array.dtype.kind == "u" else native
                )
    return found, names


def _parquet(path: Path) -> tuple[dict[str, Tensor], dict[str, Sequence[Any]]]:
    with foreign(f"{path} is not a Parquet file that can be read"):
        table = pq.read_table(path, partitioning=None)
    found: dict[str, Tensor] = {}
    names: dict[str, Sequence[Any]] = {}
    for name in table.column_names:
        if name in (*NAMES, "token_ids"):
            column = table.column(name)
            with foreign(f"{path}: {name} is no text in UTF-8"):
                column = column.cast(pa.string()) if pa.types.is_binary(column.type) else column
            names[name] = column.to_pylist()
        elif name == "states" or _LAYER.fullmatch(name):
            with foreign(f"{path}: {name} is no list of numbers in every row"):
                found[name] = _matrix(table.column(name))
    return found, names


def _matrix(column: pa.ChunkedArray) -> Tensor:
    """(n, d) of a column of lists."""
    rows = [np.asarray(row.values) for row in column]
    return torch.from_numpy(np.stack(rows))
