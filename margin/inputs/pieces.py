"""Strings as the model's own tokens: what a search over tokens swaps.

A swap counts only where the string it makes is read back as the ids it was made of: whoever types a string
types no ids. As secret as the strings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from margin.inputs.chat import Chat
from margin.inputs.climbing import Neighbours

Float = NDArray[np.float64]
Scores = Callable[[Sequence[int]], Float | None]
"""(n, V) of n ids: how much is promised by each of the V `Pieces.choices` in the place of each; or None."""
RANKED = 256
"""Swaps of a string that are tried, of those ranked: behind them a rank promises nothing."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """Ids of strings that stand behind a text."""

    chat: Chat = field(repr=False)
    before: str
    """Text before a string, as the template writes it."""

    @cached_property
    def start(self) -> int:
        """Number of ids before a string's."""
        return len(self._opening)

    @cached_property
    def _opening(self) -> list[int]:
        return self.chat.encode(self.before)

    def read(self, string: str) -> list[int] | None:
        """A string's ids in its place; None where one of them is the text's before it as well."""
        ids = self.chat.encode(self.before + string)
        return ids[self.start :] if ids[: self.start] == self._opening else None

    def spell(self, ids: Sequence[int]) -> str | None:
        """The string of some ids; None where that is read as others, or a template would strip it."""
        string = str(self.chat.tokenizer.decode(list(ids)))
        plain = string.isprintable() and string == string.strip()
        return string if string and plain and self.read(string) == list(ids) else None

    @cached_property
    def choices(self) -> NDArray[np.intp]:
        """(V,) ids that spell a text that can be printed; no special token."""
        tokenizer = self.chat.tokenizer
        special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
        ids = [id for id in range(len(tokenizer)) if id not in special]
        texts = [str(tokenizer.decode([id])) for id in ids]
        # A part of a character is decoded as the mark of what cannot be read.
        plain = [
            bool(text) and text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text for text in texts
        ]
        return np.array(ids, dtype=np.intp)[plain]


def swaps(
    pieces: Pieces, rng: np.random.Generator, scores: Scores = lambda ids: None, most: int = RANKED
) -> Neighbours:
    """Strings with one of their ids another: in random order all, or by their scores the `most` promising.

    Those that promise alike come in random order. Of a string whose ids cannot be read there are none.
    """

    def of(string: str) -> Iterator[str]:
        ids, choices = pieces.read(string), pieces.choices
        if not ids:
            return
        order = rng.permutation(len(ids) * len(choices))
        promised = scores(ids)
        if promised is not None:
            best_first = np.argsort(-promised.ravel()[order], kind="stable")
            order = order[best_first]
        made = 0
        for code in order.tolist():
            place, choice = divmod(code, len(choices))
            if promised is not None and made == most:
                return
            if (new := int(choices[choice])) == ids[place]:
                continue
            swapped = pieces.spell([*ids[:place], new, *ids[place + 1 :]])
            if swapped is not None:
                made += 1
                yield swapped

    return of
