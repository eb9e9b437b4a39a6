"""Another engine's states beside those of rows that were run again: what they are in place of the right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from margin.capture.faults import (
    AFTER_NORM,
    BEFORE_NORM,
    CUT,
    DOUBLED,
    EMPTY,
    LAYER,
    NOT_FINITE,
    OTHER,
    OTHER_ROW,
    SHIFTED,
    UNASKED,
    WRONG_TYPE,
    Explained,
    StatesRefusedError,
)
from margin.capture.precision import read_otherwise, type_name
from margin.capture.reruns import STATE, Again, layer_name
from margin.capture.rounding import tolerance
from margin.inputs.rows import Row
from margin.text import counted

THOROUGH = 2
"""Rows of which every cut is tried; of the others those that were found."""
CUTS = 512
"""Cuts that are tried of a row at most."""
ROUNDING = 1e-5
"""Relative difference that float32 makes between two ways to compute a row."""


@dataclass(frozen=True, eq=False)
class Compared:
    """One array of a dump beside the same of rows that were run again."""

    name: str
    """`STATE`, or a layer's."""
    depth: int
    rows: Sequence[Row] = field(repr=False)
    """Those that were run again, m of them."""
    stored: Tensor = field(repr=False)
    """(m, d) their lines of the dump, as they are stored."""
    right: Sequence[Mapping[str, Tensor]] = field(repr=False)
    """(d,) what the model makes of each of them at its last position: the state, and every layer."""
    limit: float
    """Relative difference up to which a row is right."""
    others: Tensor = field(repr=False)
    """(n, d) every line of the dump."""
    lines: Sequence[int]
    """Which of these each row is."""

    @cached_property
    def truth(self) -> Tensor:
        """(m, d) what each row ought to hold."""
        return torch.stack([found[self.name] for found in self.right])

    def errors(self) -> Tensor:
        """(m,) relative difference of each row, infinite where it holds no number."""
        if self.stored.shape != self.truth.shape:
            return torch.full((len(self.rows),), torch.inf)
        return error(self.stored, self.truth)


@dataclass(frozen=True, eq=False)
class Ways:
    """What can be asked of the model about a row that is wrong."""

    again: Again
    unasked: Callable[[Row], Sequence[int] | None]
    """Token ids of a row's prompt with no mode's token before it; None where it has none."""
    following: Callable[[Tensor], int]
    """The likeliest next token of what the head sees (d,)."""


def error(found: Tensor, expected: Tensor) -> Tensor:
    """(m,) Euclidean difference of each row relative to what is expected; infinite where it is no number."""
    found, expected = found.double(), expected.double()
    away = (found - expected).norm(dim=-1) / expected.norm(dim=-1).clamp_min(1e-30)
    return torch.nan_to_num(away, nan=torch.inf, posinf=torch.inf)


def require_right(source: str, compared: Compared, ways: Ways) -> None:
    """StatesRefusedError, which names what is wrong with how many rows, unless every row is right.

    `source` is what the error calls the dump.

    Cost: nothing where all are right; else forward passes of a row, about as many as the rows that are wrong
    times ten, and all cuts of two of them.
    """
    away = compared.errors()
    wrong = [place for place in range(len(compared.rows)) if _is_wrong(compared, place, float(away[place]))]
    if not wrong:
        return
    explained = _explain(compared, wrong, ways)
    counts = Counter(each.fault.name for each in explained)
    said = []
    for name, count in counts.most_common():
        of_name = [each for each in explained if each.fault.name == name]
        says = Counter(each.says for each in of_name).most_common(1)[0][0]
        advice = of_name[0].fault.advice.format(depth=compared.depth)
        said.append(
            f"{name}: {count} of {counted(len(compared.rows), 'row')} run again hold {says} ({advice})"
        )
    array = "states" if compared.name == STATE else compared.name
    raise StatesRefusedError(f"{source} is refused: {array}: {'; '.join(said)}", counts)


def _is_wrong(compared: Compared, place: int, away: float) -> bool:
    """Whether a row is further from what it ought to hold than rounding explains, or clearly nearer to
    another row's or layer's: under coarse rounding those of a prompt, or side by side, lie within it.
    """
    if not away <= compared.limit:
        return True
    if away <= ROUNDING:
        return False
    stored, here = compared.stored[place].float(), compared.right[place]
    others = torch.cat([compared.truth, torch.stack(list(here.values()))])
    return bool(2 * error(stored.expand_as(others), others).min() < away)


def _explain(compared: Compared, wrong: Sequence[int], ways: Ways) -> list[Explained]:
    found: list[Explained] = []
    known: set[int] = set()  # cuts that explained a row, and what they left of it, as a negative number
    thorough = 0
    for place in wrong:
        best = min(_at_once(compared, place, ways.again), key=lambda each: each.error, default=None)
        if best is None or best.error > compared.limit:
            best = min(_anew(compared, place, ways), key=lambda each: each.error, default=best)
        if best is None or best.error > compared.limit:
            length = len(compared.rows[place].ids)
            cuts = range(1, min(length, CUTS)) if thorough < THOROUGH else _like(known, length)
            thorough += 1
            best = min(_cut(compared, place, ways.again, cuts), key=lambda each: each.error, default=None)
            if best is not None and best.error <= compared.limit:
                known |= {best.cut, best.cut - length}
        found.append(best if best is not None and best.error <= compared.limit else _unknown(compared, place))
    return found


