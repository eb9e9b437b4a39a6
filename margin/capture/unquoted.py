"""Errors while rows are run, without the numbers they quote: token ids spell out a live token."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from margin.errors import MarginError

_NUMBER = re.compile(r"[^\s,()\[\]]*\d[^\s,()\[\]]*")
"""A number with the word it stands in: of a token with its digits taken out nobody would know any more that
it is one."""


@contextmanager
def unquoted() -> Iterator[None]:
    """Whatever a model raises in this block keeps its kind, its traceback and its words, but no numbers.

    Errors of ours and of the operating system pass: they hold no ids.
    """
    try:
        yield
    except (MarginError, OSError, MemoryError):
        raise
    except SystemExit:  # would end the command in silence, or with the ids it was given
        raise MarginError("the model ends the program (SystemExit) in its forward pass") from None
    except Exception as error:
        behind = _chain(error)
        for one in behind:
            one.args = (_NUMBER.sub("#", str(one)),)
            one.__notes__ = []
        if any(_NUMBER.search(str(one)) for one in behind):  # words that are not made of its arguments
            raise RuntimeError(f"the model raised {type(error).__name__}") from None
        raise


def _chain(error: BaseException) -> list[BaseException]:
    """An error, and all that a traceback shows with it."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and all(one is not other for other in found):
            found.append(one)
            waiting += [one.__cause__, one.__context__]
    return found
