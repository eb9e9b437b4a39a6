"""The margins as a log of Inspect, for its viewer and whatever reads its logs.

A log of format 2 without samples, as Inspect 0.3 reads and writes it: one score a number, whose metrics are
the estimate, its standard error and its interval.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any
from uuid import uuid4

from margin.report.exports.numbers import handed_on
from margin.report.report import Report
from margin.study.numbers import RunNumber
from margin.text import json_text, shown

NAME = "inspect.json"
TASK = "safety_margin"


def to_inspect(report: Report) -> str:
    """The log as JSON. Cost: that of the report's sections on margins and decoys."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    run, prompts = report.run, len(report.run.prompts)
    spec = {
        "eval_id": uuid4().hex,
        "run_id": uuid4().hex,
        "created": now,
        "task": TASK,
        "task_id": uuid4().hex,
        "task_version": 0,
        "dataset": {"name": "prompts", "samples": prompts, "shuffled": False},
        "model": shown(report.title),
        "config": {},
        "packages": {"safety-margin": version("safety-margin")},
        "metadata": {
            "modes": [shown(mode) for mode in run.modes],
            "space": report.sam_space,
            "dtype": run.manifest.identity.dtype,
        },
    }
    log = {
        "version": 2,
        "status": "success",
        "eval": spec,
        "plan": {"name": "plan", "steps": [], "config": {}},
        "results": {
            "total_samples": prompts,
            "completed_samples": prompts,
            "scores": [_score(number) for number in handed_on(report)],
        },
        "stats": {"started_at": now, "completed_at": now, "model_usage": {}},
    }
    return json_text(log, indent=2) + "\n"


def _score(number: RunNumber) -> dict[str, Any]:
    value = number.value
    metrics = {"estimate": value.estimate, "stderr": value.se, "low": value.low, "high": value.high}
    return {
        "name": shown(number.name),
        "scorer": TASK,
        "scored_samples": value.n_prompts,
        "unscored_samples": 0,
        "params": {},
        "metrics": {
            name: {"name": name, "value": found, "params": {}}
            for name, found in metrics.items()
            if found is not None
        },
        "metadata": {
            "level": value.level,
            "method": value.method,
            "n_prompts": value.n_prompts,
            "n_clusters": value.n_clusters,
            "lower_is_better": number.worse,
        },
    }
