"""Logs of lm-evaluation-harness: samples_TASK_TIME.jsonl, one line a document and filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from margin.inputs.logs.entry import CONDITIONS, IDS, Entry, Log, asked, draw_of, mapping, of, sequence, texts

TOOL = "lm-evaluation-harness"
FIXED = {
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
    *("doc_hash", "prompt_hash", "target_hash", "task_hash"),
}
"""Keys of a line that are no metrics."""


def is_log(record: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a line of such a log."""
    return {"doc_id", "doc", "filtered_resps"} <= set(record)


def read(records: Iterable[tuple[str, Mapping[str, Any]]]) -> Log:
    """The log in the lines of a file. MarginError where a line is not made as lines of samples are."""
    return Log(TOOL, tuple(_entry(record, place) for place, record in records))


def _entry(record: Mapping[str, Any], place: str) -> Entry:
    doc = record.get("doc")
    columns = {"doc": doc} if isinstance(doc, str) else mapping(doc, place, "doc")
    answers = list(texts(_flat(record.get("filtered_resps"))))
    return Entry(
        place=place,
        # Not doc_id: a place in a data set, from 0, and perhaps of a part of it.
        ids=of([columns], IDS),
        texts=texts([*columns.values(), *_prompts(record, place)]),
        conditions=of([columns], CONDITIONS),
        scores=_scores(record, place),
        answer=answers[0] if len(answers) == 1 else None,
        draw=draw_of([columns]),
    )


def _scores(record: Mapping[str, Any], place: str) -> dict[str, object]:
    """Metrics by name, and of a filter by "metric,filter", as the tool itself calls them in its results."""
    names = record.get("metrics")
    listed = sequence(names, place, "metrics") if names is not None else [k for k in record if k not in FIXED]
    by = record.get("filter", "none")
    suffix = "" if by == "none" else f",{by}"
    return {f"{name}{suffix}": record.get(str(name)) for name in listed}


def _prompts(record: Mapping[str, Any], place: str) -> Iterator[str]:
    """What was asked: of arguments as they are saved, an object of objects, the first of each request; a
    conversation is kept there as JSON."""
    arguments = record.get("arguments")
    requests = (
        arguments.values() if isinstance(arguments, Mapping) else sequence(arguments, place, "arguments")
    )
    for request in requests:
        parts = list(request.values()) if isinstance(request, Mapping) else request
        first = parts[0] if isinstance(parts, list) and parts else None
        yield from asked(first)


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for one in value:
            yield from _flat(one)
    else:
        yield value
