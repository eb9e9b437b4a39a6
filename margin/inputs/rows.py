"""Rows: one a forward pass, a prompt under a condition, as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from margin.errors import MarginError, discreet
from margin.inputs.chat import Chat
from margin.inputs.conditions import condition_of
from margin.inputs.controls import Controls, conversations
from margin.inputs.conversation import Conversation
from margin.inputs.fewest import fewest_tokens
from margin.inputs.frame import frame_with_token, frame_without_token, require_same_time
from margin.inputs.modes import ModeSet
from margin.inputs.prompts import PromptSet
from margin.inputs.spans import Reader

BEGINNING = 40
"""Characters at most of a prompt that what stands before it may change the ids of: a long word."""


@dataclass(frozen=True)
class Row:
    """One prompt under one condition."""

    prompt: int
    """Position of the prompt in its set."""
    condition: str
    """Name of the mode, or of the control."""
    kind: str
    """"mode" for the reference conditions, else the kind of control."""
    mode: str | None
    """Mode whose token stands where the modes' tokens stand; None where no live token does."""
    draw: int
    """Which of several draws of a random control; 0 elsewhere."""
    ids: list[int] = field(repr=False)
    """Token ids up to where the answer begins. They spell out a live token: as secret as it is."""
    start: int = 0
    """Number of ids before those of the prompt, of a row of `build_rows`."""
    end: int = 0
    """Number of ids before those of the tail, of a row of `build_rows`."""


@discreet
def build_rows(chat: Chat, prompts: PromptSet, modes: ModeSet, max_length: int | None = None) -> list[Row]:
    """Rows of all prompts under all modes, prompt-major: prompt i under mode m is row i * k + m.

    Proved of every row, of its text and of its ids: head, token, prompt and tail stand in it one after the
    other and share no id; the head is the same under a mode, the prompt's ids are the same under all modes,
    and the tail's throughout; the prompt makes no special token; no other live token is in it.

    Parameters
    ----------
    max_length : the model's context in tokens; None knows no limit.

    Raises
    ------
    MarginError : the first of these that does not hold; a prompt whose row is longer than the context, named
        by id and line.
    """
    frame = frame_with_token(chat, modes)
    _require_room(chat, frame.head("") + frame.tail, "what the chat template itself writes", max_length)
    reader = Reader(chat, frame)
    for mode in modes.modes:
        reader.check_token(mode.token.reveal(), f"the token of mode {mode.name!r}")
    rows = []
    for index, text in enumerate(prompts.texts):
        named = prompts.place(index)
        _require_room(chat, text, named, max_length)
        rest: list[int] = []
        length = 0
        for mode in modes.modes:
            token = mode.token.reveal()
            rendering = chat.render(modes.messages(text, mode.name))
            place = frame.place(rendering, token, text)
            if place is None:
                require_same_time(chat)
                raise MarginError(
                    f"the chat template does not write {named} or the token of mode {mode.name!r} as it "
                    "stands: change them or pass another with --chat-template FILE"
                )
            for other in modes.modes:
                if rendering.count(other.token.reveal()) != token.count(other.token.reveal()):
                    raise MarginError(
                        f"the token of mode {other.name!r} also stands around {named}: choose another token"
                    )
            ids = _ids(chat, rendering, (named, f"mode {mode.name!r}"), max_length)
            start = reader.end_of_head(rendering, ids, place[0], named)
            if not rest:
                end = reader.start_of_tail(rendering, ids, place[1], named)
                if reader.marks.intersection(ids[start:end]):
                    raise MarginError(
                        f"{named} spells a special token, which the model reads as a mark, such as the end "
                        "of the turn, and not as text: take it out of the prompt"
                    )
                rest, length = ids[start:], end - start
            elif ids[start:] != rest:
                raise MarginError(
                    f"{named} has other token ids under mode {mode.name!r} than under the first"
                )
            rows.append(Row(index, mode.name, "mode", mode.name, 0, ids, start, start + length))
    return rows


