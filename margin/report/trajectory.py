"""The margin over the checkpoints of a training: trajectory.json, trajectory.csv and the figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from margin import figures
from margin.analysis.comparison import Against, Comparison
from margin.analysis.robustness.findings import Finding
from margin.errors import MarginError
from margin.report.trajectory_record import (
    FORMAT,
    HEADLINE,
    CheckpointLeak,
    CheckpointRecord,
    TrajectoryRecord,
)
from margin.run.files import csv_bytes, make_folder, remove_partial, write_atomic
from margin.run.run import Run, opened
from margin.run.seal import read_sealed, sealed
from margin.short import Short
from margin.study.comparison import compare
from margin.study.robustness import robustness
from margin.study.sealed import broken_rule
from margin.text import json_text, shown

FILES = tuple(f"trajectory.{suffix}" for suffix in ("json", "csv", "png", "pdf"))
"""What is written beside the runs."""
AGAIN = "write it again with the same margin sweep"
"""What to do about a trajectory that cannot be used."""


@dataclass(frozen=True, eq=False)
class Trajectory(Short):
    """The margin of each checkpoint, and what it gained or lost, paired by prompt."""

    comparison: Comparison
    """Checkpoints in their order, each against the first or the one before it."""
    against: Against
    """Which of the two."""
    steps: dict[str, int | None]
    """Step of each checkpoint; None where their names do not tell."""
    leaks: dict[str, list[Finding]]
    """Of each checkpoint, how often its control conditions leak; empty without controls."""

    def to_frame(self) -> pd.DataFrame:
        """One line a checkpoint: checkpoint, step, estimate, low, high, reference, difference,
        difference_low, difference_high, p_holm, detectable.

        low and high are the interval of the margin by itself; difference_low and difference_high hold for all
        checkpoints at once, and p_holm is adjusted over them. The first has no difference.
        """
        differences = {d.run: d for d in self.comparison.differences if d.margin == HEADLINE}
        lines = []
        for name, margins in self.comparison.margins.items():
            margin, change = margins.leave_prompt_out, differences.get(name)
            lines.append(
                {
                    "checkpoint": name,
                    "step": self.steps[name],
                    "estimate": margin.estimate,
                    "low": margin.low,
                    "high": margin.high,
                    "reference": change and change.reference,
                    "difference": change and change.simultaneous.estimate,
                    "difference_low": change and change.simultaneous.low,
                    "difference_high": change and change.simultaneous.high,
                    "p_holm": change and change.p_holm,
                    "detectable": change and change.detectable,
                }
            )
        table = pd.DataFrame(lines).astype({"step": "Int64"})
        return table.astype(dict.fromkeys(table.columns[-5:], float))

    def leaks_frame(self) -> pd.DataFrame:
        """One line a checkpoint and control condition: checkpoint, step, condition, leaks (prompts),
        n_prompts, rate, high (its upper bound), indicative.
        """
        columns = ["checkpoint", "step", "condition", "leaks", "n_prompts", "rate", "high", "indicative"]
        lines = []
        for name, leaks in self.leaks.items():
            for leak in leaks:
                rate = leak.value
                about = (name, self.steps[name], leak.condition, leak.count, rate.n_prompts)
                lines.append((*about, rate.estimate, rate.high, leak.indicative))
        return pd.DataFrame(lines, columns=columns).astype({"step": "Int64"})

    def to_record(self) -> TrajectoryRecord:
        """What trajectory.json holds, as its type."""
        first = next(iter(self.comparison.margins.values()))
        level = first.leave_prompt_out.level
        assert level is not None, "the prompts that all share are two at least"
        return TrajectoryRecord(
            format=FORMAT,
            against=self.against,
            space=first.space,
            distance=first.distance,
            variant=HEADLINE,
            level=level,
            n_prompts=len(self.comparison.prompt_ids),
            checkpoints=[CheckpointRecord(**line) for line in _lines(self.to_frame())],
            leaks=[CheckpointLeak(**line) for line in _lines(self.leaks_frame())],
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain record, as trajectory.json stores it, there with a checksum."""
        return self.to_record().model_dump()


def trajectory(
    runs: Sequence[tuple[Run | str | Path, int | None]],
    *,
    level: float = 0.95,
    seed: int = 0,
    against: Against = "first",
    cluster: str | None = None,
) -> Trajectory:
    """The trajectory of runs (opened, or their paths), each with its step. Errors as `margin.compare`."""
    found = [opened(run) for run, _ in runs]
    compared = compare(*found, level=level, seed=seed, against=against, cluster=cluster)
    steps = {name: step for name, (_, step) in zip(compared.margins, runs, strict=True)}
    leaks = {}
    for name, run in zip(compared.margins, found, strict=True):
        controlled = bool((run.rows["kind"] != "mode").any())
        leaks[name] = robustness(run, level=level, cluster=cluster).select("leak") if controlled else []
    return Trajectory(compared, against, steps, leaks)


def write_trajectory(found: Trajectory, out: Path) -> list[Path]:
    """Write trajectory.json, trajectory.csv and trajectory.png and .pdf into `out`; the paths written."""
    table = found.to_frame()
    make_folder(out)
    remove_partial(out)
    record, lines, *pictures = (out / name for name in FILES)
    write_atomic(record, to_json(found).encode())
    write_atomic(lines, csv_bytes(table))
    stepped = bool(table["step"].notna().all())
    table["checkpoint"] = table["step"].astype(int) if stepped else table["checkpoint"]
    with figures.style("paper"):
        fig = figures.figure("single")
        figures.trajectory(table, fig.add_subplot(), xlabel="training step" if stepped else "checkpoint")
        drawn = {path: figures.rendered(fig, path.suffix.removeprefix(".")) for path in pictures}
    for path, picture in drawn.items():
        write_atomic(path, picture)
    return [record, lines, *drawn]


def to_json(found: Trajectory) -> str:
    """The text of trajectory.json, with its checksum."""
    return json_text(sealed(found.to_dict()), indent=2, allow_nan=False) + "\n"


def read_trajectory(path: Path) -> TrajectoryRecord:
    """The record in a trajectory.json, as it was written; MarginError where it is none, or was changed."""
    record = read_sealed(path, "trajectory", FORMAT, AGAIN)
    try:
        return TrajectoryRecord.model_validate(record)
    except ValidationError as error:
        raise MarginError(f"{path} is no trajectory: {shown(broken_rule(error))}: {AGAIN}") from None


def _lines(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Lines as plain records, what is missing as None."""
    records: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return records
