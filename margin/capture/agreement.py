"""Whether a dump agrees with rows that are run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from margin.capture.diagnosis import Compared, Ways, require_right
from margin.capture.dumps.dump import Dump
from margin.capture.head import Head
from margin.capture.hooks import HiddenStateHooks, decoder_blocks, n_layers
from margin.capture.prepare import Job
from margin.capture.reruns import STATE, running_again
from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.rows import Row


def compare(
    dump: Dump,
    job: Job,
    hooks: HiddenStateHooks,
    head: Head,
    lines: Sequence[int],
    compared: Sequence[int],
    arrays: Mapping[str, Tensor],
    limits: Mapping[str, float],
) -> Tensor:
    """(m, d) what the head sees of rows that are run again, once all of the dump agrees with them.

    Parameters
    ----------
    lines : which line of the dump each row is.
    compared : the rows to run again, m of them.
    arrays : (n, d) what the dump holds, by the names that a run has for it.
    limits : relative difference up to which a row of each is right.

    Raises
    ------
    StatesRefusedError : names what is wrong with how many rows.
    """
    model = job.checkpoint.model
    depth = n_layers(model)
    rows = [job.rows[row] for row in compared]
    with hooks.disabled(), running_again(model, _tappable(job, depth)) as again:
        right = [{name: its[-1].clone() for name, its in again(row.ids).items()} for row in rows]
        ways = Ways(
            again,
            lambda row: _unasked(job, row),
            lambda state: int(head(state[None].numpy())[0].argmax()),
        )
        its = [lines[row] for row in compared]
        for name, values in arrays.items():
            found = Compared(name, depth, rows, values[its], right, limits[name], values, its)
            require_right(str(dump.path), found, ways)
    return torch.stack([found[STATE] for found in right])


def _tappable(job: Job, depth: int) -> list[int]:
    """All layers, where the model keeps them in a form that is known; else those that are asked for."""
    try:
        decoder_blocks(job.checkpoint.model)
    except MarginError:
        return job.manifest.layers
    return list(range(depth + 1))


def _unasked(job: Job, row: Row) -> list[int] | None:
    """Token ids of a mode's row without its token; None of other rows."""
    if row.kind != "mode":
        return None
    options, inputs = job.options, job.inputs
    kwargs = options.chat_kwargs or {}
    chat = Chat(job.checkpoint.tokenizer, kwargs, options.response_prefix, options.chat_template)
    return chat.encode(chat.render(inputs.modes.messages(inputs.prompts.texts[row.prompt], None)))
