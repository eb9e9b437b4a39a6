"""What a control condition is: how it is built, drawn, read and called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from margin.inputs.conversation import Conversation
from margin.inputs.modes import ModeSet

if TYPE_CHECKING:
    import numpy as np

    from margin.inputs.attacks import Attack

Rule = Literal["centroid", "discriminant"]
"""How the analysis assigns a point to a mode: by the nearest centroid after the prompt's mean is taken away,
for points that share the user's text with points of known mode; by a discriminant, for all others."""
Wording = Literal["same", "displaced", "wrapped"]
"""How the prompt stands in the user's turn: with the token ids it has under the modes; after another text
than there, so that its first word may be written otherwise; inside a template."""


@dataclass(frozen=True)
class Setting:
    """What a condition is built from."""

    modes: ModeSet
    draws: int = 1
    """Tokens a prompt, and a mode where they are drawn for each, of conditions that draw some."""
    attacks: Sequence[Attack] = ()
    decoys: Sequence[tuple[str, ...]] = ()
    """Sets of meaningless tokens, one a mode."""
    decoy_prompts: frozenset[int] = frozenset()
    """Positions of the prompts that decoys are asked of."""
    extracts: Sequence[Attack] = ()

    @property
    def reworded(self) -> bool:
        """Whether any mode says what its token might be taken for."""
        return any(mode.reworded for mode in self.modes.modes)


Ask = Callable[[int, str, "np.random.Generator"], Iterator[Conversation]]
"""The conversations of one prompt: its position, its text, and the generator that draws for it."""


@dataclass(frozen=True)
class Condition:
    """One kind of control condition."""

    name: str
    """What asks for it, and the `kind` of its rows."""
    help: str
    """What it is, in one line."""
    words: str
    """What is tried, in a sentence; {name} is that of the member, of a kind that has several."""
    rule: Rule
    """How the analysis assigns its points."""
    wording: Wording
    """How the prompt stands in it, which is proved of every row."""
    build: Callable[[Setting], Ask] = field(repr=False)
    """What is done once for all prompts, errors of the setting among it, and then for each prompt."""
    live: bool = False
    """Whether a live token stands anywhere in it."""
    crossed: bool = False
    """Whether each prompt stands in it once under every mode, so that it has a margin of its own."""
    asked_by: str | None = None
    """Field of the `Setting` that asks for it, by saying what its members are made of; else its name does."""
    draws_by: int | None = None
    """Seed key of a condition older than the rule of `seed_key`."""

    @property
    def seed_key(self) -> int:
        """Keeps its draws apart from all others': it depends on its name alone, never on the registry."""
        if self.draws_by is not None:
            return self.draws_by
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:4], "big")
