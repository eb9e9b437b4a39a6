"""Which control conditions are asked for, and all conversations of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from margin.errors import MarginError
from margin.inputs.attacks import Attack
from margin.inputs.condition import Setting
from margin.inputs.conditions import CONDITIONS, by_name
from margin.inputs.conversation import Conversation
from margin.inputs.decoys import DECOY_PROMPTS, DecoySet, asked_of
from margin.inputs.modes import ModeSet


@dataclass(frozen=True)
class Controls:
    """Which of `margin.inputs.conditions` a run holds beside its modes.

    Raises
    ------
    MarginError : an unknown or repeated kind, a repeated attack, fewer than one draw.
    """

    kinds: tuple[str, ...] = ()
    """Names of conditions that are asked for by name."""
    attacks: tuple[Attack, ...] = ()
    decoys: tuple[DecoySet, ...] = field(default=(), repr=False)
    """Sets of meaningless tokens, one a mode."""
    decoy_prompts: int = DECOY_PROMPTS
    """Prompts at most that decoys are asked of."""
    draws: int = 1
    """Random tokens a prompt, and near misses a prompt and mode."""
    seed: int = 0
    """Of all draws; with the same live tokens the same prompts meet the same tokens."""
    extracts: tuple[Attack, ...] = ()
    """Requests to say the instructions."""

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in by_name():
                raise MarginError(f"unknown control {kind!r}: take some of {', '.join(by_name())}")
        templates = ([template.name for template in family] for family in (self.attacks, self.extracts))
        for names in (self.kinds, *templates):
            twice = next((name for name in names if list(names).count(name) > 1), None)
            if twice is not None:
                raise MarginError(f"control {twice!r} is named twice: name it once")
        if self.decoy_prompts < 2:
            raise MarginError(f"decoys of {self.decoy_prompts} prompts have no margin: take at least 2")
        if self.draws < 1:
            raise MarginError(f"{self.draws} draws leave nothing to collect: take at least 1")

    def identity(self) -> dict[str, Any]:
        """What, beside the seed, decides the control rows, as a run's manifest keeps it."""
        extracts = {extract.name: extract.digest() for extract in self.extracts}
        return {
            "kinds": list(self.kinds),
            "draws": self.draws,
            "attacks": {attack.name: attack.digest() for attack in self.attacks},
            # Runs from before there were decoys say nothing of them.
            **({"decoys": len(self.decoys), "decoy_prompts": self.decoy_prompts} if self.decoys else {}),
            **({"extracts": extracts} if extracts else {}),  # earlier runs have none
        }


def conversations(controls: Controls, modes: ModeSet, texts: Sequence[str]) -> Iterator[Conversation]:
    """Every control conversation, prompt by prompt.

    What is drawn for a prompt depends on the seed and on its position: neither the other controls nor the
    number of prompts changes it.

    Raises
    ------
    MarginError : what a condition cannot be built from: live tokens too short to draw others from, a live
        token in an attack template.
    """
    asked_decoys = asked_of(len(texts), controls.decoy_prompts)
    setting = Setting(
        modes, controls.draws, controls.attacks, controls.decoys, asked_decoys, controls.extracts
    )
    asked = [CONDITIONS[kind] for kind in controls.kinds]
    asked += [it for it in CONDITIONS.values() if it.asked_by and getattr(setting, it.asked_by)]
    builders = [(condition.seed_key, condition.build(setting)) for condition in asked]
    for prompt, text in enumerate(texts):
        for key, ask in builders:
            yield from ask(prompt, text, np.random.default_rng([controls.seed, key, prompt]))
