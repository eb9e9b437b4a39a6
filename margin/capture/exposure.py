"""How likely a checkpoint finds a string in a token's place, read token by token as it stands there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from margin.capture.calling import call
from margin.capture.openings import Asking
from margin.capture.placement import input_device
from margin.capture.plan import shared_prefix
from margin.errors import discreet
from margin.inputs.frame import frame_with_token

NUMBERS = 2**25
"""Logits at most that a batch makes: 128 MiB in float32."""


@discreet
def log_probabilities(asking: Asking, strings: Sequence[str]) -> NDArray[np.float64]:
    """(m,) log-probability, in nats, of each string where the tokens stand, after the text before it.

    Teacher-forced: the sum over its ids, each given those before it. Ids that all strings share with the text
    around them are left out, so that what is compared is the strings alone; of a checkpoint whose template
    writes nothing at all before the token, the first id is given and not scored.

    Cost: a forward pass a string, over the text up to its end, in batches; no prompt is asked.
    """
    frame = frame_with_token(asking.chat, asking.modes)
    encoded = [asking.chat.encode(frame.head(string)) for string in strings]
    begins = max(1, len(shared_prefix(encoded)))
    ends = len(shared_prefix([[*ids[begins:][::-1], -1] for ids in encoded]))
    rows = [ids[: len(ids) - ends] for ids in encoded]
    vocabulary = asking.head.vocabulary
    order = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
    found = np.empty(len(rows))
    start = 0
    while start < len(order):
        longest = len(rows[order[start]])
        size = max(1, min(NUMBERS // (vocabulary * longest), asking.batch_tokens // longest))
        some = order[start : start + (size if asking.batching.together else 1)]
        if not asking.batching.pad:
            some = [row for row in some if len(rows[row]) == longest]
        found[some] = _scored(asking, [rows[row] for row in some], begins)
        asking.advance(len(some))
        start += len(some)
    return found


def _scored(asking: Asking, rows: Sequence[Sequence[int]], begins: int) -> NDArray[np.float64]:
    model = asking.checkpoint.model
    device = input_device(model)
    longest = max(map(len, rows))
    tokens = torch.zeros(len(rows), longest, dtype=torch.long, device=device)
    real = torch.zeros(len(rows), longest, dtype=torch.bool, device=device)
    for place, ids in enumerate(rows):
        tokens[place, : len(ids)] = torch.tensor(ids, device=device)
        real[place, begins : len(ids)] = True
    # Right padding: nothing real attends to it. Each id is told by the logits of the position before it.
    with asking.hooks.disabled():
        logits = call(model, tokens).logits[:, begins - 1 : -1].float()
    wanted = tokens[:, begins:].to(logits.device)
    logs = logits.gather(2, wanted[..., None])[..., 0] - logits.logsumexp(dim=2)
    scores = (logs.double() * real[:, begins:].to(logs.device)).sum(dim=1)
    scored: NDArray[np.float64] = scores.cpu().numpy()
    return scored
