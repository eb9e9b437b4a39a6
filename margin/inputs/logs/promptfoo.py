"""Logs of promptfoo: what `promptfoo eval --output` writes as JSON, or as JSON lines of results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from margin.errors import MarginError
from margin.inputs.logs.entry import CONDITIONS, IDS, Entry, Log, asked, draw_of, mapping, of, texts

TOOL = "promptfoo"
VERDICT = "success"
"""The score that says whether all assertions held."""
PASS, FAIL = "pass", "fail"
ERROR = 2
"""Why a test failed, where no answer came or none could be judged."""


def is_log(record: Mapping[str, Any]) -> bool:
    """Whether a JSON object is such an output."""
    found = record.get("results")
    inner = found.get("results") if isinstance(found, Mapping) else found
    return isinstance(inner, list) and bool({"evalId", "stats", "config", "version"} & set(record))


def is_line(record: Mapping[str, Any]) -> bool:
    """Whether a JSON object is one result."""
    return {"promptIdx", "testIdx", VERDICT} <= set(record)


def read_object(record: Mapping[str, Any], name: str) -> Log:
    """The log in one JSON object. MarginError where results are not made as promptfoo makes them."""
    found = record["results"]
    results = found["results"] if isinstance(found, Mapping) else found
    return read(
        (f"{name} result {number}", _object(one, f"{name} result {number}"))
        for number, one in enumerate(results, 1)
    )


def read(records: Iterable[tuple[str, Mapping[str, Any]]]) -> Log:
    """The log in single results."""
    return Log(TOOL, tuple(_entry(record, place) for place, record in records), VERDICT)


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or VERDICT not in value:
        raise MarginError(f"{place} is no result: it does not say {VERDICT}")
    return value


def _entry(record: Mapping[str, Any], place: str) -> Entry:
    test = mapping(record.get("testCase"), place, "testCase")
    variables = mapping(record.get("vars"), place, "vars")
    known = [
        mapping(record.get("metadata"), place, "metadata"),
        mapping(test.get("metadata"), place, "testCase.metadata"),
        variables,
    ]
    prompt = mapping(record.get("prompt"), place, "prompt")
    provider = record.get("provider")
    named = [prompt, provider if isinstance(provider, Mapping) else {"label": provider}]
    answer = mapping(record.get("response"), place, "response").get("output")
    return Entry(
        place=place,
        ids=of(known, IDS),
        texts=texts([*variables.values(), *asked(prompt.get("raw"))]),
        conditions=of(known, CONDITIONS) + of(named, ("label",)),
        scores=_scores(record, place),
        answer=answer if isinstance(answer, str) else None,
        draw=draw_of(known),
    )


def _scores(record: Mapping[str, Any], place: str) -> dict[str, object]:
    success = record[VERDICT]
    if not isinstance(success, bool):
        raise MarginError(f"{place}: {VERDICT} is neither true nor false")
    broken = record.get("failureReason") == ERROR
    called = None if broken else PASS if success else FAIL
    return {VERDICT: called} | dict(mapping(record.get("namedScores"), place, "namedScores"))
