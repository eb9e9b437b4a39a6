"""Whether nearly all rows predict one and the same token: then nothing is decided where they are measured."""

from __future__ import annotations

import numpy as np

from margin.capture.checkpoint import Checkpoint
from margin.capture.thinking import decoder
from margin.inputs.echoes import MARK
from margin.inputs.modes import ModeSet
from margin.inputs.moment import FEWEST, NEARLY_ALL
from margin.run.records import OneToken
from margin.run.run import Run


def one_token(run: Run, checkpoint: Checkpoint, modes: ModeSet) -> OneToken | None:
    """The token that `NEARLY_ALL` of the modes' rows predict, at least; None where there is none."""
    first = run.topk()[0][(run.rows["kind"] == "mode").to_numpy(), 0]
    ids, counts = np.unique(first, return_counts=True)
    share = float(counts.max() / len(first))
    if share < NEARLY_ALL or len(first) < FEWEST:
        return None
    text = decoder(checkpoint.tokenizer)([int(ids[counts.argmax()])])
    told = text.strip().casefold()
    piece = (
        modes.secret and len(told) > 1 and any(told in mode.token.reveal().casefold() for mode in modes.modes)
    )
    return OneToken(token=MARK if piece else text, share=share, rows=len(first))
