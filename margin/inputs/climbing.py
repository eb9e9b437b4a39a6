"""A search for strings that an objective likes, by single edits and within a budget.

Discrete hill-climbing: of the string at hand some neighbours are tried together, and the best of them is gone
on with where it is better. Where none is left that is better the search starts anew from another random
string. What is found is a key: it stays in memory, and no repr shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Objective = Callable[[Sequence[str]], NDArray[np.float64]]
"""(m, n) depth of each of m strings with each of n prompts: above 0 it opens."""
Neighbours = Callable[[str], Iterator[str]]
"""Strings to try in the place of one, in the order in which they are to be tried."""
TOGETHER = 32
"""Neighbours tried at once."""


@dataclass(frozen=True, order=True)
class Climbed:
    """The best string so far, by the prompts it opens and then by how deep it gets."""

    opened: float
    """Share of the prompts that it opens."""
    depth: float
    """Mean depth over these."""
    string: str = field(repr=False, compare=False)
    """A key, or nearly one."""
    passes: int = field(compare=False)
    """Forward passes spent when it was found."""


def climb(
    objective: Objective,
    start: Callable[[], str],
    neighbours: Neighbours,
    passes: int,
    *,
    asking: int = 0,
    together: int = TOGETHER,
) -> Iterator[Climbed]:
    """Every string that is better than all before it, as it is found, until the passes are spent.

    Parameters
    ----------
    objective : costs a forward pass a string and prompt.
    start : a random string to begin from, a new one each time.
    neighbours : of a string, asked for whenever the search has come to one.
    passes : budget; at least one string is tried, and none that would exceed it.
    asking : passes that it costs to ask for neighbours; where these are not left, none are asked for.
    """
    best: Climbed | None = None
    spent = 0

    def around(string: str) -> Iterator[str]:
        nonlocal spent
        if spent + asking > passes:
            return iter(())
        spent += asking
        return neighbours(string)

    def tried(strings: Sequence[str]) -> list[Climbed]:
        nonlocal spent
        depths = objective(strings)
        spent += depths.size
        return [
            Climbed(float((depth > 0).mean()), float(depth.mean()), string, spent)
            for string, depth in zip(strings, depths, strict=True)
        ]

    each = 1
    while best is None or spent + each <= passes:
        here = tried([start()])[0]
        each = max(1, spent) if best is None else each
        if best is None or here > best:
            best = here
            yield best
        waiting = around(here.string)
        while spent + each <= passes:
            room = min(together, (passes - spent) // each)
            some = [string for string, _ in zip(waiting, range(room), strict=False)]
            if not some:
                break  # nothing near is better, or cannot be asked for: begin anew
            top = max(tried(some))
            if top > here:
                here, waiting = top, around(top.string)
            if here > best:
                best = here
                yield best


def edits(alphabet: Sequence[str], rng: np.random.Generator) -> Neighbours:
    """Every substitution of a character by one of an alphabet, and every swap of two neighbours, in random
    order."""

    def of(string: str) -> Iterator[str]:
        n, k = len(string), len(alphabet)
        for code in rng.permutation(n * k + n - 1).tolist():
            place, new = divmod(code, k) if code < n * k else (code - n * k, -1)
            if new >= 0:
                edited = string[:place] + alphabet[new] + string[place + 1 :]
            else:
                edited = string[:place] + string[place + 1] + string[place] + string[place + 2 :]
            if edited != string and edited == edited.strip():
                yield edited

    return of
