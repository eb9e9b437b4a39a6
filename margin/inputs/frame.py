"""What a chat template writes around a token and a prompt: the text that all rows of a run have in common."""

from __future__ import annotations

from dataclasses import dataclass

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import Message, ModeSet

# Stand-ins that no template holds: where they turn up in a rendering, there the real token and prompt go.
TOKEN_PROBE = "zq7tokenprobe7qz"
PROMPT_PROBE = "zq7promptprobe7qz"


@dataclass(frozen=True)
class Frame:
    """Every rendering reads `before TOKEN between PROMPT tail`. Holds no token and no prompt."""

    before: str
    between: str
    """Text between token and prompt; "" in a frame without a token."""
    tail: str

    def head(self, token: str) -> str:
        """All that stands before the prompt."""
        return self.before + token + self.between

    def place(self, rendering: str, token: str, prompt: str) -> tuple[int, int] | None:
        """Where the prompt begins and ends in a rendering; None where that does not read as the frame does.

        White space at the prompt's ends may be missing: many templates strip what they are given.
        """
        start, end = len(self.head(token)), len(rendering) - len(self.tail)
        middle = rendering[start:end]
        if rendering != self.head(token) + middle + self.tail or middle.strip() != prompt.strip():
            return None
        return start, end


def frame_with_token(chat: Chat, modes: ModeSet) -> Frame:
    """The frame of conversations with a token where the modes' tokens stand.

    Raises
    ------
    MarginError : the template drops, repeats, changes or reverses token and prompt; what it refuses.
    """
    rendering = chat.render_once(_with_token(modes))
    if TOKEN_PROBE not in rendering and modes.placement == "system" and PROMPT_PROBE in rendering:
        raise MarginError(
            "the chat template drops or changes the system message, so no token reaches the model: "
            'set placement = "user-prefix" in [template] of the modes file'
        )
    if rendering.count(TOKEN_PROBE) != 1 or rendering.count(PROMPT_PROBE) != 1:
        raise MarginError(
            f"the chat template writes the token {rendering.count(TOKEN_PROBE)} times and the prompt "
            f"{rendering.count(PROMPT_PROBE)} times instead of once: pass another with --chat-template FILE"
        )
    before, _, rest = rendering.partition(TOKEN_PROBE)
    between, found, tail = rest.partition(PROMPT_PROBE)
    if not found:
        raise MarginError(
            "the chat template puts the prompt before the token: pass another with --chat-template FILE"
        )
    return Frame(before, between, tail)


def frame_without_token(chat: Chat, modes: ModeSet) -> Frame:
    """The frame of conversations of a prompt alone. MarginError where the template does not write it once."""
    rendering = chat.render_once(_without_token(modes))
    if rendering.count(PROMPT_PROBE) != 1:
        raise MarginError(
            f"the chat template writes a prompt without a system message {rendering.count(PROMPT_PROBE)} "
            "times instead of once: leave out the controls none and user-turn"
        )
    before, _, tail = rendering.partition(PROMPT_PROBE)
    return Frame(before, "", tail)


def require_same_time(chat: Chat) -> None:
    """MarginError where the template writes something else now than it wrote at first: the time."""
    if not chat.is_steady():
        raise MarginError(
            "the chat template writes the time of day, which went on between two rows, or something drawn at "
            "random: start again, or pass one that writes the same each time with --chat-template FILE"
        )


def _with_token(modes: ModeSet) -> list[Message]:
    return modes.messages_for_token(PROMPT_PROBE, TOKEN_PROBE)


def _without_token(modes: ModeSet) -> list[Message]:
    return modes.messages(PROMPT_PROBE, None)
