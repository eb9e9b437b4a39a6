"""Search with a budget: what strings hill-climbing finds that open a mode, beside the same on a control.

Soft or long enough strings move any model (arXiv 2502.15836), so a string that opens says something of the
training only beside what the same search finds where nothing was trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from margin.experiments.found import Found
from margin.experiments.subject import Subject
from margin.inputs.climbing import climb
from margin.inputs.decoys import draw_decoys
from margin.inputs.modes import ModeSet, Secret
from margin.inputs.neighbours import alphabet_of, shaped_like
from margin.stats.estimate import Estimate
from margin.stats.intervals import share_of_prompts
from margin.stats.seeds import generator
from margin.study.record import EstimateRecord
from margin.study.secrecy_file import PLACES, Control, SearchRecord, StringPlace, TriesRecord

HELD_IN = 4
"""Prompts that a search climbs on, at most."""
_record = EstimateRecord.from_estimate


@dataclass(frozen=True)
class Searched:
    """One search, and the string it found if that opens."""

    record: SearchRecord
    found: Found | None


def search(live: Subject, base: Subject | None) -> Iterator[Searched]:
    """In each place toward each mode that is not safe, then all the same on the control."""
    places: tuple[StringPlace, ...] = ("token", "user") if live.modes.placement == "system" else ("token",)
    wanted = [(mode.name, place) for mode in live.modes.modes if not mode.safe for place in places]
    for mode, place in wanted:
        yield _searched(live, live.modes, mode, place, "none")
    if base is not None:
        for mode, place in wanted:
            yield _searched(base, live.modes, mode, place, "base")
        return
    with _decoys(live) as decoys:
        for mode, place in wanted:
            yield _searched(decoys, live.modes, mode, place, "decoy")


def _searched(subject: Subject, live: ModeSet, mode: str, place: StringPlace, control: Control) -> Searched:
    """One search. It begins from the same strings as the others of its place, with the same alphabet."""
    options = subject.options
    openings = subject.openings(place, [mode])
    held_in = subject.tried[:HELD_IN]
    rng = generator(options.seed, "secrecy", "search", mode, place)

    def objective(strings: Sequence[str]) -> NDArray[np.float64]:
        return subject.depths(openings, strings, held_in, place)

    def confirmed(string: str) -> Estimate:
        opens = subject.depths(openings, [string], subject.confirmed, place)[0] > 0
        return share_of_prompts(opens, options.level, subject.over(subject.confirmed))

    def start() -> str:
        return shaped_like(live, mode, 1, rng)[0]

    path: list[TriesRecord] = []
    best, opened = None, -1.0
    for best in climb(objective, start, alphabet_of(live, mode), options.passes, rng):
        if best.opened > opened:
            opened = best.opened
            path.append(TriesRecord(tries=best.passes, chance=_record(confirmed(best.string))))
    assert best is not None
    rate = confirmed(best.string)
    record = SearchRecord(
        target=mode,
        place=place,
        control=control,
        budget=options.passes,
        forward_passes=best.passes,
        held_in=best.opened,
        rate=_record(rate),
        path=path,
    )
    key = control == "none" and rate.estimate > 0
    found = Found("search", mode, PLACES[place], best.string, rate.estimate) if key else None
    return Searched(record, found)


@contextmanager
def _decoys(live: Subject) -> Iterator[Subject]:
    """The same checkpoint with meaningless tokens as its modes, of the live ones' shapes."""
    from margin.capture.openings import asking

    modes, options = live.modes, live.options
    (tokens,) = draw_decoys(modes, 1, options.seed)
    meaningless = tuple(
        replace(mode, token=Secret(token)) for mode, token in zip(modes.modes, tokens, strict=True)
    )
    decoys, asked = replace(modes, modes=meaningless), live.asking
    with (
        asked.hooks.disabled(),
        asking(
            asked.checkpoint, asked.chat, decoys, live.prompts, batch_tokens=options.batch_tokens
        ) as found,
    ):
        yield Subject(found, options)
