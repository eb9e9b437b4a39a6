"""A pass that begins at a later block: what comes before is taken from the pass before it.

Between blocks a model carries nothing but their outputs, so where only later blocks are changed the earlier
ones need not be run again. That it is so is proved on real rows before it is used
(`margin.capture.trace_ways`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from transformers import PreTrainedModel

from margin.capture.forwards import replaced_forwards
from margin.capture.hooks import decoder_blocks


class Skipping:
    """Keeps the blocks' outputs of a pass, and answers with them in later ones; made by `skipping`."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._wholes: list[Callable[..., Any]] = [block.forward for block in decoder_blocks(model)]
        self._outputs: dict[int, Any] = {}
        self.keeping = False
        """Whether outputs are kept of the passes to come."""
        self.blocks = 0
        """Blocks that are not run in the passes to come."""

    def forward(self, index: int, *args: Any, **kwargs: Any) -> Any:
        """What stands in place of a block's own."""
        if index < self.blocks:
            return self._outputs[index]
        output = self._wholes[index](*args, **kwargs)
        if self.keeping:
            self._outputs[index] = output
        return output

    def forget(self) -> None:
        """Free what is kept, and run all blocks."""
        self._outputs, self.keeping, self.blocks = {}, False, 0


@contextmanager
def skipping(model: PreTrainedModel) -> Iterator[Skipping]:
    """A model whose passes can begin at a later block; as it was afterwards."""
    skip = Skipping(model)
    blocks = decoder_blocks(model)
    with replaced_forwards((block, partial(skip.forward, index)) for index, block in enumerate(blocks)):
        yield skip
