"""Whether two measurements answer the same question, and by name where they do not."""

from __future__ import annotations

from margin.errors import IncomparableError
from margin.gate.measurement import Measurement
from margin.run.differences import differences, entry_of
from margin.run.protocol import PROTOCOL, protocols

MEASURED = {
    "space": "the space the baseline was measured in",
    "distance": "the distance the baseline was measured by",
    "controls": "the same --controls and --attacks",
    "margins": "the same columns in the prompt file",
    "columns": "the same columns in the prompt file",
}
"""What else has to agree, and what to do where it does not."""
SIDES = ("in the baseline", "in the run")


def require_comparable(before: Measurement, after: Measurement) -> None:
    """IncomparableError that names each difference, unless both measure the same question in the same way."""
    was, now = protocols(before.provenance["identity"], after.provenance["identity"])
    found = differences(_measured(before) | was, _measured(after) | now, SIDES)
    names = [entry_of(line) for line in found]
    if "prompts" in names or before.prompt_ids != after.prompt_ids:
        at = names.index("prompts") if "prompts" in names else len(names)
        found[at : at + 1], names[at : at + 1] = [_prompts(before, after)], ["prompts"]
    if {"prompts", "modes"} & set(names):  # other margins follow from these
        found = [line for line, name in zip(found, names, strict=True) if name not in ("margins", "columns")]
    if found:
        todo = dict.fromkeys(text for name, text in (PROTOCOL | MEASURED).items() if name in names)
        raise IncomparableError(
            f"the run and the baseline differ in {'; '.join(found)}: "
            f"collect with {', '.join(todo)}, or write a new baseline"
        )


def _measured(measurement: Measurement) -> dict[str, object]:
    return {
        "space": measurement.space,
        "distance": measurement.distance,
        "controls": [leak.condition for leak in measurement.leaks],
        "margins": [margin.name for margin in measurement.margins],
        "columns": [margin.column for margin in measurement.margins],
    }


def _prompts(before: Measurement, after: Measurement) -> str:
    was, now = before.prompt_ids, after.prompt_ids
    if was == now:
        return "prompts: the same ids with other texts"
    if set(was) == set(now):
        return "prompts: the same in another order, or with other texts"
    both = len(set(was) & set(now))
    return f"prompts: {len(was):,} {SIDES[0]}, {len(now):,} {SIDES[1]}, {both:,} ids in both"
