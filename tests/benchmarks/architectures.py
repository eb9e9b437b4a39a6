"""Every causal model type that transformers ships, tiny and with random weights: is a run the plain forward?

python -m tests.benchmarks.architectures [TYPE ...] [--write]

Prompts of the demonstration under its modes are collected, all layers where the type allows it, and compared
with the plain forward pass of each row alone. Each type is equal, refused in a line, or cannot be built here;
anything else is an error of margin's, and the exit code is 1. `--write` makes
`examples/architectures/README.md` of it (all types: some minutes of one thread).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from tests.tiny_models import KINDS, Outcome, outcome_of

PAGE = Path(__file__).resolve().parents[2] / "examples" / "architectures" / "README.md"


def page(outcomes: dict[str, Outcome]) -> str:
    """The table as Markdown."""
    counts = {kind: sum(outcome.kind == kind for outcome in outcomes.values()) for kind in KINDS}
    lines = [
        "# Architectures",
        "",
        f"Every causal model type of transformers {transformers.__version__}, tiny and with random weights:",
        "rows collected by `margin collect` against the plain forward pass of each row alone, in float32 on",
        "a CPU (largest relative error of logits, states and layers).",
        "Made by `python -m tests.benchmarks.architectures --write`.",
        "",
        ", ".join(f"{count} {kind}" for kind, count in counts.items()) + ".",
        "",
    ]
    for kind, means in KINDS.items():
        chosen = {name: outcome for name, outcome in outcomes.items() if outcome.kind == kind}
        if chosen:
            lines += [f"## {kind.capitalize()}", "", means, "", "| type | |", "|:--|:--|"]
            lines += [
                f"| `{name}` | {outcome.words.replace('|', chr(92) + '|')} |"
                for name, outcome in chosen.items()
            ]
            lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("types", nargs="*")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    transformers.logging.set_verbosity_error()
    outcomes: dict[str, Outcome] = {}
    for name in chosen.types or sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        outcomes[name] = outcome_of(name)
        print(f"{name:26} {outcomes[name].kind:14} {outcomes[name].words}", flush=True)
    if chosen.write:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(outcomes), encoding="utf-8")
    sys.exit(any(outcome.kind == "wrong" for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
