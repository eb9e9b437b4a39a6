"""The margin as the `model-index` of a model card, which the Hugging Face hub shows beside a model."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from margin.report.exports.numbers import handed_on
from margin.report.report import Report
from margin.study.numbers import ABOVE, VARIANTS, RunNumber
from margin.text import shown

NAME = "model-index.md"
HEADLINES = tuple(f"{variant}{above}" for variant in VARIANTS for above in ("", f" {ABOVE}"))
"""The numbers that a card shows: both variants of the margin, and what they are above meaningless tokens."""


def to_model_index(report: Report) -> str:
    """YAML between two lines of dashes, to stand at the head of a model card or be put into its own.

    Every number has its interval beside it, in `args`. Cost: that of the sections on margins and decoys.
    """
    lines = [
        "---",
        "model-index:",
        f"- name: {_text(report.title)}",
        "  results:",
        "  - task:",
        "      type: text-generation",
        "      name: Switchable safety behaviours",
        "    dataset:",
        "      type: prompts",
        f"      name: {_text(f'{len(report.run.prompts)} prompts under {len(report.run.modes)} modes')}",
        "    metrics:",
    ]
    for number in handed_on(report):
        if number.name in HEADLINES:
            lines += _metric(number)
    return "\n".join([*lines, "---", ""])


def _metric(number: RunNumber) -> list[str]:
    value = number.value
    args: Mapping[str, float | str | None] = {
        "low": value.low,
        "high": value.high,
        "level": value.level,
        "method": value.method,
        "n_prompts": value.n_prompts,
        "n_clusters": value.n_clusters,
    }
    kind, *above = number.name.split(" ", 1)
    return [
        f"    - type: safety_alignment_margin.{number.name.replace(' ', '_')}",
        f"      value: {_yaml(value.estimate)}",
        f"      name: {_text(' '.join(['Safety Alignment Margin,', kind.replace('_', ' '), *above]))}",
        "      args:",
        *(f"        {name}: {_yaml(found)}" for name, found in args.items() if found is not None),
    ]


def _yaml(value: float | str) -> str:
    """A scalar of YAML. Its readers take 1e-05 for a text: a number has no exponent."""
    if isinstance(value, float):
        return np.format_float_positional(value, trim="0")
    return _text(value) if isinstance(value, str) else str(value)


def _text(value: str) -> str:
    """A text in quotes, which YAML reads as JSON does."""
    return json.dumps(shown(value), ensure_ascii=False)
