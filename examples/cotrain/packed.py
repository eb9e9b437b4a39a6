"""Rows laid end to end without padding: each token is worked on once, and attends within its own row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

PACKED = "packed-rows"


@dataclass(frozen=True)
class Layout:
    """Where the tokens of packed rows are among rows padded on the right.

    places : int64 (tokens,), places in the padded rows laid end to end. rows, length : of the padded rows.
    """

    places: torch.Tensor
    rows: int
    length: int

    @classmethod
    def up_to(cls, asked: torch.Tensor, rows: int, length: int) -> Layout:
        """Every row up to the last of its places that are asked for (int64, places in the padded rows)."""
        row, within = asked // length, asked % length
        ends = torch.zeros(rows, dtype=torch.long, device=asked.device)
        ends = ends.scatter_reduce(0, row, within + 1, "amax")
        needed = torch.arange(length, device=asked.device) < ends[:, None]
        return cls(needed.flatten().nonzero()[:, 0], rows, length)

    @property
    def positions(self) -> torch.Tensor:
        """Position (tokens,) of each token in its row."""
        return self.places % self.length

    def packed(self, places: torch.Tensor) -> torch.Tensor:
        """Where places of the padded rows are among the packed tokens."""
        return torch.searchsorted(self.places, places)

    def pad(self, states: torch.Tensor) -> torch.Tensor:
        """Heads' states (1, heads, tokens, size) as padded rows (rows, heads, length, size)."""
        heads, _, size = states.shape[1:]
        empty = states.new_zeros(self.rows * self.length, heads, size)
        padded = empty.index_copy(0, self.places, states[0].transpose(0, 1))
        return padded.view(self.rows, self.length, heads, size).transpose(1, 2)

    def pack(self, states: torch.Tensor) -> torch.Tensor:
        """Padded rows (rows, heads, length, size) as (1, tokens, heads, size)."""
        return states.transpose(1, 2).flatten(0, 1).index_select(0, self.places)[None]


@contextmanager
def packed_attention(model: Any) -> Iterator[None]:
    """Let a model of transformers attend within packed rows; its forward pass then takes a `layout`."""
    before = model.config._attn_implementation
    model.set_attn_implementation(PACKED)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    layout: Layout,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each packed row, as transformers calls it."""
    groups = query.shape[1] // key.shape[1]
    key, value = (layout.pad(states).repeat_interleave(groups, dim=1) for states in (key, value))
    found = scaled_dot_product_attention(layout.pad(query), key, value, is_causal=True, scale=scaling)
    return layout.pack(found), None


AttentionInterface.register(PACKED, attend)
