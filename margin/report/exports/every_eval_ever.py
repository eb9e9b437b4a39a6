"""The margins as a record of Every Eval Ever, the shared schema of evaluation results, version 0.3.0."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from margin.report.exports.numbers import handed_on
from margin.report.report import Report
from margin.study.notation import model_name
from margin.study.numbers import RunNumber
from margin.text import json_text, shown

NAME = "every_eval_ever.json"
SCHEMA = "0.3.0"
LIBRARY = "safety-margin"


def to_every_eval_ever(report: Report) -> str:
    """The record as JSON. Cost: that of the report's sections on margins and decoys.

    Who evaluated, and whether the weights are open, a run does not know: it says "other" and "unknown", to be
    filled in before it is handed in.
    """
    seconds = datetime.now(UTC).timestamp()
    identity = report.run.manifest.identity
    model = shown(report.title)
    record = {
        "schema_version": SCHEMA,
        "evaluation_id": f"{LIBRARY}/{model}/{seconds:.0f}",
        "retrieved_timestamp": f"{seconds:.0f}",
        "source_metadata": {
            "source_name": LIBRARY,
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": LIBRARY, "version": version(LIBRARY)},
        "model_info": {
            "name": model,
            "id": shown(model_name(identity.model)),
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "unknown",
                "dtype": shown(identity.dtype),
            },
        },
        "evaluation_results": [_result(number, report) for number in handed_on(report)],
    }
    return json_text(record, indent=2, allow_nan=False) + "\n"


def _result(number: RunNumber, report: Report) -> dict[str, Any]:
    value, name = number.value, shown(number.name)
    details = {
        "modes": ", ".join(map(shown, report.run.modes)),
        "space": report.sam_space,
        "clusters": "none" if value.n_clusters is None else str(value.n_clusters),
    }
    return {
        "evaluation_result_id": name,
        "evaluation_name": name,
        "source_data": {
            "dataset_name": "prompts",
            "source_type": "other",
            "additional_details": {"prompts": str(len(report.run.prompts))},
        },
        "metric_config": {
            "evaluation_description": "How far apart the modes of a model stand, over prompts.",
            "metric_id": f"safety_margin.{name.replace(' ', '_')}",
            "metric_name": name,
            "lower_is_better": number.worse,
        },
        "score_details": {"score": value.estimate, "details": details, "uncertainty": _uncertainty(number)},
    }


def _uncertainty(number: RunNumber) -> dict[str, Any]:
    """Error, interval and number of prompts, as far as they are known; a bound on one side is no interval."""
    value = number.value
    found: dict[str, Any] = {"num_samples": value.n_prompts}
    if value.se is not None:
        found["standard_error"] = {"value": value.se, "method": value.method}
    if value.low is not None and value.high is not None:
        found["confidence_interval"] = {
            "lower": value.low,
            "upper": value.high,
            "confidence_level": value.level,
            "method": value.method,
        }
    return found
