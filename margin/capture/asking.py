"""The session in which a checkpoint is asked with any strings: hooked, proved, and as it was afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from margin.capture.checkpoint import Checkpoint
from margin.capture.hooks import hidden_state_hooks
from margin.capture.last_block import last_block_hook
from margin.capture.openings import Asking
from margin.capture.unquoted import unquoted
from margin.capture.verification import verify_batching
from margin.inputs.chat import Chat
from margin.inputs.modes import ModeSet
from margin.inputs.preflight import preflight
from margin.inputs.prompts import PromptSet
from margin.inputs.rows import build_rows


@contextmanager
def asking(
    checkpoint: Checkpoint,
    chat: Chat,
    modes: ModeSet,
    prompts: PromptSet,
    *,
    batch_tokens: int = 1024,
    advance: Callable[[int], None] = lambda rows: None,
) -> Iterator[Asking]:
    """The checkpoint, proved and hooked, for as long as the block lasts; as it was afterwards.

    Raises
    ------
    MarginError : what the preflight and the verification of batches refuse.
    """
    preflight(chat, modes, prompts, checkpoint.context)
    rows = build_rows(chat, prompts, modes, checkpoint.context)
    ids, groups = [row.ids for row in rows], [row.condition for row in rows]
    model = checkpoint.model
    with (
        checkpoint.evaluating(),
        unquoted(),
        hidden_state_hooks(model, ()) as hooks,
        last_block_hook(model, hooks),
    ):
        batching, head = verify_batching(model, hooks, ids, groups)
        hooks.last_block_at_positions = batching.narrow
        yield Asking(
            checkpoint,
            chat,
            modes,
            prompts,
            ids,
            [row.start for row in rows],
            hooks,
            head,
            batching,
            batch_tokens,
            advance,
        )
