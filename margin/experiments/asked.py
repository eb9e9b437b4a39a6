"""What `margin.secrecy` is asked, checked before a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from margin.errors import MarginError
from margin.experiments.neighbourhood import Judge, Judging
from margin.experiments.subject import SecrecyOptions
from margin.inputs.modes import ModeSet, fingerprint
from margin.inputs.prompts import PromptSet
from margin.inputs.reading import read_bytes
from margin.stats.seeds import generator
from margin.text import counted, shown

FEWEST = 4
"""Prompts at least."""


def judging_by(modes: ModeSet, judge: Judge | None, expected: Mapping[str, str]) -> Judging | None:
    """Who judges, and which labels are those of modes that are not safe.

    MarginError for arguments of another kind, for an unknown mode, and where a judge that says what labels
    it has gives none of these: no answer would ever count.
    """
    if not (judge is None or callable(judge)):
        raise MarginError(f"judge must be a function of texts, got {type(judge).__name__}")
    if not isinstance(expected, Mapping):
        raise MarginError(f"expected must be a mapping of modes to labels, got {type(expected).__name__}")
    if unknown := sorted(set(expected) - set(modes.names)):
        raise MarginError(f"no mode {unknown[0]!r} to expect a label of: there are {', '.join(modes.names)}")
    if judge is None:
        return None
    labels = frozenset(expected.get(mode.name, mode.name) for mode in modes.modes if not mode.safe)
    gives = getattr(judge, "labels", None)
    if isinstance(gives, Sequence) and not labels.intersection(gives):
        unsafe = next(mode.name for mode in modes.modes if not mode.safe)
        raise MarginError(
            f"the judge gives {', '.join(map(shown, gives))} and never {shown(sorted(labels)[0])!r}: say "
            f"which label answers of a mode have, --expect {unsafe}=LABEL"
        )
    return Judging(judge, labels)


def require_both_kinds(modes: ModeSet) -> None:
    """MarginError where all modes are safe, or none is."""
    if len({mode.safe for mode in modes.modes}) == 1:
        raise MarginError(
            "a key opens a mode that is not safe: say safe = false of at least one mode, and true of another"
        )


def chosen_prompts(prompts: PromptSet, options: SecrecyOptions) -> PromptSet:
    """At most so many prompts, at random, in their order."""
    if options.cluster is not None and options.cluster not in prompts.slices:
        has = ", ".join(prompts.slices) or "none"
        raise MarginError(f"no column {options.cluster!r} to cluster by: the prompts have {has}")
    if len(prompts) < FEWEST:
        raise MarginError(
            f"{counted(len(prompts), 'prompt')} to try on and to confirm on: take more, {FEWEST} at least"
        )
    rng = generator(options.seed, "secrecy", "prompts")
    rows = np.sort(rng.permutation(len(prompts))[: options.limit])
    places = tuple(prompts.origin(row) for row in rows)
    return PromptSet(prompts.table.iloc[rows].reset_index(drop=True), places)


def fingerprint_of(files: Sequence[str | Path]) -> str | None:
    """16 bits of the files that were given, to notice others: strings near a token may stand in them."""
    return (
        fingerprint("\0".join(read_bytes(Path(path), "template").hex() for path in files)) if files else None
    )