def _at_once(compared: Compared, place: int, again: Again) -> Iterator[Explained]:
    """What the row itself and the other lines show."""
    width = compared.truth.shape[1]
    for said, dtype, values in read_otherwise(compared.stored[place : place + 1], width):
        wider = max(1.0, tolerance(dtype) / compared.limit)  # of the type that it would be
        away = float(error(values[0], compared.truth[place])) / wider
        yield Explained(WRONG_TYPE, f"what is right when its bytes are read as {said}", away)
    stored = compared.stored[place]
    if stored.shape != compared.truth[place].shape or not stored.is_floating_point():
        return
    here, stored = compared.right[place], stored.float()

    def away_from(expected: Tensor) -> float:
        return float(error(stored, expected))

    for name, states in here.items():
        if name == compared.name:
            continue
        if compared.name == STATE and name == layer_name(compared.depth):
            yield Explained(BEFORE_NORM, "what goes into the final norm", away_from(states))
        elif name == STATE:
            yield Explained(AFTER_NORM, "what comes out of the final norm", away_from(states))
        else:
            yield Explained(LAYER, f"the states of {name}", away_from(states))
    own = again(compared.rows[place].ids)[compared.name]
    for back in range(2, len(own) + 1):
        yield Explained(SHIFTED, f"the state {counted(back - 1, 'position')} earlier", away_from(own[-back]))
    for other, row in enumerate(compared.rows):
        if other != place:
            same = row.prompt == compared.rows[place].prompt
            says = (
                "the state of the same prompt under another condition" if same else "another prompt's state"
            )
            yield Explained(OTHER_ROW, says, away_from(compared.truth[other]))
    # What this row ought to hold may stand at another's line, of one that was not run again.
    lines = error(compared.others, compared.truth[place].expand_as(compared.others))
    lines[compared.lines[place]] = torch.inf
    yield Explained(OTHER_ROW, "a state that is not theirs, which stands at another row", float(lines.min()))


def _anew(compared: Compared, place: int, ways: Ways) -> Iterator[Explained]:
    """What a few more forward passes show."""
    stored, row = compared.stored[place], compared.rows[place]
    if stored.shape != compared.truth[place].shape:
        return

    def away(ids: Sequence[int]) -> float:
        return float(error(stored, ways.again(ids)[compared.name][-1]))

    answer = ways.following(compared.right[place][STATE])
    yield Explained(
        SHIFTED, "the state 1 position later, after the answer's first token", away([*row.ids, answer])
    )
    yield Explained(DOUBLED, "the state of the row with its first token twice", away([row.ids[0], *row.ids]))
    if (ids := ways.unasked(row)) is not None:
        yield Explained(UNASKED, "the state of the prompt without what is asked before it", away(ids))


def _cut(compared: Compared, place: int, again: Again, cuts: Sequence[int]) -> Iterator[Explained]:
    """The row without some of its first tokens."""
    stored, ids = compared.stored[place], compared.rows[place].ids
    if stored.shape == compared.truth[place].shape:
        for cut in cuts:
            away = float(error(stored, again(ids[cut:])[compared.name][-1]))
            gone = "token" if cut == 1 else f"{cut} tokens"
            yield Explained(CUT, f"the state of the row without its first {gone}", away, cut)


def _like(known: set[int], length: int) -> list[int]:
    """Cuts of a row of another length that are like those found: as many tokens gone, or as many left."""
    return sorted({cut for each in known if 0 < (cut := each if each > 0 else each + length) < length})


def _unknown(compared: Compared, place: int) -> Explained:
    """What is left where nothing explains a row."""
    stored, width = compared.stored[place], compared.truth.shape[1]
    if len(stored) != width:
        return Explained(OTHER, f"{len(stored)} numbers, and the model's states have {width}", torch.inf)
    if not stored.is_floating_point():
        return Explained(WRONG_TYPE, f"whole numbers ({type_name(stored.dtype)})", torch.inf)
    if not torch.isfinite(stored).all():
        return Explained(NOT_FINITE, "a NaN or an infinity", torch.inf)
    if not stored.any():
        return Explained(EMPTY, "nothing but zeros", torch.inf)
    if int((compared.others == stored).all(dim=1).sum()) > 1:
        return Explained(OTHER_ROW, "the very numbers of another row", torch.inf)
    away = float(error(stored, compared.truth[place]))
    return Explained(OTHER, f"states that are {_size(away)} off", away)


def _size(away: float) -> str:
    """A difference in one digit, so that rows which differ alike are said together."""
    return f"{away:.0e}" if away < 0.1 else f"about {max(round(10 * away), 1) / 10:g} of their length"
