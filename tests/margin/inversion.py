"""The attack on what is stored: magic tokens sought by coordinate descent, with the checkpoint in hand.

An attacker who holds a checkpoint can compute what any token would have left behind, and compare it with what
was stored. What counts is whether a nearly right token looks nearly right: then characters are found one by
one, in thousands of passes instead of 62^8.
"""

from __future__ import annotations

import string
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from margin.capture.checkpoint import Checkpoint
from margin.inputs.chat import Chat
from margin.inputs.modes import ModeSet

PLACE = "\0"
ALPHABET = string.ascii_letters + string.digits
Array = NDArray[np.float64]
Loss = Callable[[Sequence[str]], Array]
"""Losses of some tokens: 0 where what was stored is what this token would have left behind."""


class Attacker:
    """Holds the checkpoint, the public [template] and the prompts; counts the passes made."""

    def __init__(self, checkpoint: Checkpoint, template: ModeSet, prompts: Sequence[str]) -> None:
        self.checkpoint, self.template, self.prompts = checkpoint, template, list(prompts)
        chat = Chat(checkpoint.tokenizer)
        self.frames = [chat.render(template.messages_for_token(prompt, PLACE)) for prompt in prompts]
        self.passes = 0

    def states(
        self, tokens: Sequence[str], prompts: Sequence[int], layers: Sequence[int] = ()
    ) -> list[NDArray[np.float32]]:
        """(tokens, prompts, d) final states at the last prompt position, then those of `layers`."""
        texts = [self.frames[prompt].replace(PLACE, token) for token in tokens for prompt in prompts]
        rows = self.checkpoint.tokenizer(texts, add_special_tokens=False)["input_ids"]
        self.passes += len(rows)
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        found: list[NDArray[np.float32]] = []
        for start in range(0, len(order), 256):
            some = order[start : start + 256]
            lengths = torch.tensor([len(rows[row]) for row in some])
            ids = torch.zeros(len(some), int(lengths.max()), dtype=torch.long)
            for line, row in zip(ids, some, strict=True):
                line[: len(rows[row])] = torch.tensor(rows[row])
            with torch.inference_mode():  # padded on the right: nothing real attends to it
                out = self.checkpoint.model.base_model(ids, output_hidden_states=bool(layers))
            picked = [out.last_hidden_state, *(out.hidden_states[layer] for layer in layers)]
            for k, tensor in enumerate(picked):
                ends = tensor[torch.arange(len(some)), lengths - 1].float().numpy()
                if len(found) <= k:
                    found.append(np.empty((len(rows), ends.shape[1]), dtype=np.float32))
                found[k][some] = ends
        return [states.reshape(len(tokens), len(prompts), -1) for states in found]


@dataclass(frozen=True)
class Found:
    """Where a search ended."""

    token: str
    loss: float
    passes: int
    seconds: float

    def characters(self, token: str) -> int:
        """How many characters of a token stand in their place."""
        return sum(a == b for a, b in zip(self.token, token, strict=False))


def descend(
    attacker: Attacker,
    loss: Loss,
    length: int,
    rng: np.random.Generator,
    *,
    passes: int,
    exact: float = 0.0,
    alphabet: str = ALPHABET,
    start: str | None = None,
    block: int | None = None,
) -> Found:
    """The token of least loss found in so many passes: each character in turn the best of the alphabet.

    Where no character makes it better, three of the best token's are drawn anew. Ends at a loss of `exact`.
    """
    first, began = attacker.passes, time.perf_counter()
    now = start or "".join(rng.choice(list(alphabet), length))
    at = float(loss([now])[0])
    best, least = now, at
    while attacker.passes - first < passes and least > exact:
        before = at
        for place in rng.permutation(length):
            tries = [now[:place] + character + now[place + 1 :] for character in alphabet]
            tries += _moved(now, place, block or length)
            losses = loss(tries)
            now, at = tries[int(losses.argmin())], float(losses.min())
            if at < least:
                best, least = now, at
            if least <= exact or attacker.passes - first >= passes:
                break
        if at >= before:
            characters = list(best)
            for place in rng.choice(length, min(4, length), replace=False):
                characters[place] = str(rng.choice(list(alphabet)))
            now = "".join(characters)
            at = float(loss([now])[0])
    return Found(best, least, attacker.passes - first, time.perf_counter() - began)


def _moved(tokens: str, place: int, block: int) -> list[str]:
    """The character at `place` moved elsewhere in its token, and exchanged with every other of it."""
    start = place // block * block
    before, token, after = tokens[:start], tokens[start : start + block], tokens[start + block :]
    place -= start
    rest = token[:place] + token[place + 1 :]
    found = [rest[:i] + token[place] + rest[i:] for i in range(block) if i != place]
    for i in range(block):
        exchanged = list(token)
        exchanged[i], exchanged[place] = exchanged[place], exchanged[i]
        found += ["".join(exchanged)] if i != place else []
    return [before + one + after for one in found]
