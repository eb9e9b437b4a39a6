"""Errors a user can cause. Each is one line that says what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from textwrap import shorten
from typing import ParamSpec, TypeVar

from margin.text import CUT

P = ParamSpec("P")
T = TypeVar("T")

LONGEST = 300
"""Characters kept at most of another library's words."""


class MarginError(Exception):
    """Bad input or a refused request. The command line prints the message and ends with `exit_code`."""

    exit_code: int = 2


class IncomparableError(MarginError):
    """Two runs (or a run and a baseline) differ in something that makes their margins incomparable."""

    exit_code = 4


class UnknownArgumentError(MarginError, TypeError):
    """A keyword that a function has not. A TypeError as well, as Python has it."""


class UnwritableError(MarginError, OSError):
    """Something cannot be written: no room, no permission, a folder that is gone. An OSError as well."""


class MarginWarning(UserWarning):
    """What a caller should know of a result that stands. The command line says it in a line of its own."""


@contextmanager
def foreign(what: str) -> Iterator[None]:
    """Whatever another library raises in this block is a fault of a user's file: one line, `what: its words`.

    For the program's edge only, around the call that hands a file of the user's to a library (loading a
    checkpoint, parsing JSON, compiling a template): no list of exceptions is long enough for what files can
    do to a parser. Nothing of our own belongs into the block, for its faults would be hidden.

    Raises
    ------
    MarginError : in place of what was raised. One that is raised inside passes, and so does a lack of memory.

    Example
    -------
    >>> with foreign("prompts.parquet is not a Parquet file that can be read"):
    ...     table = pq.read_table(data)
    """
    try:
        yield
    except (MarginError, MemoryError):
        raise
    except RecursionError:
        raise MarginError(f"{what}: it is nested too deeply") from None
    except SystemExit:
        raise MarginError(f"{what}: it ends the program") from None
    except Exception as error:
        raise MarginError(f"{what}: {words(error)}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of a library in Rust, and no Exception
            raise
        raise MarginError(f"{what}: {words(error)}") from None


def discreet(function: Callable[P, T]) -> Callable[P, T]:
    """A function whose MarginErrors show none of the frames below it: their variables hold magic tokens.

    What prints a traceback with the frames' variables (pytest --showlocals, rich, a crash reporter) would
    show a token that was revealed there to be rendered or compared. A fault of ours keeps its traceback.
    """

    @wraps(function)
    def without_frames(*args: P.args, **kwargs: P.kwargs) -> T:
        found: MarginError
        try:
            return function(*args, **kwargs)
        except MarginError as error:
            found = error
        del args, kwargs
        raise found.with_traceback(None) from None

    return without_frames


def words(error: BaseException) -> str:
    """What an error says, on one line of at most `LONGEST` characters; its kind where it says nothing.

    It is cut between words, as `margin.text.brief` cuts. A
    KeyError says no more than the name that was looked for.
    """
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if isinstance(error, KeyError) and len(error.args) == 1:
        name = str(error.args[0])  # some raise it with a whole sentence
        text = name if len(name.split()) > 3 else f"there is no {text}"
    if isinstance(error, ZeroDivisionError):
        text = f"{text} (a size or a number in it is 0)"
    line = shorten(text, LONGEST, placeholder=CUT)
    return line if line.strip(CUT) else type(error).__name__
