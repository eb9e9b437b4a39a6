"""What the end of a rendering says by its marks: whether a thought is opened there, or closed."""

from __future__ import annotations

import re
from dataclasses import dataclass

MARK = re.compile(r"<[^<>\n]{1,60}>|\[/?\w{2,30}\]|[◁【][^◁▷【】\n]{1,30}[▷】]")
_CLOSES = re.compile(
    r"^.\|?/|^<[^|]*\|>$|(?<![a-z])(end|eo[a-z]|close|stop)|(?<=[a-z])_?end\W*$", re.IGNORECASE
)
_ANSWERS = re.compile(r"answer|response|final|solution|output|reply", re.IGNORECASE)
THINKS = re.compile(r"think|thought|reason|analy[sz]|scratch|reflect", re.IGNORECASE)


@dataclass(frozen=True)
class Thought:
    """How the template writes a thought: all after the prompt, and all before the answer."""

    opens: str
    closes: str


def leaves_open(tail: str, opening: str | None, thought: Thought | None) -> bool:
    """Whether the tail opens something that a finished answer does not, and does not close it."""
    if ends_with(tail, thought.closes if thought else ""):
        return False
    if (
        thought
        and thought.opens.rstrip() == tail.rstrip()
        and thought.opens.rstrip() != (opening or "").rstrip()
    ):
        return True
    rest, missing = apart(tail, opening)
    if ends_with(rest, missing):
        return False
    marks = MARK.findall(rest)
    if not marks:
        return bool(THINKS.search(rest))
    return not _CLOSES.search(marks[-1]) and not _ANSWERS.search(marks[-1])


def closes(tail: str, than: str | None, thought: Thought | None) -> bool:
    """Whether the tail ends a thought, by all that it has and the other text has not."""
    return ends_with(tail, thought.closes if thought else "") or last_closes(apart(tail, than)[0])


def last_closes(text: str) -> bool:
    """Whether the last mark in a text is named as one that closes."""
    marks = MARK.findall(text)
    return bool(marks) and is_closing(marks[-1])


def is_closing(mark: str) -> bool:
    """Whether a mark is named as one that closes."""
    return bool(_CLOSES.search(mark))


def ends_with(text: str, end: str) -> bool:
    """Whether a text ends with another that is not empty, white space apart."""
    return bool(end.strip()) and text.rstrip().endswith(end.strip())


def apart(a: str, b: str | None) -> tuple[str, str]:
    """What follows in each text where they part, no mark being cut.

    Without a text to compare names have to do: then `a` from the first mark on that is named like a thought.
    """
    if b is None:
        named = (mark for mark in MARK.finditer(a) if THINKS.search(mark[0]))
        return a[next((mark.start() for mark in named), len(a)) :], ""
    n = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    for text in (a, b):
        for mark in MARK.finditer(text):
            if mark.start() < n < mark.end():
                n = mark.start()
    return a[n:], b[n:]
