"""The verdict a person reads in the log of a build: what is broken first, what holds in a line."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from margin.gate.claims import Claim
from margin.gate.evidence import OVERALL
from margin.gate.verdict import Verdict
from margin.gate.words import asked, bound, concluded, found, measured, signed, was, worst
from margin.report.grid import Grid
from margin.text import shown

STYLES = {
    "pass": "bold green",
    "regression": "bold red",
    "limit not met": "bold red",
    "inconclusive": "bold yellow",
    "broken": "red",
    "open": "yellow",
}


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print the outcome, the overall margin, every claim that is broken or required and open with what was
    seen, then the names of all others, and the prompts that fell most."""

    def say(text: str, style: str = "") -> None:
        console.print(Text(shown(text), style=style), highlight=False)

    outcome = Text(verdict.outcome.upper(), style=STYLES[verdict.outcome])
    console.print(Text.assemble(outcome, f"  {shown(verdict.reason)}"), highlight=False)
    say(measured(verdict))
    for claim in verdict.claims:
        if claim.kind == "drop" and claim.name == OVERALL:
            say(
                f"margin {signed(claim.before)} before, {signed(claim.after)} now: {found(claim)}, "
                f"{asked(claim)}: {concluded(claim)}"
            )
    told = sorted(filter(_is_told, verdict.claims), key=_rank)
    drops = [claim for claim in told if claim.kind == "drop"]
    limits = [claim for claim in told if claim.kind != "drop"]
    for claims, grid in sorted(((drops, _drops), (limits, _limits)), key=lambda each: _worst(each[0])):
        if claims:
            console.print()
            console.print(grid(claims), highlight=False)
    rest = [claim for claim in verdict.claims if not _is_told(claim)]
    held = [claim.name for claim in rest if claim.status == "held"]
    undecided = [
        claim.name + (f" (would tell {claim.detectable:.2g})" if claim.detectable is not None else "")
        for claim in rest
        if claim.status == "open"
    ]
    for what, names in (("open, but not required", undecided), ("held", held)):
        if names:
            console.print()
            say(f"{what}, {len(names)}: {', '.join(names)}")
    if fell := worst(verdict):
        console.print()
        say(f"prompts that fell most: {fell}")


def _is_told(claim: Claim) -> bool:
    """Whether a claim has a line of its own."""
    return claim.status == "broken" or (claim.status == "open" and claim.required)


def _rank(claim: Claim) -> int:
    """Regressions first, then limits that were never met, then what is open."""
    if claim.status == "broken":
        return 0 if claim.worse else 1
    return 2


def _worst(claims: Sequence[Claim]) -> int:
    return min(map(_rank, claims), default=3)


def _drops(claims: Sequence[Claim]) -> Grid:
    """Margins: before, after, and how they changed."""
    grid = Grid(
        [("", False), ("margin", False), ("before", True), ("after", True), ("change [95% bounds]", True)]
    )
    for claim in claims:
        grid.add(
            *(_status(claim), shown(claim.name), signed(claim.before), signed(claim.after), found(claim))
        )
    return grid


def _limits(claims: Sequence[Claim]) -> Grid:
    """What is asked of the run alone: the limit, the baseline, and the run."""
    grid = Grid(
        [("", False), ("limit on", False), ("limit", True), ("before", True), ("now [95% bounds]", True)]
    )
    for claim in claims:
        grid.add(*(_status(claim), shown(claim.name), bound(claim), was(claim.before, claim), found(claim)))
    return grid


def _status(claim: Claim) -> Text:
    """The verdict on a claim in its colour; a regression is called so."""
    word = "regression" if claim.status == "broken" and claim.worse else concluded(claim)
    return Text(word, style=STYLES[claim.status])
