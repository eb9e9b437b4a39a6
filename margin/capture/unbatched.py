"""Every row by itself: how a model is run whose rows may not share a batch."""

from __future__ import annotations

from margin.run.records import Batching

ALONE = ": each row by itself"
"""What the reason for it ends with."""


def one_by_one(reason: str) -> Batching:
    """Every row by a plain forward pass of its own, which is right whatever the model does; `reason` why."""
    said = reason if reason.endswith(ALONE) else reason + ALONE
    return Batching(
        reuse_prefix=False,
        prefix_reason=said,
        pad=False,
        pad_reason=said,
        together=False,
        together_reason=said,
        narrow=False,
        narrow_reason=said,
    )