@discreet
def build_control_rows(
    chat: Chat,
    prompts: PromptSet,
    modes: ModeSet,
    controls: Controls,
    reference: Sequence[Row],
    max_length: int | None = None,
) -> list[Row]:
    """Rows of all prompts under all control conditions, prompt-major.

    Proved of every row: the template writes what it writes under the modes; the tail has the same ids, and so
    has the prompt, unless a template wraps it. Where it is displaced, so that it stands after another text,
    the ids it begins with may differ, since many vocabularies write a word otherwise after a space.

    Parameters
    ----------
    reference : the rows of `build_rows`, which passed the preflight.
    max_length : the model's context in tokens; None knows no limit.

    Raises
    ------
    MarginError : what `conversations` refuses; the first of these that does not hold; a row longer than the
        context; a token drawn unlike the live ones that reaches the model as one of them.
    """
    live = {(row.prompt, tuple(row.ids)) for row in reference}
    prove = _ControlProof(chat, modes, prompts, reference)
    rows = []
    for talk in conversations(controls, modes, prompts.texts):
        place = (prompts.place(talk.prompt), f"control {talk.condition!r}")
        rendering = chat.render(talk.messages)
        ids = _ids(chat, rendering, place, max_length)
        prove(talk, rendering, ids, " under ".join(place))
        if (talk.prompt, tuple(ids)) in live:
            if talk.kind == "attack":
                raise MarginError(
                    f"{' under '.join(place)} is asked as without it: its template has to write more than "
                    "{prompt}"
                )
            raise MarginError(
                f"{' under '.join(place)} has the token ids of a mode: the tokenizer cannot tell its token "
                "apart, leave it out"
            )
        rows.append(Row(talk.prompt, talk.condition, talk.kind, talk.mode, talk.draw, ids))
    return rows


class _ControlProof:
    """Proves of control rows what `build_control_rows` says."""

    def __init__(self, chat: Chat, modes: ModeSet, prompts: PromptSet, reference: Sequence[Row]) -> None:
        self._chat, self._modes, self._prompts = chat, modes, prompts
        self._framed = frame_with_token(chat, modes)
        self._reader = Reader(chat, self._framed)
        self._of_prompt = {row.prompt: row for row in reversed(reference)}
        for mode in modes.modes:
            self._reader.check_token(mode.token.reveal(), f"the token of mode {mode.name!r}")
        for row in reference:
            self._reader.expect_tail(row.ids[row.end :])

    def __call__(self, talk: Conversation, rendering: str, ids: list[int], named: str) -> None:
        frame = self._framed if talk.token is not None else frame_without_token(self._chat, self._modes)
        place = frame.place(rendering, talk.token or "", talk.said)
        if place is None or frame.tail != self._framed.tail:
            require_same_time(self._chat)
            raise MarginError(f"the chat template does not write {named} as under the modes: leave it out")
        row = self._of_prompt[talk.prompt]
        same = False
        if talk.token is not None:
            if talk.mode is None:
                self._reader.check_token(talk.token, f"the token of {named}")
            start = self._reader.end_of_head(rendering, ids, place[0], named)
            same = ids[start:] == row.ids[row.start :]
        wording = condition_of(talk.kind).wording
        if wording == "wrapped":
            end = self._reader.start_of_tail(rendering, ids, place[1], named)
            if self._reader.marks.intersection(ids[start:end]):
                raise MarginError(f"{named} spells a special token: take it out of its template")
        elif not same and not (
            wording == "displaced" and self._same_but_beginning(rendering, ids, place[1], row)
        ):
            raise MarginError(f"{named} has other token ids than under the modes: leave it out")

    def _same_but_beginning(self, rendering: str, ids: list[int], end: int, row: Row) -> bool:
        """Whether prompt and tail have the ids they have under the modes, but for how the prompt begins."""
        rest = row.ids[row.start :]
        if ids[-len(rest) :] == rest:
            return True
        text, mode = self._prompts.texts[row.prompt], self._modes.modes[0]
        usual = self._chat.render(self._modes.messages(text, mode.name))
        place = self._framed.place(usual, mode.token.reveal(), text)
        if place is None:
            return False
        prompt = text.strip()
        here, there = (len(t[:e].rstrip()) - len(prompt) for t, e in ((rendering, end), (usual, place[1])))
        longest = min(len(prompt), BEGINNING)
        for n in (min(len(prompt.split()[0]), longest), *range(longest + 1)):
            rest_here = self._reader.rest_at(rendering, ids, here + n)
            if rest_here is not None and rest_here == self._reader.rest_at(usual, row.ids, there + n):
                return True
        return False


def _require_room(chat: Chat, text: str, named: str, max_length: int | None) -> None:
    """MarginError of a prompt so long that it cannot fit, before minutes are spent on its tokens."""
    if max_length is None or len(text) <= max_length:
        return
    if (fewest := fewest_tokens(chat.tokenizer, text)) > max_length:
        raise MarginError(
            f"{named} has {len(text):,} characters, which are {fewest:,} tokens at least, the model's "
            f"context is {max_length:,}: shorten or remove it"
        )


def _ids(chat: Chat, rendering: str, place: tuple[str, str], max_length: int | None) -> list[int]:
    ids = chat.encode(rendering)
    if max_length is not None and len(ids) > max_length:
        prompt, condition = place
        raise MarginError(
            f"{prompt} is {len(ids)} tokens long under {condition}, the model's context is {max_length}: "
            "shorten or remove it"
        )
    return ids
