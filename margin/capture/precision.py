"""In what another engine's numbers are, and what else their bytes could be."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

FLOATS = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


def type_name(dtype: torch.dtype) -> str:
    """As people write it."""
    return str(dtype).removeprefix("torch.")


def precision_of(stored: Tensor) -> torch.dtype:
    """The lowest precision that holds all of these numbers: what they were computed or rounded in.

    Float32 at most, which is what a run keeps.
    """
    if stored.dtype in (torch.bfloat16, torch.float16):
        return stored.dtype
    values = stored.float()
    for dtype in (torch.bfloat16, torch.float16):
        if torch.equal(values.to(dtype).float(), values):
            return dtype
    return torch.float32


def read_otherwise(stored: Tensor, width: int) -> Iterator[tuple[str, torch.dtype, Tensor]]:
    """What the bytes are read as, in words, the type of it, and the numbers (n, width) they are then.

    Also of what was read as another type of 16 bits and widened afterwards, and of the other order of bytes.
    """
    stored = stored.contiguous()
    kept = {type_name(stored.dtype): stored}
    for dtype in (torch.float16, torch.bfloat16):
        if stored.is_floating_point() and stored.dtype != dtype:
            narrow = stored.to(dtype)
            same = torch.equal(narrow.double().nan_to_num(), stored.double().nan_to_num())
            if same and stored.dtype.itemsize > 2:
                kept[type_name(dtype)] = narrow
    for said, values in kept.items():
        swapped = values.view(torch.uint8).reshape(len(values), -1, values.dtype.itemsize).flip(2).flatten(1)
        for dtype in FLOATS:
            if values.shape[1] * values.dtype.itemsize != width * dtype.itemsize:
                continue
            if dtype != values.dtype:
                yield f"{type_name(dtype)}, not {said}", dtype, values.view(dtype).float()
            turned = swapped.contiguous().view(dtype).float()
            yield f"{type_name(dtype)} with the other order of bytes", dtype, turned
