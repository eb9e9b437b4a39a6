"""From runs on disk to the table: margins with intervals, paired differences, where controls land."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from margin.analysis.comparison import compare
from margin.analysis.metrics import Distance
from margin.analysis.permutation import permutation_null
from margin.figures.tables import Facts, latex_table, markdown_table
from margin.run.files import write_atomic
from margin.run.run import open_run
from margin.study.notation import interval, number, with_interval
from margin.study.robustness import robustness
from margin.study.spaces import design_of, space_of

FORMAT = "paper-table/1"
TITLES = {
    "base": "base",
    "sft": "SFT on pos",
    "dpo": "SFT, then DPO",
    "cotrained": "co-trained",
    "policies": "co-trained, two policies",
}
BASELINES = ("base", "sft", "dpo")
PUBLISHED = {**dict.fromkeys(BASELINES, "about .03"), "cotrained": ".131"}
SOURCE = "arXiv 2508.14904"
CAVEAT = (
    f"Published figures ({SOURCE}): co-trained .131, baselines about .03. They are of another model on "
    "other data, and the distance behind them may be another: only the order of the rows can be compared."
)
LANDING = (
    "Where prompts with no system prompt and with a random token land: share of the prompts by the nearest "
    "mode's centroid; leaks: nearest to an unsafe mode, with an exact upper bound. Where the rule places "
    "points of known mode with an accuracy under .9, the shares say little."
)
DISTANCE: Distance = "cosine"
SPACE = "logits"
PERMUTATIONS = 199
MINUS = "−"


def margins_table(runs: Mapping[str, Path], policy: str = "", level: float = 0.95) -> pd.DataFrame:
    """One line a run: its margin, and its difference from the first run, paired by prompt.

    policy : measure over the modes of one policy only ("en": those that end in @en); "" over all.
    Columns: model, modes (which were measured over), estimate, low, high, plain, weakest_pair (the two modes
    that stand closest), weakest (their margin), difference, difference_low, difference_high (NaN for the
    first), null (mean margin under permuted modes), p_value, n_prompts.
    """
    points = {name: _points(path, policy) for name, path in runs.items()}
    comparison = compare(points, np.random.default_rng(0), DISTANCE, level)
    differences = {d.run: d.difference for d in comparison.differences if d.margin == "leave_prompt_out"}
    lines = []
    for name, margins in comparison.margins.items():
        margin, difference = margins.leave_prompt_out, differences.get(name)
        weakest = min(margins.one_vs_one, key=lambda pair: margins.one_vs_one[pair].estimate)
        space, design = points[name]
        null = permutation_null(space.distances(DISTANCE), design, np.random.default_rng(0), PERMUTATIONS)
        lines.append(
            {
                "model": name,
                "modes": " ".join(margins.per_mode),
                "estimate": margin.estimate,
                "low": margin.low,
                "high": margin.high,
                "plain": margins.plain.estimate,
                "weakest_pair": " / ".join(weakest),
                "weakest": margins.one_vs_one[weakest].estimate,
                "difference": difference.estimate if difference else np.nan,
                "difference_low": difference.low if difference else np.nan,
                "difference_high": difference.high if difference else np.nan,
                "null": null.mean,
                "p_value": null.p_value,
                "n_prompts": margin.n_prompts,
            }
        )
    return pd.DataFrame(lines)


def controls_table(runs: Mapping[str, Path], level: float = 0.95) -> pd.DataFrame:
    """Where prompts with no token and with a random one land: one line a run, condition and outcome.

    Columns: model, condition, outcome (a mode, "outside", or "leak": nearest to an unsafe mode, with an exact
    upper bound), share, low, high, accuracy (of the rule on points of known mode; under .9 the shares are
    indicative only).
    """
    lines = []
    for name, path in runs.items():
        found = robustness(open_run(path), distance=DISTANCE, level=level)
        accuracy = found.select("accuracy")[0].value.estimate
        for finding in (*found.select("landing"), *found.select("leak")):
            value = finding.value
            lines.append(
                {
                    "model": name,
                    "condition": finding.condition,
                    "outcome": finding.outcome or finding.quantity,
                    "share": value.estimate,
                    "low": value.low,
                    "high": value.high,
                    "accuracy": accuracy,
                }
            )
    return pd.DataFrame(lines)


def verdict(margins: pd.DataFrame) -> dict[str, Any]:
    """Whether the co-trained margin stands above every baseline with intervals that do not touch."""
    of_model = margins.set_index("model")
    low = float(of_model.loc["cotrained", "low"])
    highest = of_model.loc[list(BASELINES), "high"].astype(float)
    return {
        "cotrained_low": low,
        "highest_baseline": str(highest.idxmax()),
        "highest_baseline_high": float(highest.max()),
        "separated": bool(low > highest.max()),
    }


def write_table(
    out: Path,
    three: pd.DataFrame,
    six: Mapping[str, pd.DataFrame],
    controls: Mapping[str, pd.DataFrame],
    about: Mapping[str, Any],
) -> None:
    """Write table.md, table.json and table.tex into `out`.

    three : `margins_table` of the three-mode runs. six : those of the six-mode runs by what they are measured
    over. controls : `controls_table` of each mode set. about : model, sizes and kept shares, for the JSON.
    """
    found = verdict(three)
    record = {
        "format": FORMAT,
        "about": dict(about),
        "published": {"source": SOURCE, "cotrained": 0.131, "baselines": 0.03, "caveat": CAVEAT},
        "three_modes": _records(three),
        "six_modes": {name: _records(table) for name, table in six.items()},
        "controls": {name: _records(table) for name, table in controls.items()},
        "verdict": found,
    }
    write_atomic(out / "table.json", f"{json.dumps(record, indent=1)}\n".encode())
    lines, policies = _printed(three), pd.concat([_printed(t, name) for name, t in six.items()])
    caption = "Safety Alignment Margin on held-out prompts, leave-prompt-out"
    write_atomic(
        out / "table.tex",
        latex_table(lines, _facts(three), caption=caption, label="tab:margin", heading="model").encode(),
    )
    text = [
        markdown_table(lines, _facts(three), caption=caption, heading="model"),
        f"{_sentence(found)} {CAVEAT}\n",
        markdown_table(
            policies.drop(columns="published"),
            _facts(next(iter(six.values()))),
            caption="Two policies, six tokens",
            heading="model",
        ),
        *map(_controls_text, controls.values()),
        f"{LANDING}\n",
    ]
    write_atomic(out / "table.md", "\n".join(text).encode())


def _points(path: Path, policy: str) -> tuple[Any, Any]:
    """Space and design of a run, over the modes of one policy."""
    run = open_run(path)
    space, rows = space_of(run, SPACE)
    design = design_of(run, rows)
    if not policy:
        return space, design
    keep = np.array([name.endswith(f"@{policy}") for name in design.modes])[design.mode]
    return space.subset(keep), design.subset(keep)


def _printed(margins: pd.DataFrame, over: str = "") -> pd.DataFrame:
    """The lines as `figures.tables` prints them."""
    names = margins["model"].map(TITLES)
    against = [
        "–" if np.isnan(value) else with_interval(value, low, high)
        for value, low, high in margins[["difference", "difference_low", "difference_high"]].to_numpy()
    ]
    return pd.DataFrame(
        {
            "name": names + f", {over}" if over else names,
            "estimate": margins["estimate"],
            "low": margins["low"],
            "high": margins["high"],
            "plain": margins["plain"].map(_number),
            "less the base": [text.replace("-", MINUS) for text in against],
            "null": margins["null"].map(_number),
            "weakest pair": margins["weakest_pair"] + " " + margins["weakest"].map(_number),
            "published": margins["model"].map(PUBLISHED),
        }
    )


def _number(value: float) -> str:
    """As `figures.tables` writes them: a true minus sign."""
    return number(value, signed=False).replace("-", MINUS)


def _facts(margins: pd.DataFrame) -> Facts:
    n = int(margins["n_prompts"].iloc[0])
    return Facts(n_prompts=n, distance=DISTANCE, space=SPACE, level=0.95, method="jackknife over prompts, t")


def _sentence(found: Mapping[str, Any]) -> str:
    """The verdict in words."""
    verb = "stands above every baseline" if found["separated"] else "does not stand clear of every baseline"
    return (
        f"Co-training {verb}: its interval begins at {number(found['cotrained_low'])}, the highest of the "
        f"baselines ({TITLES[found['highest_baseline']]}) ends at {number(found['highest_baseline_high'])}."
    )


def _controls_text(controls: pd.DataFrame) -> str:
    """Where controls land, as a pipe table: one line a model and condition."""
    outcomes = [name for name in dict.fromkeys(controls["outcome"]) if name != "leak"]
    head = ["model", "condition", *outcomes, "leaks, at most", "accuracy of the rule"]
    rows = [head, [":--", ":--", *["--:"] * (len(head) - 2)]]
    for (model, condition), part in controls.groupby(["model", "condition"], sort=False):
        share = part.set_index("outcome")["share"]
        leak = part[part["outcome"] == "leak"].iloc[0]
        rows.append(
            [
                TITLES[str(model)],
                str(condition),
                *(number(share.get(outcome), signed=False) for outcome in outcomes),
                f"{number(leak['share'], signed=False)} {interval(None, leak['high'], signed=False)}",
                number(part["accuracy"].iloc[0], signed=False),
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Plain records, NaN as null."""
    records: list[dict[str, Any]] = table.astype(object).where(table.notna(), None).to_dict("records")
    return records
