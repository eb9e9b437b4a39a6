"""Conversations to text and text to token ids, by the tokenizer's own chat template."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from margin.errors import MarginError, words
from margin.inputs.deadline import at_most
from margin.inputs.modes import Message
from margin.inputs.template import JINJA, TEMPLATE_NAME
from margin.inputs.tokenizer import Tokenizer
from margin.text import shown

PATIENCE = 10.0
"""Seconds a template may take for one conversation; the usual one takes less than a thousandth of it."""

# Stands where a message's text goes; no template holds it.
_PROBE = "zq7contentprobe7qz"
_OTHER = "mend it or pass another with --chat-template FILE"


@dataclass(frozen=True, eq=False)
class Chat:
    """A tokenizer's chat template with the choices of one run.

    A message's content is handed over as text, or as a list of parts where a role's text is only written when
    it comes so, as by templates of models that also see images.

    Raises
    ------
    MarginError : no chat template, several and none the default, a template argument that the rendering
        itself sets or that JSON cannot hold.
    """

    tokenizer: Tokenizer = field(repr=False)
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Variables for the template, such as {"enable_thinking": False}."""
    response_prefix: str = ""
    """Text that opens the assistant's answer, so that the measured token is the first one after it."""
    chat_template: str | None = field(default=None, repr=False)
    """A Jinja template to use in place of the tokenizer's own, or the name of one of its own."""
    _first: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _parts: dict[str, bool] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.kwargs, Mapping) or not all(isinstance(name, str) for name in self.kwargs):
            raise MarginError("chat kwargs must map names of variables to values")
        for name, text in (("response_prefix", self.response_prefix), ("chat_template", self.chat_template)):
            if not isinstance(text, str) and (text is not None or name == "response_prefix"):
                raise MarginError(f"{name} must be a text, got {type(text).__name__}")
        if not isinstance(self.template, str):
            raise MarginError("the tokenizer's chat template is no text: pass one with --chat-template FILE")
        taken = set(inspect.signature(self.tokenizer.apply_chat_template).parameters) - {"tools", "documents"}
        clash = sorted((taken | {"messages"}) & set(self.kwargs))
        if clash:
            raise MarginError(f"chat kwargs may not set {clash[0]!r}: the rendering sets it")
        if not _is_json([dict(self.kwargs), self.response_prefix]):
            raise MarginError("chat kwargs and response prefix must be what JSON in UTF-8 can hold")

    @cached_property
    def template(self) -> str:
        """The Jinja source in use."""
        own = getattr(self.tokenizer, "chat_template", None)
        names = sorted(own) if isinstance(own, dict) else []
        chosen = self.chat_template
        if chosen is not None and TEMPLATE_NAME.fullmatch(chosen) and chosen not in names:
            known = f"has {', '.join(names)}" if names else "names none"
            raise MarginError(
                f"chat template {chosen!r} is no file and none of the tokenizer's own, which {known}; and as "
                "the text of one, or of a file, it writes nothing of a conversation"
            )
        if chosen is not None and chosen not in names and not JINJA.search(chosen):  # not shown: any text
            raise MarginError(
                "the chat template holds neither {{ }} nor {% %}, so it writes nothing of a conversation: "
                "--chat-template takes the file of one; chat_template, in Python, its text and not its path"
            )
        try:
            source = self.tokenizer.get_chat_template(chosen)
        except ValueError:
            pass
        else:
            if source.startswith("\ufeff"):  # of a file given here it is taken off when that is read
                raise MarginError(
                    "the tokenizer's chat template begins with a byte order mark, which would stand before "
                    "every prompt: save it without, or pass the same file with --chat-template FILE"
                )
            return source
        if names:
            raise MarginError(
                f"the tokenizer has several chat templates and none is the default: choose one with "
                f"--chat-template NAME, of {', '.join(names)}"
            )
        raise MarginError("the tokenizer has no chat template: pass one with --chat-template FILE")

    @property
    def unread(self) -> list[str]:
        """Names of `kwargs` that stand nowhere in the template: a slip, or meant for another model."""
        return [name for name in self.kwargs if not re.search(rf"\b{re.escape(name)}\b", self.template)]

    def render(self, messages: Sequence[Message]) -> str:
        """Text of a conversation up to where the answer begins, `response_prefix` included.

        Raises
        ------
        MarginError : the template refuses the conversation or fails; the message holds nothing of its text.
        """
        return self._apply(messages, add_generation_prompt=True) + self.response_prefix

    def render_once(self, messages: Sequence[Message]) -> str:
        """As `render`, but for the same messages always what came out first: a template may write the time.

        Keeps what it renders, so it is for messages without a secret. Raises as `render`.
        """
        key = json.dumps(messages)
        if key not in self._first:
            self._first[key] = self.render(messages)
        return self._first[key]

    def is_steady(self) -> bool:
        """Whether all that `render_once` has rendered would come out as it did."""
        return all(self.render(json.loads(key)) == text for key, text in self._first.items())

    def transcript(self, messages: Sequence[Message]) -> str:
        """Text of a finished conversation, with no turn opened after the last message. Raises as `render`."""
        return self._apply(messages, add_generation_prompt=False)

    def encode(self, text: str) -> list[int]:
        """Token ids of a rendering. Nothing is added: the template has written every special token.

        Raises
        ------
        MarginError : the tokenizer fails on it; holds nothing of the text.
        """
        try:
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        except Exception as error:  # noqa: BLE001 - what it says may quote the text
            kind = type(error).__name__
        raise MarginError(
            f"the tokenizer fails on a conversation ({kind}): it may lack an unknown token, or a setting in "
            "its files is of the wrong kind"
        )

    def _apply(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        outcome = self._outcome(messages, add_generation_prompt)
        if isinstance(outcome, str):
            return outcome
        raise MarginError(self._complaint(messages, add_generation_prompt))

    def _complaint(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        """What went wrong, in the template's words about the same roles without their contents."""
        roles = [message["role"] for message in messages]
        blank = [{**message, "content": "x"} for message in messages]
        error = self._outcome(blank, add_generation_prompt)
        import jinja2  # slow to import, and only a fault needs it

        if isinstance(error, jinja2.TemplateSyntaxError):
            return f"line {error.lineno} of the chat template is no Jinja ({shown(words(error))}): {_OTHER}"
        reason = "it objects to the text of a message" if isinstance(error, str) else _reason(error)
        advice = _OTHER
        without = [message for message in messages if message["role"] != "system"]
        if 0 < len(without) < len(messages) and isinstance(
            self._outcome(without, add_generation_prompt), str
        ):
            advice = 'set placement = "user-prefix" in [template] of the modes file'
        return f"the chat template refuses a conversation of {', '.join(roles)} ({reason}): {advice}"

    def _outcome(self, messages: Sequence[Message], add_generation_prompt: bool) -> str | Exception:
        """A rendering, or what the template raised; that may quote the messages, and is not to be shown."""
        return self._rendered(
            [_in_parts(message) if self._takes_parts(message["role"]) else message for message in messages],
            add_generation_prompt,
        )

    def _takes_parts(self, role: str) -> bool:
        """Whether a role's text is written only when it comes as a list of parts. Asked once a role."""
        if role not in self._parts:
            probe = {"role": role, "content": _PROBE}
            other = {"role": "user", "content": "x"}
            if role != "user" and self._takes_parts("user"):
                other = _in_parts(other)
            around = {"system": ([], [other]), "assistant": ([other], [])}
            before, after = around.get(role, ([], []))
            self._parts[role] = not self._writes([*before, probe, *after]) and self._writes(
                [*before, _in_parts(probe), *after]
            )
        return self._parts[role]

    def _writes(self, messages: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the text comes out as text, and not with the list around it as Python or JSON shows one."""
        text = self._rendered(messages, add_generation_prompt=False)
        if not isinstance(text, str):
            return False
        return _PROBE in text and not re.search(rf"""["']text["']: ?["']{_PROBE}""", text)

    def _rendered(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool
    ) -> str | Exception:
        try:
            with at_most(PATIENCE):
                text: str = self.tokenizer.apply_chat_template(
                    list(messages),
                    chat_template=self.chat_template,
                    tokenize=False,
                    add_generation_prompt=add_generation_prompt,
                    **self.kwargs,
                )
                return text
        except TimeoutError as error:
            endless = str(error)
        except Exception as error:  # noqa: BLE001 - a template is a program: anything may come out of it
            return error
        raise MarginError(f"the chat template does not come to an end ({endless}): {_OTHER}")


def _in_parts(message: Mapping[str, Any]) -> dict[str, Any]:
    return {**message, "content": [{"type": "text", "text": message["content"]}]}


def _reason(error: Exception) -> str:
    """An error's words; its kind before them where it is no refusal that the template's author wrote."""
    if isinstance(error, RecursionError):
        return "it calls itself without end"
    said = shown(words(error))
    kind = type(error).__name__
    return said if kind in ("TemplateError", said) else f"{kind}: {said}"


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (
        TypeError,
        ValueError,
        RecursionError,
    ):  # UnicodeEncodeError, of half a surrogate pair, is the second
        return False
    return True
