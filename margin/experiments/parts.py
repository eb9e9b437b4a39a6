"""The parts of `margin.secrecy`, each as what does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from margin.experiments.found import Found
from margin.experiments.neighbourhood import Judging, neighbourhood
from margin.experiments.searching import search
from margin.experiments.subject import Subject
from margin.experiments.telling import exposures, said
from margin.inputs.attacks import Attack
from margin.inputs.neighbours import Near
from margin.study.secrecy_file import Part, Whose

Progress = Callable[[str, str], None]
"""Told which part is at work, and what it has found so far, in counts."""


def steps(
    subjects: Mapping[Whose, Subject],
    requests: Sequence[Attack],
    own: Sequence[Near],
    judging: Judging | None,
    found: list[Found],
    progress: Progress,
) -> dict[Part, Callable[[], dict[str, Any]]]:
    """What does each part, and gives its lists of records; strings that open are added to `found`."""
    live = subjects["checkpoint"]

    def exposed() -> dict[str, Any]:
        return {"exposure": list(exposures(subjects))}

    def repeated() -> dict[str, Any]:
        if not live.options.answer:
            return {}
        return {"said": list(said(live, requests, lambda n: progress("said", f"{n} answers hold a token")))}

    def near() -> dict[str, Any]:
        lines, behaviour = [], []
        for tried in neighbourhood(live, own, judging):
            lines += [tried.near] if tried.near else []
            behaviour += [tried.behaviour] if tried.behaviour else []
            found.extend([tried.found] if tried.found else [])
            opening = sum(line.opened.estimate > 0 for line in lines)
            progress("neighbourhood", f"{opening} of {len(lines)} kinds of strings open")
        return {"neighbourhood": lines, "behaviour": behaviour}

    def searched() -> dict[str, Any]:
        lines = []
        for one in search(live, subjects.get("base")) if live.options.passes else ():
            lines.append(one.record)
            found.extend([one.found] if one.found else [])
            opening = sum(line.rate.estimate > 0 for line in lines if line.control == "none")
            progress("search", f"{opening} of {len(lines)} searches found what opens")
        return {"search": lines}

    return {"exposure": exposed, "said": repeated, "neighbourhood": near, "search": searched}
