"""The variables of a chat template that may switch thinking: what each does, shown by renderings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.frame import PROMPT_PROBE
from margin.inputs.modes import Message

OFF = (False, True, 0, "none")
"""Values that may switch thinking off; true does where the switch is named the other way round."""
SWITCH = re.compile(r"think|thought|reason", re.IGNORECASE)
_NEGATIVE = re.compile(r"^(no|non|not|disable|skip|without|hide|omit)(_|think|reason)", re.IGNORECASE)


def switch_names(chat: Chat, besides: Iterable[str] = ()) -> list[str]:
    """Names in the template that may switch thinking and are not set, or among `besides`.

    To set what is no variable is idle.
    """
    import jinja2  # slow to import, and most commands read no template

    names = {name for _, kind, name in jinja2.Environment().lex(chat.template) if kind == "name"}
    return sorted(name for name in names - (set(chat.kwargs) - set(besides)) if SWITCH.search(name))


class Switch:
    """What the rendering is with a variable as it is by default, and at values that may be its off."""

    def __init__(self, chat: Chat, talk: list[Message], name: str) -> None:
        self.name = name
        self.default = chat.render_once(talk)
        self.at: list[tuple[Any, str]] = []
        for value in OFF:
            try:
                self.at.append((value, replace(chat, kwargs={**chat.kwargs, name: value}).render(talk)))
            except MarginError:  # a value that the template refuses
                continue

    def _is(self, wanted: bool) -> bool:
        """Whether the default reads as a truth value does, and not as the other one."""
        same = {value: text == self.default for value, text in self.at if isinstance(value, bool)}
        return same == {wanted: True, not wanted: False}

    @property
    def is_off(self) -> bool:
        """Thinking is off by default."""
        return self._is(bool(_NEGATIVE.search(self.name)))

    @property
    def is_on(self) -> bool:
        """Thinking is on by default."""
        return self._is(not _NEGATIVE.search(self.name))


def switched_off(switches: list[Switch], suits: Callable[[str], bool]) -> dict[str, Any]:
    """The first switch and value with a tail that suits; {} where there is none."""
    for switch in switches:
        for value, text in switch.at:
            if suits(text.partition(PROMPT_PROBE)[2]):
                return {switch.name: value}
    return {}


def off_where_on(switches: list[Switch]) -> dict[str, Any]:
    """A switch that is on by default, off."""
    return next(
        ({switch.name: bool(_NEGATIVE.search(switch.name))} for switch in switches if switch.is_on), {}
    )


def is_budget(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def is_level(value: object) -> bool:
    """Whether a value is a text that chooses how much to think, "high", and not one that switches it off."""
    return isinstance(value, str) and value.strip().lower() not in ("", "off", "no", "none", "false", "0")
