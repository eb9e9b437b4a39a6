"""vllm-lens: responses of its server, one JSON object a line, asked for with `return_token_ids`.

Each has `activations.residual_stream` (layers, positions, d), zstd-compressed and in base64, layers ascending
and numbered from 0, the first block's output, and the prompt's ids as vLLM gives them back.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from margin.capture.dumps.dump import Dump, Key, numbered, stacked
from margin.errors import MarginError, foreign
from margin.inputs.reading import jsonl_records, read_text

ENGINE = "vllm-lens"
TYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "float64": torch.float64,
    "int16": torch.int16,
    "int32": torch.int32,
}
"""Of NumPy, as which the bytes are kept."""
OWN = {"torch.bfloat16": torch.bfloat16, "torch.float16": torch.float16, "torch.float32": torch.float32}
"""Of torch, which the bytes are, where NumPy has no such type."""


def fits(path: Path) -> bool:
    """Whether it is a file of JSON lines."""
    return path.is_file() and path.suffix.lower() in (".jsonl", ".ndjson")


def read(path: Path, layers: Sequence[int] | None) -> Dump:
    """The states of each response's last prompt token, of every layer that was kept."""
    keys: list[Key] = []
    parts: list[Tensor] = []
    places: list[str] = []
    for place, response in jsonl_records(read_text(path, "states"), str(path), '{"activations": ...}'):
        ids = _prompt_ids(response)
        if not ids:
            raise MarginError(f'{place} has no prompt_token_ids: ask with "return_token_ids": true')
        residual = _residual(response)
        if residual is None:
            raise MarginError(
                f"{place} has no activations.residual_stream with its numbers: ask with "
                "output_residual_stream, and not with a binary transport"
            )
        stream = _decoded(residual, place)
        if stream.ndim != 3 or stream.shape[1] < len(ids):
            raise MarginError(
                f"{place}: a residual_stream of shape {tuple(stream.shape)} for {len(ids)} tokens of "
                "the prompt, where (layers, positions, width) is known"
            )
        keys.append(tuple(ids))
        parts.append(stream[:, len(ids) - 1].clone())
        places.append(f"line {place.rpartition(' ')[2]}")
    if not parts:
        raise MarginError(f"{path} is empty")
    together = stacked(parts, str(path))
    numbers = [n + 1 if n >= 0 else n for n in numbered(layers, together.shape[1], str(path))]
    by_layer = {number: together[:, place] for place, number in enumerate(numbers)}
    return Dump(ENGINE, path, keys, places, by_layer)


def _prompt_ids(response: Mapping[str, Any]) -> list[int]:
    """Of a chat, or of a completion, which has them with its first choice."""
    choices = response.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    found = response.get("prompt_token_ids") or first.get("prompt_token_ids") or []
    return found if isinstance(found, list) and all(type(each) is int for each in found) else []


def _residual(response: Mapping[str, Any]) -> Mapping[str, Any] | None:
    activations = response.get("activations")
    residual = activations.get("residual_stream") if isinstance(activations, dict) else None
    return residual if isinstance(residual, dict) and isinstance(residual.get("data"), str) else None


def _decoded(record: Mapping[str, Any], place: str) -> Tensor:
    """The array of what vllm-lens makes of a tensor for JSON."""
    kept, own = TYPES.get(str(record.get("dtype"))), OWN.get(str(record.get("original_dtype")))
    if kept is None:
        raise MarginError(f"{place}: the residual_stream is of a type that is not known")
    with foreign(f"{place}: the residual_stream cannot be decoded"):
        shape = [int(size) for size in record["shape"]]
        size = math.prod(shape) * kept.itemsize
        data = base64.b64decode(record["data"], validate=True)
        if record.get("compression") == "zstd":
            data = pa.Codec("zstd").decompress(data, decompressed_size=size, asbytes=True)
        values = torch.frombuffer(bytearray(data), dtype=kept).reshape(shape)
    return values.view(own) if own is not None and own.itemsize == kept.itemsize else values
