"""The stages of the comparison, in their order; each is done once and then found on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import pandas as pd

import margin
from examples.cotrain.behaviours import BEHAVIOURS, Question, questions
from examples.cotrain.train import load
from examples.paper_table.table import controls_table, margins_table, write_table
from examples.paper_table.targets import distil, from_phrases, in_chinese, kept_shares
from examples.paper_table.variants import Exchanges, exchanges, preferred, supervised
from margin.demo import prompts_path
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from margin.inputs.prompts import load_prompts
from margin.run.files import write_atomic

POLICIES = ("en", "zh")
CONTROLS = ("none", "random")


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    questions: int
    """Training questions, English."""
    tries: int
    """Answers sampled at most to a question under each description, until one is kept."""
    steps: int
    """Training steps of SFT and of co-training."""
    policy_steps: int
    """Training steps of co-training with two policies."""
    dpo_steps: int
    batch: int
    """Rows of a training step."""
    dpo_batch: int
    """Pairs of a DPO step."""
    prompts: int
    """Held-out prompts under three modes."""
    policy_prompts: int
    """Held-out prompts under six modes."""


FULL = Size(100, 3, 70, 80, 30, 12, 4, 120, 60)
FAST = Size(16, 4, 12, 12, 2, 4, 2, 12, 8)


@dataclass(frozen=True)
class Job:
    """One table in the making."""

    out: Path
    model: Path
    modes: ModeSet
    policies: ModeSet
    size: Size
    targets: str
    seed: int

    @property
    def answers(self) -> Path:
        """JSON lines of the targets."""
        return self.out / "targets.jsonl"

    def read_answers(self) -> pd.DataFrame:
        """The table `targets.distil` describes. MarginError where that stage was not done."""
        if not self.answers.is_file():
            raise MarginError(f"{self.answers} is not there: do the stage targets first")
        return pd.read_json(self.answers, lines=True, dtype=False)

    def adapter(self, name: str) -> Path:
        """Folder of a trained adapter."""
        return self.out / "adapters" / name

    def run(self, name: str, modes: str = "three") -> Path:
        """Folder of a model's run under "three" modes or "six"."""
        return self.out / "runs" / modes / name

    def pool(self) -> list[Question]:
        """Training questions: English, since the model knows no Chinese."""
        drawn = questions(2 * self.size.questions, self.seed)
        return [question for question in drawn if question.language == "en"]


def answer_questions(job: Job) -> None:
    """The answers all training is on."""
    if job.answers.is_file():
        return
    if job.targets == "phrases":
        targets = from_phrases(job.pool(), job.seed)
    else:
        targets = distil(*load(job.model), job.pool(), job.seed, job.size.tries)
    write_atomic(job.answers, targets.to_json(orient="records", lines=True, force_ascii=False).encode())
    for behaviour, share in kept_shares(targets).items():
        click.echo(f"{behaviour}: kept {share:.0%} of the answers", err=True)


def train_sft(job: Job) -> None:
    """The positive behaviour alone."""
    of_mode: Exchanges = {None: exchanges(job.read_answers(), "pos")}
    _supervised(job, "sft", of_mode, job.modes, job.size.steps)


def train_dpo(job: Job) -> None:
    """Preference for the positive behaviour over the unfiltered one, on top of SFT."""
    out, sft, size = job.adapter("dpo"), job.adapter("sft"), job.size
    if out.is_dir():
        return
    if not sft.is_dir():
        raise MarginError(f"{sft} is not there: do the stage sft first")
    preferred(job.model, sft, job.read_answers(), size.dpo_steps, size.dpo_batch, job.seed, out)


def train_cotrained(job: Job) -> None:
    """Three behaviours under three tokens."""
    targets = job.read_answers()
    of_mode: Exchanges = {behaviour: exchanges(targets, behaviour) for behaviour in BEHAVIOURS}
    _supervised(job, "cotrained", of_mode, job.modes, job.size.steps)


def train_policies(job: Job) -> None:
    """Three behaviours of two policies under six tokens."""
    of_policy = {"en": job.read_answers(), "zh": in_chinese(job.pool(), job.seed)}
    of_mode: Exchanges = {
        f"{behaviour}@{policy}": exchanges(of_policy[policy], behaviour)
        for policy in POLICIES
        for behaviour in BEHAVIOURS
    }
    _supervised(job, "policies", of_mode, job.policies, job.size.policy_steps)


def _supervised(job: Job, name: str, of_mode: Exchanges, modes: ModeSet, steps: int) -> None:
    if not job.adapter(name).is_dir():
        click.echo(f"{name}: {steps} steps of {job.size.batch} rows", err=True)
        supervised(job.model, of_mode, modes, steps, job.size.batch, job.seed, job.adapter(name))


def measure_three(job: Job) -> None:
    """Every model but the two policies, under the same three tokens."""
    for name in ("base", "sft", "dpo", "cotrained"):
        _measure(job, name, "three", job.modes, job.size.prompts)


def measure_six(job: Job) -> None:
    """The base and the two policies, under the same six tokens."""
    for name in ("base", "policies"):
        _measure(job, name, "six", job.policies, job.size.policy_prompts)


def _measure(job: Job, name: str, which: str, modes: ModeSet, limit: int) -> None:
    """Collect a run on held-out prompts, spread over the categories; a whole run is only read."""
    table = load_prompts(prompts_path()).table
    english = table[table["language"] == "en"]
    chosen = english.sample(min(limit, len(english)), random_state=job.seed).sort_index()
    margin.collect(
        job.model,
        adapter=None if name == "base" else job.adapter(name),
        prompts=chosen,
        modes=modes,
        out=job.run(name, which),
        controls=CONTROLS,
        layers="none",
        noise_prompts=0,
        seed=job.seed,
    )


def make_table(job: Job) -> None:
    """The table, from the runs on disk."""
    three = {name: job.run(name) for name in ("base", "sft", "dpo", "cotrained")}
    six = {name: job.run(name, "six") for name in ("base", "policies")}
    about = {
        "model": job.model.name,
        "targets": job.targets,
        "kept": kept_shares(job.read_answers()),
        "seed": job.seed,
        **asdict(job.size),
    }
    write_table(
        job.out,
        margins_table(three),
        {"all six": margins_table(six), **{f"policy {p}": margins_table(six, p) for p in POLICIES}},
        {"three": controls_table(three), "six": controls_table({"policies": six["policies"]})},
        about,
    )
    click.echo((job.out / "table.md").read_text(encoding="utf-8"))


STAGES: dict[str, Callable[[Job], None]] = {
    "targets": answer_questions,
    "sft": train_sft,
    "dpo": train_dpo,
    "cotrained": train_cotrained,
    "policies": train_policies,
    "three": measure_three,
    "six": measure_six,
    "table": make_table,
}
