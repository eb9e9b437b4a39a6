"""Whether two measurements answer the same question, and by name where they do not."""

from __future__ import annotations

from margin.errors import IncomparableError
from margin.gate.measurement import Measurement
from margin.run.manifest import differences
from margin.run.question import question


def require_comparable(before: Measurement, after: Measurement) -> None:
    """IncomparableError that names each difference, unless both measure the same question in the same way."""
    found = differences(_question(before), _question(after))
    if not found and before.prompt_ids != after.prompt_ids:
        found = ["which prompts were measured"]
    if found:
        raise IncomparableError(
            f"the run and the baseline differ in {'; '.join(found)} "
            "(there: the baseline): collect alike, or write a new baseline"
        )


def _question(measurement: Measurement) -> dict[str, object]:
    identity = measurement.provenance["identity"]
    return {
        "space": measurement.space,
        "distance": measurement.distance,
        **question(identity),
        "margins": [margin.name for margin in measurement.margins],
        "controls": [leak.condition for leak in measurement.leaks],
    }
