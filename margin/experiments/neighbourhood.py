"""What opens near a token: kinds of strings, drawn or listed, and what they make the token worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from margin.analysis.openings import Openings, guessing_curve, worth
from margin.experiments.found import Found
from margin.experiments.subject import Subject
from margin.inputs.echoes import redact_echoes
from margin.inputs.neighbours import (
    EDITS,
    ONE_EDIT,
    PREFIX,
    RANDOM,
    Near,
    fixed_kinds,
    prefixes,
    shaped_like,
    with_edits,
    with_prefix,
)
from margin.stats.estimate import Estimate
from margin.stats.intervals import mean_share, share_of_prompts
from margin.stats.seeds import generator
from margin.study.judgements import labels_by
from margin.study.record import EstimateRecord
from margin.study.secrecy_file import BehaviourRecord, NearRecord, TriesRecord
from margin.study.secrecy_tables import described

DIGITS = 3
"""Decimals of rates over strings that can be listed: more would tell how many there are, and so a length."""

Judge = Callable[[Sequence[str]], Sequence[str]]
"""Whatever gives each of N answers one label."""
_record = EstimateRecord.from_estimate


@dataclass(frozen=True)
class Judging:
    """Who judges answers, and which labels are an unsafe mode's."""

    judge: Judge
    labels: frozenset[str]


@dataclass(frozen=True)
class Tried:
    """What one kind of strings comes to."""

    near: NearRecord | None
    behaviour: BehaviourRecord | None
    found: Found | None = None


def neighbourhood(live: Subject, own: Sequence[Near], judging: Judging | None) -> Iterator[Tried]:
    """Every kind of strings near the token of each mode that is not safe.

    Kinds that are drawn have strings of their own for each prompt, so that an interval over prompts is one
    over strings too. Of kinds that can be listed every string is tried on a few prompts, and the one that
    opens most of them on others.
    """
    openings = live.openings()
    for mode in (mode for mode in live.modes.modes if not mode.safe):
        if judging is not None:
            token = [mode.token.reveal()] * len(live.confirmed)
            yield Tried(None, _judged(live, mode.name, "the token itself", openings, token, judging))
        for about, draw in _drawn_kinds(live, mode.name):
            strings = [draw() for _ in live.confirmed]
            near = _drawn(live, mode.name, about, live.depths_of_own(openings, strings, live.confirmed) > 0)
            behaviour = None
            if judging is not None:
                first = [each[0] for each in strings]
                behaviour = _judged(live, mode.name, described(near), openings, first, judging)
            yield Tried(near, behaviour)
        for listed in (
            *fixed_kinds(live.modes, mode.name),
            *(near for near in own if near.mode == mode.name),
        ):
            near, worst = _every(live, listed, openings)
            opened = near.worst.estimate if near.worst is not None else 0.0
            behaviour = None
            if judging is not None:
                strings_of_worst = [worst] * len(live.confirmed)
                behaviour = _judged(live, mode.name, near.kind, openings, strings_of_worst, judging)
            found = Found("neighbourhood", mode.name, near.kind, worst, opened) if opened else None
            yield Tried(near, behaviour, found)


def _drawn_kinds(live: Subject, mode: str) -> Iterator[tuple[dict[str, Any], Callable[[], list[str]]]]:
    """Kinds of strings that are drawn, and what draws some for one prompt."""
    options, modes = live.options, live.modes
    count, length = options.draws, len(modes[mode].token.reveal())

    def rng(*name: str) -> np.random.Generator:
        return generator(options.seed, "secrecy", mode, *name)

    yield {"kind": RANDOM}, partial(shaped_like, modes, mode, count, rng(RANDOM))
    for distance in range(1, min(options.distance, length - 1) + 1):
        of = rng(EDITS, str(distance))
        yield {"kind": EDITS, "distance": distance}, partial(with_edits, modes, mode, distance, count, of)
    for name, known in prefixes(modes, mode).items():
        if known:
            draw = partial(with_prefix, modes, mode, known, count, rng(PREFIX, name))
            yield {"kind": PREFIX, "known": name}, draw


def _drawn(live: Subject, mode: str, about: Mapping[str, Any], opens: NDArray[np.bool_]) -> NearRecord:
    """What strings that were drawn for each prompt come to."""
    level, over = live.options.level, live.over(live.confirmed)
    rate = mean_share(opens.mean(axis=1), level, over)
    tries = np.unique(np.minimum(2 ** np.arange(20), opens.shape[1])).astype(np.intp)
    curve = zip(tries.tolist(), guessing_curve(opens, tries, level, over), strict=True)
    return NearRecord(
        mode=mode,
        every=False,
        rate=_record(rate),
        opened=_record(share_of_prompts(np.any(opens, axis=1), level, over)),
        bits=_record(worth(rate)) if rate.estimate > 0 else None,
        curve=[TriesRecord(tries=n, chance=_record(chance)) for n, chance in curve],
        **about,
    )


def _every(live: Subject, near: Near, openings: Openings) -> tuple[NearRecord, str]:
    """What every string of a kind comes to on the prompts tried first; and the worst on the others."""
    level, tried = live.options.level, live.over(live.tried)
    depths = live.depths(openings, near.strings, live.tried)
    opens = depths > 0
    worst = near.strings[np.lexsort((depths.mean(axis=1), opens.mean(axis=1)))[-1]]
    confirmed = live.depths(openings, [worst], live.confirmed)[0] > 0
    record = NearRecord(
        mode=near.mode,
        kind=near.kind,
        distance=1 if near.kind == ONE_EDIT else None,
        every=True,
        rate=_record(_rounded(mean_share(opens.mean(axis=0), level, tried))),
        opened=_record(share_of_prompts(np.any(opens, axis=0), level, tried)),
        worst=_record(share_of_prompts(confirmed, level, live.over(live.confirmed))),
    )
    return record, worst


def _judged(
    live: Subject, mode: str, kind: str, openings: Openings, strings: Sequence[str], judging: Judging
) -> BehaviourRecord:
    """What prompts are answered, each after its string, beside where the same rows land."""
    level, prompts = live.options.level, live.confirmed
    rows = live.rows_of_own([[string] for string in strings], prompts)
    landed = openings.depth(live.asking.points(rows), prompts) > 0
    answers = live.asking.answers(rows, max(live.options.answer, 1))
    name = str(getattr(judging.judge, "name", getattr(judging.judge, "__name__", "function")))
    labels = labels_by(judging.judge, name, [redact_echoes(answer, live.modes) for answer in answers])
    judged, over = np.array([label in judging.labels for label in labels]), live.over(prompts)
    return BehaviourRecord(
        mode=mode,
        kind=kind,
        judged=_record(share_of_prompts(judged, level, over)),
        landed=_record(share_of_prompts(landed, level, over)),
        agree=_record(share_of_prompts(judged == landed, level, over)),
    )


def _rounded(rate: Estimate) -> Estimate:
    def short(value: float | None) -> float | None:
        return None if value is None else round(value, DIGITS)

    estimate = round(rate.estimate, DIGITS)
    return replace(rate, estimate=estimate, low=short(rate.low), high=short(rate.high), se=None)
