"""Which layers are asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import index

from margin.errors import MarginError
from margin.text import brief

_KNOWN = "none, last, all, every:4 or numbers like 0,8,-1"


def parse_layers(spec: str | Sequence[int], depth: int) -> list[int]:
    """Layers, ascending: 0 the embeddings' output, L the output of block L of `depth`.

    `spec` is "none", "last", "all", "every:N" (and the last), or numbers as "0,8,-1" or a list, negative ones
    counted from the end.
    """
    if not isinstance(spec, str):
        try:
            return _numbers([index(number) for number in spec], depth)
        except TypeError:
            raise MarginError(
                f"layers {brief(spec, 40)}: take {_KNOWN}, or a list of whole numbers"
            ) from None
    if spec == "none":
        return []
    if spec == "last":
        return [depth]
    if spec == "all":
        return list(range(depth + 1))
    if match := re.fullmatch(r"every:([1-9]\d*)", spec):
        return sorted({*range(0, depth + 1, int(match[1])), depth})
    try:
        return _numbers([int(number) for number in spec.split(",")], depth)
    except ValueError:
        raise MarginError(f"layers {spec!r}: take {_KNOWN}") from None


def _numbers(numbers: Sequence[int], depth: int) -> list[int]:
    for number in numbers:
        if not -depth - 1 <= number <= depth:
            raise MarginError(f"there is no layer {number}: this model has layers 0 to {depth}")
    return sorted({number % (depth + 1) for number in numbers})
