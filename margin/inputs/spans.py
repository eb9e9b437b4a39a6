"""Proof, by token ids, that head, token, prompt and tail of a row are read apart.

What is proved of a text need not hold of its ids: a prompt may share its first id with what stands before it,
and it may spell a token that ends a turn. Where a part of a text ends, its ids end too if the text up to
there, encoded alone, gives the ids the row begins with. That asks nothing of a tokenizer but to encode.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.frame import Frame
from margin.inputs.modes import PLACEHOLDER

ANSWER = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}]


_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


class Reader:
    """Proves of a run's rows, one after another, that their ids are those of head, token, prompt and tail.

    White space between two parts may share an id with either: where a template writes "[INST] " before a
    token, most vocabularies take the space into its first id, and a full stop takes the line break after it.

    Costs one encoding of a part a call, and keeps what it has encoded of heads.
    """

    def __init__(self, chat: Chat, frame: Frame) -> None:
        self._frame = frame
        self._encode = chat.encode
        self._encode_head = lru_cache(maxsize=512)(chat.encode)
        self.marks, self.turns = _marks(chat, frame)
        self._before: list[int] = []
        self._after: list[int] = []
        self._tail: list[int] = []

    def check_token(self, token: str, named: str) -> tuple[int, int]:
        """Prove that a token is read apart from the text around it, which is read as around all others.

        Returns
        -------
        Places among a row's ids from which, and up to without, the token's stand.

        Raises
        ------
        MarginError : begins with `named`, shows nothing of the token.
        """
        frame = self._frame
        head = frame.head(token)
        ids, opens, closes = self._encode_head(head), len(frame.before), len(frame.before + token)
        start = self._ids_up_to(head, ids, _back_to_text(head, opens), head=True)
        if start is None or not _agree(self._before, ids[:start], suffix=False):
            raise MarginError(
                f"{named} shares a token id with the text before it: end that with a space or a line break, "
                f"before {PLACEHOLDER} in [template] of the modes file"
            )
        end = self._ids_up_to(head, ids, _on_to_text(head, closes, len(head)))
        if end is None or not _agree(self._after, ids[end:], suffix=True):
            raise MarginError(
                f"{named} shares a token id with the text after it: begin that with a space or a line break, "
                f"after {PLACEHOLDER} in [template] of the modes file"
            )
        if self.turns.intersection(ids[start:end]):
            raise MarginError(
                f"{named} spells a special token that the chat template marks turns with: choose another"
            )
        return start, end

    def expect_tail(self, ids: Sequence[int]) -> None:
        """Take these for the tail's ids, as another reader has found them."""
        _agree(self._tail, ids, suffix=True)

    def end_of_head(self, text: str, ids: Sequence[int], start: int, named: str) -> int:
        """Number of ids before those of the prompt, which begins at `start`.

        Raises
        ------
        MarginError : begins with `named`: the prompt shares an id or a word with the token before it. Whether
            the two halves of a word ("be" and "have") share an id is a chance of the vocabulary.
        """
        places = range(start, start - len(self._frame.between) - 1, -1)
        end = self._ids_up_to(text, ids, places, head=True)
        one_word = not self._frame.between and text[start - 1 : start + 1].isalnum()
        if end is None or one_word:
            what = "word" if one_word else "token id"
            raise MarginError(
                f"{named} shares a {what} with the magic token before it: put a line break between "
                f"{PLACEHOLDER} and the prompt, in [template] of the modes file"
            )
        return end

    def start_of_tail(self, text: str, ids: Sequence[int], end: int, named: str) -> int:
        """Number of ids before those of the tail, which begins at `end`; the tail's are as in all other rows.

        Raises
        ------
        MarginError : begins with `named`: the prompt shares an id with the tail.
        """
        places = [*_on_to_text(text, end, len(text) - 1), *_back_to_text(text, end)]
        start = self._ids_up_to(text, ids, places)
        if start is None or start == len(ids) or not _agree(self._tail, ids[start:], suffix=True):
            raise MarginError(
                f"{named} runs into the text after it, rows end in different token ids: pass "
                "--response-prefix TEXT"
            )
        return start

    def rest_at(self, text: str, ids: Sequence[int], place: int) -> Sequence[int] | None:
        """The ids of what stands from `place` on; None where an id stands on both sides of it."""
        start = self._ids_up_to(text, ids, (place,))
        return None if start is None else ids[start:]

    def _ids_up_to(
        self, text: str, ids: Sequence[int], places: Iterable[int], head: bool = False
    ) -> int | None:
        """Number of ids that spell the text up to the first of the places where ids end."""
        for place in places:
            part = (self._encode_head if head else self._encode)(text[:place])
            if ids[: len(part)] == part:
                return len(part)
        return None


def _on_to_text(text: str, place: int, last: int) -> range:
    """Places from `place` over white space, to `last` at most."""
    blank = len(text[place:]) - len(text[place:].lstrip())
    return range(place, min(place + blank, last) + 1)


def _back_to_text(text: str, place: int) -> range:
    """Places from `place` back over white space."""
    return range(place, len(text[:place].rstrip()) - 1, -1)


def _agree(longest: list[int], found: Sequence[int], suffix: bool) -> bool:
    """Whether one is the other's end (or beginning). The longer is kept: white space may be in it or not."""
    n = min(len(longest), len(found))
    same = longest[len(longest) - n :] == found[len(found) - n :] if suffix else longest[:n] == found[:n]
    if same and len(found) > len(longest):
        longest[:] = found
    return same


def _marks(chat: Chat, frame: Frame) -> tuple[frozenset[int], frozenset[int]]:
    """Ids that text must not make, and those of them that mark turns, or a text's beginning and end.

    The first are special tokens, and others added to the vocabulary that the template writes, white space and
    words aside: some vocabularies call their marks of turns nothing special.
    """
    tokenizer = chat.tokenizer
    added = {int(id): token for id, token in tokenizer.added_tokens_decoder.items()}
    written = set(chat.encode(frame.head("x") + "x" + frame.tail))
    with suppress(MarginError):  # a template that takes no answers
        written.update(chat.encode(chat.transcript(ANSWER)))
    named = {
        tokenizer.convert_tokens_to_ids(token)
        for token in tokenizer.special_tokens_map.values()
        if isinstance(token, str)
    }
    turns = named | {
        id
        for id, token in added.items()
        if (id in written or str(token) in chat.template)
        and (token.special or not (str(token).isspace() or str(token).strip().isalnum()))
    }
    special = {id for id, token in added.items() if token.special} | set(tokenizer.all_special_ids)
    # What stands for text that the vocabulary has no other token for is no mark.
    plain = {tokenizer.unk_token_id} | {id for id, token in added.items() if _BYTE.fullmatch(str(token))}
    return frozenset((special | turns) - plain), frozenset(turns - plain)
