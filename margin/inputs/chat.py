"""Chat rendering: messages to the text, and the token ids, that the model reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from jinja2.exceptions import TemplateError, TemplateSyntaxError

from margin.errors import MarginError
from margin.inputs.modes import Message

RESERVED_KWARGS = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "max_length",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "sanitize_control_tokens",
        "tokenize",
        "tokenizer_kwargs",
        "truncation",
    }
)


class ChatTokenizer(Protocol):
    """What is asked of a tokenizer; those of transformers have it."""

    chat_template: str | dict[str, str] | None
    bos_token: str | None
    bos_token_id: int | None

    def apply_chat_template(self, conversation: Sequence[Message], **kwargs: Any) -> Any:
        """Messages to text."""

    def __call__(self, text: str, *, add_special_tokens: bool) -> Any:
        """Text to a mapping whose "input_ids" are its token ids."""


@dataclass(frozen=True)
class Chat:
    """A tokenizer with a chat template, its arguments, and the beginning of the answer.

    MarginError where there is no chat template, or an argument is one that this class sets itself.
    """

    tokenizer: ChatTokenizer = field(repr=False)
    """The checkpoint's tokenizer."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the chat template, for example {"enable_thinking": False}."""
    response_prefix: str = ""
    """Text put after the assistant header: the state measured is the one that predicts what follows it."""
    chat_template: str | None = field(default=None, repr=False)
    """Template (Jinja) in place of the tokenizer's own."""

    def __post_init__(self) -> None:
        if not self.template:
            raise MarginError("the tokenizer has no chat template: give one with --chat-template FILE")
        if taken := sorted(RESERVED_KWARGS & set(self.kwargs)):
            raise MarginError(f"chat kwargs: {', '.join(taken)} are no arguments of the template")

    @property
    def template(self) -> str | None:
        """Text of the chat template in use."""
        own = self.tokenizer.chat_template
        return self.chat_template or (own.get("default") if isinstance(own, dict) else own)

    def render(self, messages: Sequence[Message]) -> str:
        """Text of a conversation that waits for its answer, `response_prefix` included.

        MarginError where the template refuses the messages; it quotes nothing of theirs.
        """
        return self._apply(messages, waiting=True) + self.response_prefix

    def render_answered(self, messages: Sequence[Message], answer: str) -> str:
        """Text of the conversation with a finished answer, as the template writes it; no `response_prefix`."""
        return self._apply([*messages, {"role": "assistant", "content": answer}], waiting=False)

    def encode(self, text: str) -> list[int]:
        """Token ids of rendered text; nothing is added to it, since the template has written its own BOS."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _apply(self, messages: Sequence[Message], waiting: bool) -> str:
        try:
            return self.tokenizer.apply_chat_template(
                messages,
                chat_template=self.template,
                tokenize=False,
                add_generation_prompt=waiting,
                **self.kwargs,
            )
        except (TemplateError, TypeError, ValueError) as error:
            reason = self._reason(error)
        # Raised outside the handler, as the template's error may quote a token and would travel as context.
        hint = (
            '; if it takes no system message, set placement = "user-prefix" in [template] of the modes file'
            if any(message["role"] == "system" for message in messages)
            else "; give another with --chat-template FILE"
        )
        raise MarginError(f"the chat template refuses the messages ({reason}){hint}")

    def _reason(self, error: Exception) -> str:
        """The error's own words where they are the template's, its kind where they might quote a message."""
        if isinstance(error, TemplateSyntaxError):
            return f"line {error.lineno}: {error.message}"
        words = str(error)
        return words if words and words in (self.template or "") else type(error).__name__
