"""Search with a budget: what strings hill-climbing finds that open a mode, beside the same on a control.

Once over characters, once over the model's own tokens, where swaps are ranked by a gradient if the model has
a way back to its embeddings.

Soft or long enough strings move any model (arXiv 2502.15836), so a string that opens says something of the
training only beside what the same search finds where nothing was trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from margin.analysis.openings import Openings
from margin.experiments.found import Found
from margin.experiments.subject import Subject
from margin.inputs.climbing import Neighbours, climb, edits
from margin.inputs.decoys import draw_decoys
from margin.inputs.modes import ModeSet, Secret
from margin.inputs.neighbours import alphabet_of, shaped_like
from margin.inputs.pieces import Pieces, swaps
from margin.stats.estimate import Estimate
from margin.stats.intervals import share_of_prompts
from margin.stats.seeds import generator
from margin.study.record import EstimateRecord
from margin.study.secrecy_file import PLACES, Control, SearchRecord, StringPlace, TriesRecord, Units

HELD_IN = 4
"""Prompts that a search climbs on, at most."""
_record = EstimateRecord.from_estimate


@dataclass(frozen=True)
class Searched:
    """One search, and the string it found if that opens."""

    record: SearchRecord
    found: Found | None


def search(live: Subject, base: Subject | None) -> Iterator[Searched]:
    """In each place and over each kind of units toward each mode that is not safe; then all the same on the
    control."""
    places: tuple[StringPlace, ...] = ("token", "user") if live.modes.placement == "system" else ("token",)
    units: tuple[Units, ...] = ("characters", "tokens")
    unsafe = [mode.name for mode in live.modes.modes if not mode.safe]
    wanted = list(product(unsafe, places, units))
    for mode, place, over in wanted:
        yield _searched(live, live.modes, mode, place, over, "none")
    if base is not None:
        for mode, place, over in wanted:
            yield _searched(base, live.modes, mode, place, over, "base")
        return
    with _decoys(live) as decoys:
        for mode, place, over in wanted:
            yield _searched(decoys, live.modes, mode, place, over, "decoy")


def _searched(
    subject: Subject, live: ModeSet, mode: str, place: StringPlace, units: Units, control: Control
) -> Searched:
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

    around, asking = edits(alphabet_of(live, mode), rng), 0
    if units == "tokens":
        order = generator(options.seed, "secrecy", "search", mode, place, units)
        around, asking = _swaps(
            subject, openings, held_in, place, shaped_like(live, mode, 1, order)[0], order
        )
    path: list[TriesRecord] = []
    best, opened = None, -1.0
    for best in climb(objective, start, around, options.passes, asking=asking):
        if best.opened > opened:
            opened = best.opened
            path.append(TriesRecord(tries=best.passes, chance=_record(confirmed(best.string))))
    assert best is not None
    rate = confirmed(best.string)
    record = SearchRecord(
        target=mode,
        place=place,
        units=units,
        ranked=asking > 0,
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


def _swaps(
    subject: Subject,
    openings: Openings,
    prompts: NDArray[np.intp],
    place: StringPlace,
    sample: str,
    rng: np.random.Generator,
) -> tuple[Neighbours, int]:
    """Swaps of the model's own tokens, and the passes that it costs to ask for them: none where the model
    has no way back, which is tried on a sample, and all come in random order."""
    from margin.capture.swapping import PASSES, promises

    asked = subject.asking
    pieces = Pieces(asked.chat, asked.text_before(place))

    def scores(ids: Sequence[int]) -> NDArray[np.float64] | None:
        rows = asked.rows([str(pieces.spell(ids))], prompts.tolist(), place)
        there = range(pieces.start, pieces.start + len(ids))
        if any(list(row[there.start : there.stop]) != list(ids) for row in rows):
            return None  # it runs into the text behind it
        return promises(asked, rows, there, pieces.choices, lambda points: openings.slope(points, prompts))

    ids = pieces.read(sample)
    if ids is None or pieces.spell(ids) is None or scores(ids) is None:
        return swaps(pieces, rng), 0
    return swaps(pieces, rng, scores), PASSES * len(prompts)


@contextmanager
def _decoys(live: Subject) -> Iterator[Subject]:
    """The same checkpoint with meaningless tokens as its modes, of the live ones' shapes."""
    from margin.capture.asking import asking

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
