"""Two recipes of training compared, in words and as a record."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from margin.analysis.trainings import RecipeDifference
from margin.study.notation import interval, number
from margin.text import shown


def recipe_record(found: RecipeDifference, names: tuple[str, ...]) -> dict[str, Any]:
    """Plain record, as `margin compare --recipe ... --json` prints it; no number where none is known."""
    known = found.of_trainings == found.of_trainings
    return {
        "recipes": list(names),
        "trainings": list(found.trainings),
        "difference": found.difference.to_dict(),
        "variance_of_prompts": found.of_prompts,
        "variance_of_trainings": found.of_trainings if known else None,
        "dominant": found.dominant if known else None,
        "trainings_to_settle": found.trainings_to_settle,
    }


def print_recipes(found: RecipeDifference, names: tuple[str, ...], console: Console) -> None:
    """Print the difference, what its uncertainty comes from, and how many trainings would settle it."""
    first, second = map(shown, names)
    difference = found.difference
    bounds = interval(difference.low, difference.high)
    lines = [
        f"SAM of {second} less {first}: {number(difference.estimate)} {bounds}",
        f"trainings: {found.trainings[1]} and {found.trainings[0]}, on {difference.n_prompts} shared prompts",
    ]
    if difference.low is None:
        lines.append("a recipe trained once says nothing of recipes: train each twice at least")
    else:
        lines.append(f"most of the uncertainty comes from {found.dominant}")
        needed = found.trainings_to_settle
        lines.append(
            "no number of trainings would settle it on these prompts"
            if needed is None
            else f"{needed} trainings of each would settle a difference of this size (power 0.8)"
        )
    for line in lines:
        console.print(line, highlight=False, markup=False)
