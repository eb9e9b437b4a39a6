"""What a dump holds: numbers of rows, and which rows these are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from margin.errors import MarginError, foreign

LAST = -1
"""The output of the last block, of a model whose depth a dump does not say."""


class Name(NamedTuple):
    """A row by what it asks."""

    prompt_id: str
    condition: str
    draw: int = 0


Key = Name | tuple[int, ...]
"""A row by its name, or by its token ids: these spell out a live token, and are shown nowhere."""


@dataclass(frozen=True, eq=False)
class Dump:
    """States of rows as another engine saved them."""

    engine: str
    """What wrote it."""
    path: Path
    keys: Sequence[Key] = field(repr=False)
    """Which row each line is."""
    places: Sequence[str] = field(repr=False)
    """Where each line stands, for errors: "row 3", or its file."""
    layers: Mapping[int, Tensor] = field(repr=False)
    """(n, d) states by layer at the last prompt position: 0 the embeddings' output, L or -1 that of the last
    block, before the final norm."""
    states: Tensor | None = field(default=None, repr=False)
    """(n, d) what the head sees, after the final norm; None where it is to be made of the last layer."""


def stacked(parts: Sequence[Tensor], what: str) -> Tensor:
    """(n, d) of n vectors. MarginError where they differ in length or type."""
    if len({(part.shape, part.dtype) for part in parts}) != 1:
        raise MarginError(f"{what}: not every row has states of one width and one type")
    return torch.stack(list(parts))


def names_of(prompts: Sequence[object], conditions: Sequence[object], draws: Sequence[object]) -> list[Key]:
    """Rows by their names. MarginError where the lists are of different lengths or a draw is no number."""
    if not len(prompts) == len(conditions) == len(draws):
        raise MarginError("prompt_id, condition and draw are not of one length")
    try:
        numbers = [int(str(draw)) for draw in draws]
    except ValueError:
        raise MarginError("draw holds what is no whole number") from None
    return [
        Name(str(prompt), str(condition), draw)
        for prompt, condition, draw in zip(prompts, conditions, numbers, strict=True)
    ]


def numbered(layers: Sequence[int] | None, count: int, what: str) -> Sequence[int]:
    """The numbers of so many layers, ascending, as engines stack them; one alone is the last unless said.

    MarginError where they are not said, or are not so many.
    """
    if layers is None and count == 1:
        return (LAST,)
    if layers is None:
        raise MarginError(f"{what} holds {count} layers and does not say which: name them with --dump-layers")
    found = [*sorted(n for n in layers if n >= 0), *sorted(n for n in layers if n < 0)]
    if len(found) != count or len(set(found)) != count:
        raise MarginError(f"{what} holds {count} layers, and --dump-layers names {len(set(found))}")
    return found


def names_in(path: Path) -> list[str]:
    """Names of the arrays in a safetensors file; none of one that is none."""
    try:
        with foreign(str(path)), safe_open(path, framework="pt") as file:
            return list(file.keys())
    except MarginError:
        return []


def with_depth(dump: Dump, depth: int) -> Dump:
    """The dump with its layers numbered as the model has them. MarginError for one that it has not."""
    found: dict[int, Tensor] = {}
    for number, values in dump.layers.items():
        if not -depth - 1 <= number <= depth:
            raise MarginError(
                f"{dump.path} is said to hold layer {number}: this model has layers 0 to {depth}"
            )
        found[number % (depth + 1)] = values
    if dump.states is None and depth not in found:
        raise MarginError(
            f"{dump.path} holds neither what the head sees nor the output of the last block, layer {depth}, "
            "of which that is made: there is nothing to measure"
        )
    return replace(dump, layers=found)
