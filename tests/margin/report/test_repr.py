"""What a notebook or a debugger writes of anything the package hands out is one short line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import margin
from margin.errors import MarginError
from margin.gate.measurement import measure
from margin.report.report import Report
from margin.run.run import Run
from margin.short import Short

MOST = 200


def handed_out(thing: object, seen: set[int]) -> Iterator[object]:
    """A thing and whatever of the package it holds, however deep."""
    if id(thing) in seen or isinstance(thing, type):
        return
    seen.add(id(thing))
    if isinstance(thing, Mapping):
        parts = list(thing.values())
    elif isinstance(thing, list | tuple):
        parts = list(thing)
    elif type(thing).__module__.startswith("margin"):
        yield thing
        parts = list(getattr(thing, "__dict__", {}).values())
    else:
        return
    for part in parts:
        yield from handed_out(part, seen)


def test_every_repr_is_a_short_line(run: Run, report: Report, tmp_path: Path) -> None:
    report.to_dict()
    report.to_frames()
    sections = list(report)
    records = [section.record() for section in sections]
    again = shutil.copytree(run.path, tmp_path / "again")
    compared = margin.compare(run, again)
    baseline = measure(run)
    things = [report, sections, records, report.tables(), report.facts(), compared, baseline, margin.Policy()]
    things += [margin.check(run, baseline), margin.probe(again)]
    seen: set[int] = set()
    kinds = set()
    for thing in things:
        for found in handed_out(thing, seen):
            kinds.add(type(found).__name__)
            assert len(repr(found)) <= MOST, (type(found), len(repr(found)))
            assert "\n" not in repr(found), type(found)
    assert {"Report", "Run", "Study", "Estimate", "Margins", "Manifest", "Table"} <= kinds


@dataclass(frozen=True, eq=False)
class Found(Short):
    name: str
    points: object
    share: float = 0.123456
    beside: object = None


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Found("a", np.zeros((4, 5))), "Found(name='a', points=<4 x 5>, share=0.1235)"),
        (Found("a", [1] * 500), "Found(name='a', points=<500>, share=0.1235)"),
        (Found("a", ("pos", "neg")), "Found(name='a', points=('pos', 'neg'), share=0.1235)"),
        (Found("a", {"pos": 1}, beside=2), "Found(name='a', points=<1>, share=0.1235, beside=2)"),
        (Found("\x1b[31m\n", 1), r"Found(name='\x1b[31m\n', points=1, share=0.1235)"),
    ],
)
def test_a_short_repr_tells_shapes_and_first_numbers(found: Found, text: str) -> None:
    assert repr(found) == text
    assert str(found) == text


def test_long_names_are_cut() -> None:
    assert len(repr(Found("x" * 5000, Found("y" * 5000, 1), beside=MarginError("z" * 5000)))) <= MOST
