"""Whether two measurements answer the same question, and by name where they do not."""

from __future__ import annotations

from margin.errors import IncomparableError
from margin.gate.evidence import Measurement
from margin.inputs.moment import FIRST
from margin.run.differences import differences, entry_of
from margin.run.protocol import PROTOCOL, protocols
from margin.study.decoys import KIND
from margin.text import shown

MEASURED = {
    "space": "the space the baseline was measured in",
    "distance": "the distance the baseline was measured by",
    "controls": "the same --controls, --attacks and --decoys",
    "margins": "the same columns in the prompt file",
    "cluster": "the --cluster the baseline was written with",
    "clusters": "the same clusters in the prompt file",
    "columns": "the same columns in the prompt file",
}
"""What else has to agree, and what to do where it does not."""
CHECKED = ("space", "distance", "cluster")
"""Of these, what margin check is told, and not collect."""
AFTER_THOUGHTS = {
    "prompts": "more --thought-tokens for both",
    "controls": f"{MEASURED['controls']}, with more --thought-tokens for both",
}
"""What to do in place of that where runs are measured after thoughts, which did not all end."""
SIDES = ("in the baseline", "in the run")


def require_comparable(before: Measurement, after: Measurement) -> None:
    """IncomparableError that names each difference, unless both measure the same question in the same way."""
    was, now = protocols(before.provenance["identity"], after.provenance["identity"])
    found = differences(_measured(before, before) | was, _measured(after, before) | now, SIDES)
    if before.cluster == after.cluster and _grouping(before) != _grouping(after):
        found.append(f"clusters: {shown(str(after.cluster))} puts other prompts together in the run")
    names = [entry_of(line) for line in found]
    # Where the same prompts were asked, what is not there had a thought that did not end.
    thoughts = "prompts" not in names and now.get("measure_after", FIRST) != FIRST
    if "prompts" in names or before.prompt_ids != after.prompt_ids:
        at = names.index("prompts") if "prompts" in names else len(names)
        found[at : at + 1], names[at : at + 1] = [_prompts(before, after, thoughts)], ["prompts"]
    follow = {"margins", "columns"} if {"modes", "cluster"} & set(names) else set()  # these follow from those
    if "prompts" in names:
        follow = {"margins", "columns", "clusters"}
    found = [line for line, name in zip(found, names, strict=True) if name not in follow]
    names = [name for name in names if name not in follow]
    if found:
        todo: dict[str, list[str]] = {}
        for name, text in (PROTOCOL | MEASURED | (AFTER_THOUGHTS if thoughts else {})).items():
            if name in names and text not in (there := todo.setdefault(_verb(name), [])):
                there.append(text)
        advice = ", ".join(f"{verb} with {', '.join(texts)}" for verb, texts in todo.items())
        raise IncomparableError(
            f"the run and the baseline differ in {'; '.join(found)}: {advice}, or write a new baseline"
        )


def _verb(name: str) -> str:
    return "check" if name in CHECKED else "collect"


def _measured(measurement: Measurement, before: Measurement) -> dict[str, object]:
    # Baselines from before there were decoys know of no such control: theirs are then not claimed of the run.
    controls = [leak.condition for leak in measurement.leaks]
    if KIND not in [leak.condition for leak in before.leaks]:
        controls = [name for name in controls if name != KIND]
    return {
        "space": measurement.space,
        "distance": measurement.distance,
        "cluster": measurement.cluster,
        "controls": sorted(controls),
        "margins": [margin.name for margin in measurement.margins],
        "columns": [margin.column for margin in measurement.margins],
    }


def _grouping(measurement: Measurement) -> list[int]:
    return [] if measurement.clusters is None else measurement.clusters.code.tolist()


def _prompts(before: Measurement, after: Measurement, thoughts: bool) -> str:
    was, now = before.prompt_ids, after.prompt_ids
    if was == now:
        return "prompts: the same ids with other texts"
    if set(was) == set(now):
        return "prompts: the same in another order, or with other texts"
    both = len(set(was) & set(now))
    found = f"prompts: {len(was):,} {SIDES[0]}, {len(now):,} {SIDES[1]}, {both:,} ids in both"
    return f"{found}, the thoughts of the others did not end" if thoughts else found
