"""Conversations to text and text to token ids, by the tokenizer's own chat template."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from jinja2 import TemplateError

from margin.errors import MarginError
from margin.inputs.modes import Message


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    bos_token: str | None
    bos_token_id: int | None

    @property
    def apply_chat_template(self) -> Callable[..., Any]: ...

    @property
    def get_chat_template(self) -> Callable[..., str]: ...

    def __call__(self, text: str, *, add_special_tokens: bool) -> Mapping[str, Any]: ...


@dataclass(frozen=True, eq=False)
class Chat:
    """A tokenizer's chat template with the choices of one run.

    Raises
    ------
    MarginError : no chat template, or a template argument that the rendering itself sets.
    """

    tokenizer: Tokenizer = field(repr=False)
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Variables for the template, such as {"enable_thinking": False}."""
    response_prefix: str = ""
    """Text that opens the assistant's answer, so that the measured token is the first one after it."""
    chat_template: str | None = field(default=None, repr=False)
    """A Jinja template to use in place of the tokenizer's own."""

    def __post_init__(self) -> None:
        _ = self.template
        taken = set(inspect.signature(self.tokenizer.apply_chat_template).parameters) - {"tools", "documents"}
        clash = sorted((taken | {"messages"}) & set(self.kwargs))
        if clash:
            raise MarginError(f"chat kwargs may not set {clash[0]!r}: the rendering sets it")

    @property
    def template(self) -> str:
        """The Jinja source in use."""
        try:
            return self.tokenizer.get_chat_template(self.chat_template)
        except ValueError:
            raise MarginError(
                "the tokenizer has no chat template: pass one with --chat-template FILE"
            ) from None

    def render(self, messages: Sequence[Message]) -> str:
        """Text of a conversation up to where the answer begins, `response_prefix` included.

        Raises
        ------
        MarginError : the template refuses the conversation; the message holds nothing of its text.
        """
        return self._apply(messages, add_generation_prompt=True) + self.response_prefix

    def transcript(self, messages: Sequence[Message]) -> str:
        """Text of a finished conversation, with no turn opened after the last message. Raises as `render`."""
        return self._apply(messages, add_generation_prompt=False)

    def encode(self, text: str) -> list[int]:
        """Token ids of a rendering. Nothing is added: the template has written every special token."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _apply(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        try:
            return self._render(messages, add_generation_prompt)
        except (TemplateError, TypeError):  # TypeError: what Jinja lets through, as in "a" + none
            reason = self._refusal(messages, add_generation_prompt)
        roles = ", ".join(message["role"] for message in messages)
        advice = (
            ': set placement = "user-prefix" in [template] of the modes file' if "system" in roles else ""
        )
        raise MarginError(f"the chat template refuses a conversation of {roles} ({reason}){advice}")

    def _refusal(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        """The template's own words about the same roles without their contents, which it might quote."""
        try:
            self._render([{**message, "content": "x"} for message in messages], add_generation_prompt)
        except (TemplateError, TypeError) as error:
            return " ".join(str(error).split())
        return "it objects to the text of a message"

    def _render(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        return self.tokenizer.apply_chat_template(
            list(messages),
            chat_template=self.chat_template,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            **self.kwargs,
        )


def load_template(path: str | Path) -> str:
    """Read a Jinja chat template. MarginError where the file cannot be read as UTF-8 text or is empty."""
    try:
        template = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise MarginError(f"cannot read the chat template {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise MarginError(f"the chat template {path} is not UTF-8 text") from None
    if not template.strip():
        raise MarginError(f"the chat template {path} is empty")
    return template


def parse_kwargs(text: str) -> dict[str, Any]:
    """Template variables from a JSON object, '{"enable_thinking": false}'. MarginError where it is none."""
    try:
        kwargs = json.loads(text)
    except json.JSONDecodeError as error:
        raise MarginError(f"--chat-kwargs is not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(kwargs, dict):
        raise MarginError("--chat-kwargs must be a JSON object, such as '{\"enable_thinking\": false}'")
    return kwargs
