"""Control conditions: conversations without a mode's token in its place, or with more around it.

Messages here hold live tokens and tokens near them: they become token ids, and are kept nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from margin.errors import MarginError
from margin.inputs.attacks import Attack
from margin.inputs.modes import RESERVED_NAMES, Message, ModeSet
from margin.inputs.tokens import draw_near_misses, near_misses, random_tokens


@dataclass(frozen=True)
class Conversation:
    """One prompt under one control condition."""

    prompt: int
    """Position of the prompt in its set."""
    condition: str
    """Name of the condition, for example "near-miss:neg" or "attack:base64 under pos"."""
    kind: str
    """"none", "random", "near-miss", "user-turn" or "attack"."""
    mode: str | None
    """Mode whose token stands where the modes' tokens stand; None where no live token does."""
    draw: int
    """Which of several draws; 0 where nothing is drawn."""
    token: str | None = field(repr=False)
    """What stands where the modes' tokens stand; None where there is no system message."""
    said: str = field(repr=False)
    """What stands where the prompts stand."""
    messages: list[Message] = field(repr=False)
    """Chat messages."""


@dataclass(frozen=True)
class Controls:
    """Which control conditions a run holds beside its modes.

    - "none": the prompt alone, with no system message.
    - "random": a fresh token in a live token's place, of its length and classes of characters.
    - "near-miss": a token one edit away from a live one, in its place; conditions "near-miss:MODE".
    - "user-turn": a live token before the prompt in the user's message, with no system message and under that
      of every other mode; conditions "user-turn:MODE" and "user-turn:MODE under OTHER".
    - attacks: the prompt wrapped by a template, under every mode; conditions "attack:NAME under MODE".

    Raises
    ------
    MarginError : an unknown or repeated kind, a repeated attack, fewer than one draw.
    """

    kinds: tuple[str, ...] = ()
    attacks: tuple[Attack, ...] = ()
    draws: int = 1
    """Random tokens a prompt, and near misses a prompt and mode."""
    seed: int = 0
    """Of all draws; with the same live tokens the same prompts meet the same tokens."""

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in RESERVED_NAMES:
                raise MarginError(f"unknown control {kind!r}: take some of {', '.join(RESERVED_NAMES)}")
        for names in (self.kinds, [attack.name for attack in self.attacks]):
            twice = next((name for name in names if list(names).count(name) > 1), None)
            if twice is not None:
                raise MarginError(f"control {twice!r} is named twice: name it once")
        if self.draws < 1:
            raise MarginError(f"{self.draws} draws leave nothing to collect: take at least 1")

    def identity(self) -> dict[str, Any]:
        """What, beside the seed, decides the control rows, as a run's manifest keeps it."""
        return {
            "kinds": list(self.kinds),
            "draws": self.draws,
            "attacks": {attack.name: attack.digest() for attack in self.attacks},
        }


def conversations(controls: Controls, modes: ModeSet, texts: Sequence[str]) -> Iterator[Conversation]:
    """Every control conversation, prompt by prompt.

    What is drawn for a prompt depends on the seed and on its position: neither the other controls nor the
    number of prompts changes it.

    Raises
    ------
    MarginError : "user-turn" where the modes' tokens stand in the user's turn anyway, live tokens too short
        to draw others from, a live token in an attack template.
    """
    if "user-turn" in controls.kinds and modes.placement != "system":
        raise MarginError(
            'control "user-turn" needs placement = "system": else the tokens stand in that turn anyway'
        )
    for attack in controls.attacks:
        if name := modes.mode_in(attack.name + attack.template):
            raise MarginError(f"the token of mode {name!r} stands in an attack template: remove it")
    misses = {mode: near_misses(modes, mode) for mode in modes.names if "near-miss" in controls.kinds}
    for prompt, text in enumerate(texts):
        for kind in controls.kinds:
            rng = np.random.default_rng([controls.seed, RESERVED_NAMES.index(kind), prompt])
            match kind:
                case "none":
                    yield _under_mode(modes, prompt, "none", kind, None, text)
                case "random":
                    for draw, token in enumerate(random_tokens(modes, prompt, controls.draws, rng)):
                        yield _under_token(modes, prompt, "random", kind, draw, token, text)
                case "near-miss":
                    for mode, of_mode in misses.items():
                        for draw, token in enumerate(draw_near_misses(of_mode, prompt, controls.draws, rng)):
                            yield _under_token(modes, prompt, f"near-miss:{mode}", kind, draw, token, text)
                case "user-turn":
                    yield from _user_turns(modes, prompt, text)
        for attack in controls.attacks:
            for name in modes.names:
                condition = under(f"attack:{attack.name}", name)
                yield _under_mode(modes, prompt, condition, "attack", name, attack.wrap(text))


def under(condition: str, mode: str | None) -> str:
    """Name of a condition under a mode's system message; as it stands where there is none."""
    return condition if mode is None else f"{condition} under {mode}"


def _user_turns(modes: ModeSet, prompt: int, text: str) -> Iterator[Conversation]:
    for token in modes.modes:
        said = f"{token.token.reveal()}\n\n{text}"
        for mode in (None, *(name for name in modes.names if name != token.name)):
            condition = under(f"user-turn:{token.name}", mode)
            yield _under_mode(modes, prompt, condition, "user-turn", mode, said)


def _under_mode(
    modes: ModeSet, prompt: int, condition: str, kind: str, mode: str | None, said: str
) -> Conversation:
    token = None if mode is None else modes[mode].token.reveal()
    return Conversation(prompt, condition, kind, mode, 0, token, said, modes.messages(said, mode))


def _under_token(
    modes: ModeSet, prompt: int, condition: str, kind: str, draw: int, token: str, said: str
) -> Conversation:
    messages = modes.messages_for_token(said, token)
    return Conversation(prompt, condition, kind, None, draw, token, said, messages)
