"""Logs of garak: garak.UUID.report.jsonl, among whose lines are attempts and what detectors say of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from margin.errors import MarginError
from margin.inputs.logs.entry import CONDITIONS, IDS, Entry, Log, asked, draw_of, mapping, of, said, sequence
from margin.text import brief

TOOL = "garak"
EVALUATED = 2
"""Status of an attempt that was answered and judged; the same one stands before, answered only."""
THRESHOLD = 0.5
"""From which a detector's score is a hit, where the report does not say."""
HIT, PASS = "hit", "pass"
"""What an answer is called that a detector finds to be what it looks for, and one that it does not."""


def is_log(record: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a line of such a report."""
    return isinstance(record.get("entry_type"), str)


def read(records: Iterable[tuple[str, Mapping[str, Any]]]) -> Log:
    """The log in the lines of a report: "hit" or "pass" of every output by each detector.

    MarginError where an attempt is not made as garak makes them.
    """
    lines = list(records)
    threshold = THRESHOLD
    for _, record in lines:
        found = record.get("run.eval_threshold")
        if isinstance(found, int | float) and not isinstance(found, bool):
            threshold = float(found)
    attempts = [
        (place, record)
        for place, record in lines
        if record.get("entry_type") == "attempt" and record.get("status") == EVALUATED
    ]
    return Log(
        TOOL, tuple(entry for place, record in attempts for entry in _entries(record, place, threshold))
    )


def _entries(record: Mapping[str, Any], place: str, threshold: float) -> Iterator[Entry]:
    notes = mapping(record.get("notes"), place, "notes")
    outputs = sequence(record.get("outputs"), place, "outputs")
    results = mapping(record.get("detector_results"), place, "detector_results")
    by = {name: sequence(values, place, f"detector {brief(name)}") for name, values in results.items()}
    for name, values in by.items():
        if len(values) != len(outputs):
            raise MarginError(
                f"{place}: detector {brief(name)} gives {len(values)} results for {len(outputs)} outputs"
            )
    for number, output in enumerate(outputs):
        yield Entry(
            place=f"{place} output {number + 1}",
            ids=of([notes], IDS),  # uuid and seq are of the attempt
            texts=tuple(_prompt(record.get("prompt"))),
            conditions=of([notes], CONDITIONS),
            scores={name: _called(values[number], threshold, place) for name, values in by.items()},
            answer=next(said(output), None),
            draw=draw_of([notes]),
        )


def _prompt(prompt: Any) -> Iterator[str]:
    """A text, a message or a conversation, by version of garak."""
    if isinstance(prompt, Mapping) and isinstance(prompt.get("turns"), list):
        yield from asked(prompt["turns"])
    else:
        yield from said(prompt)


def _called(score: Any, threshold: float, place: str) -> str | None:
    if score is None:  # the detector passed
        return None
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise MarginError(f"{place}: a result of a detector is no number")
    return HIT if score >= threshold else PASS
