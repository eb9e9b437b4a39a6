"""Whether rows fit the model, asked before the first forward pass: their ids, and the answers to them."""

from __future__ import annotations

from collections.abc import Sequence

from margin.capture.checkpoint import Checkpoint
from margin.capture.rotary import steady_up_to
from margin.errors import MarginError
from margin.inputs.rows import Row


def require_fitting(
    checkpoint: Checkpoint, rows: Sequence[Row], positions: int = 1, generate: int = 0, before: int = 0
) -> None:
    """MarginError where rows hold ids the model has no embedding for, or leave its context no room.

    The response positions and the answers are read after the prompt, and after what the model writes before
    the measured token (`before` tokens at most), all but the last token of them.
    Positions are read in one pass, so their rows must not grow into other rotary frequencies either. Shows
    numbers of rows and tokens, never an id: ids spell out a live token.
    """
    vocabulary = checkpoint.vocabulary
    beyond = sum(max(row.ids) >= vocabulary for row in rows)
    if beyond:
        raise MarginError(
            f"{checkpoint.name}: {beyond} of {len(rows)} rows hold tokens beyond the model's vocabulary of "
            f"{vocabulary}: its tokenizer has tokens that its embeddings lack"
        )
    longest, after = max(len(row.ids) for row in rows), max(positions, generate, 1) - 1
    context = checkpoint.context
    if before and context is not None and longest + before + after > context:
        beyond = longest + before + after - context
        raise MarginError(
            f"the longest prompt has {longest} tokens, with a thought of {before} and the answer's it would "
            f"be {longest + before + after}, and the model's context is {context}: take {beyond} fewer "
            "--thought-tokens, or shorter prompts"
        )
    longest += before
    if context is not None and longest + after > context:
        raise MarginError(
            f"the longest prompt has {longest} tokens, with the answer's it would be {longest + after}, and "
            f"the model's context is {context}: take at most {context - longest + 1} of --generate and "
            "--positions, or shorter prompts"
        )
    steady = steady_up_to(checkpoint.model)
    if positions > 1 and longest + positions - 1 > steady:
        fewer = f"at most {int(steady) - longest + 1} --positions" if steady > longest else "no --positions"
        raise MarginError(
            f"the model's rotary frequencies change where a row is longer than {int(steady)} tokens, and the "
            f"longest has {longest}, with its answer's {longest + positions - 1}: what is read before would "
            f"change with what comes after; take {fewer}, or shorter prompts"
        )
