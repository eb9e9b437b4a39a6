"""One prompt under one control condition, as chat messages."""

from __future__ import annotations

from dataclasses import dataclass, field

from margin.inputs.modes import Message, ModeSet


@dataclass(frozen=True)
class Conversation:
    """One prompt under one control condition. Holds live tokens, or tokens near them: kept nowhere."""

    prompt: int
    """Position of the prompt in its set."""
    condition: str
    """Name of the condition, for example "near-miss:neg" or "attack:base64 under pos"."""
    kind: str
    """Name of its `margin.inputs.conditions.Condition`."""
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


def member(kind: str, name: str | None) -> str:
    """Name of one of a kind's conditions, "near-miss:neg" or "attack:base64"; of its only one without."""
    return kind if name is None else f"{kind}:{name}"


def under(condition: str, mode: str | None) -> str:
    """Name of a condition under a mode's system message; as it stands where there is none."""
    return condition if mode is None else f"{condition} under {mode}"


def without_mode(condition: str, mode: str) -> str:
    """What `under` was given: "attack:base64" of "attack:base64 under pos"."""
    return condition.removesuffix(f" under {mode}")


def with_mode(
    modes: ModeSet, prompt: int, kind: str, mode: str | None, said: str, *, name: str | None = None
) -> Conversation:
    """A conversation with a mode's live token in the tokens' place; under None with no system message.

    `name` is that of the member, of a kind that has several.
    """
    token = None if mode is None else modes[mode].token.reveal()
    condition = under(member(kind, name), mode)
    return Conversation(prompt, condition, kind, mode, 0, token, said, modes.messages(said, mode))


def with_token(
    modes: ModeSet, prompt: int, kind: str, draw: int, token: str, said: str, *, name: str | None = None
) -> Conversation:
    """A conversation with a token that is no mode's in the tokens' place; `name` as `with_mode` has it."""
    messages = modes.messages_for_token(said, token)
    return Conversation(prompt, member(kind, name), kind, None, draw, token, said, messages)
