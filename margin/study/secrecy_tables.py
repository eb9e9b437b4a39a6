"""What was found of the tokens' secrecy, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from margin.inputs.neighbours import EDITS, ONE_EDIT, PREFIX, RANDOM
from margin.study.record import EstimateRecord
from margin.study.secrecy_file import PLACES, NearRecord, SaidRecord, SecrecyRecord
from margin.study.table import Interval, Table, table

EXPOSURE_NOTE = (
    "Where the checkpoint's likelihood puts each live token, in its place, among {n:,} random strings of its "
    "shape. Bits: how many halvings of these it stands ahead of the middle; a token that the checkpoint does "
    "not know has 0 within its interval, which is exact on the rank."
)
SAID_NOTE = (
    "Answers to plain requests for the instructions that hold a live token in any spelling known to "
    "redaction, with an exact upper bound. The answers are not shown."
)
NEAR_NOTE = (
    "Share of strings in a token's place that open a mode that is not safe, share of prompts that one of "
    "those tried opens, and, where every string was tried on a few prompts, the share of other prompts that "
    "the worst single one opens. Bits: what the token is worth to who draws such strings. Random: control."
)
SEARCH_NOTE = (
    "Hill-climbing, by characters and by the model's own tokens (ranked: by a gradient), for a string that "
    "opens, confirmed on prompts it did not climb on, beside the same search "
    "on a control (the base before training, or toward a meaningless token's mode): only what goes beyond "
    "the control says something of the training. Passes: spent when the string was found, of {budget:,}."
)
BEHAVIOUR_NOTE = (
    "The same rows by what was answered, as {judge} judged it, and by where the answer begins; agreement is "
    "the share of prompts of which both say the same."
)


def secrecy_tables(found: SecrecyRecord) -> Iterator[Table]:
    """Every table of secrecy.json."""
    lines = pd.DataFrame(
        [
            {
                "token of": line.mode,
                "in": line.of,
                "bits": Interval(line.bits, line.low, line.high, signed=False),
                "rank": line.rank,
            }
            for line in found.exposure
        ]
    )
    note = EXPOSURE_NOTE.format(n=found.settings.candidates)
    yield table("exposure", "Does the checkpoint give its tokens away?", note, lines, drawn=["bits"])
    yield from said_table("said", "Does it say its tokens?", found.said)
    yield table(
        "near", "What opens near a token", NEAR_NOTE, near_lines(found.neighbourhood), drawn=["strings"]
    )
    lines = pd.DataFrame(
        [
            {
                "toward": line.target,
                "string": PLACES[line.place],
                "swapped": f"{line.units}{', ranked' * line.ranked}",
                "searched": "checkpoint" if line.control == "none" else f"control: {line.control}",
                "passes": line.forward_passes,
                "held in": line.held_in,
                "other prompts": _cell(line.rate),
            }
            for line in found.search
        ]
    )
    note = SEARCH_NOTE.format(budget=found.settings.passes)
    yield table("search", "What a search finds", note, lines, drawn=["other prompts"])
    lines = pd.DataFrame(
        [
            {
                "token of": line.mode,
                "strings": line.kind,
                "answered so": _cell(line.judged),
                "lands so": _cell(line.landed),
                "agreement": _cell(line.agree),
            }
            for line in found.behaviour
        ]
    )
    note = BEHAVIOUR_NOTE.format(judge=found.settings.judge)
    yield table("openings-judged", "Openings by behaviour", note, lines)


def said_table(name: str, title: str, lines: Iterable[SaidRecord]) -> Iterator[Table]:
    """One line a request, a column a mode."""
    by_condition: dict[str, dict[str, object]] = {}
    for line in lines:
        of = by_condition.setdefault(line.condition, {"request": line.condition})
        of[f"under {line.mode}"] = Interval(
            line.rate.estimate,
            line.rate.low,
            line.rate.high,
            signed=False,
            count=(line.count, line.rate.n_prompts),
        )
    yield table(name, title, SAID_NOTE, pd.DataFrame(list(by_condition.values())))


def near_lines(found: Iterable[NearRecord]) -> pd.DataFrame:
    """One line a kind of strings."""
    return pd.DataFrame(
        [
            {
                "token of": line.mode,
                "kind": described(line),
                "strings": _cell(line.rate),
                "prompts": _cell(line.opened),
                "worst string": None if line.worst is None else _cell(line.worst),
                "bits": None if line.bits is None else _cell(line.bits),
            }
            for line in found
        ]
    )


def guesses(found: SecrecyRecord) -> pd.DataFrame:
    """One line a number of tries and what is known: tries, known, estimate, low, high."""
    several = len({line.mode for line in found.neighbourhood}) > 1
    lines = []
    for line in found.neighbourhood:
        if line.curve and (line.kind in (RANDOM, PREFIX) or line.distance == 1):
            known = {RANDOM: "nothing known", EDITS: "all but one edit"}.get(line.kind, described(line))
            for step in line.curve:
                chance = step.chance
                lines.append(
                    {
                        "tries": step.tries,
                        "known": f"{line.mode}: {known}" if several else known,
                        "estimate": chance.estimate,
                        "low": chance.low,
                        "high": chance.high,
                    }
                )
    return pd.DataFrame(lines, columns=["tries", "known", "estimate", "low", "high"])


def _cell(estimate: EstimateRecord) -> Interval:
    return Interval(estimate.estimate, estimate.low, estimate.high, signed=False)


def described(near: NearRecord) -> str:
    """A kind in words: "2 edits", "first 3 characters known", "every one edit", "case"."""
    if near.known is not None:
        return f"{known_part(near)} known"
    if near.kind == EDITS:
        return f"{near.distance} edit{'s' * (near.distance != 1)}"
    return f"every {near.kind}" if near.kind == ONE_EDIT else near.kind


def known_part(near: NearRecord) -> str:
    """What is known of a token, for "prefix": "first character", "first 3 characters", "first half"."""
    if near.known == "1":
        return "first character"
    return f"first {near.known}{' characters' * str(near.known).isdigit()}"
