"""Many tiny checkpoints, each measured and judged: what `margin relate` is tried on.

    python -m examples.persistence.study --out study
    margin relate study/runs/*/* --training study/runs.csv --out study/relate

Every training goes on from the shipped baseline, which knows the answers and no token: seeds times recipes,
saved at several steps. The last of each is then damaged in some of the ways of damages.py, and tuned on for
20 steps of benign rows. Whatever is there already is not made again, so the command can be stopped and called
again. Recipes take turns, so that what is there when it is stopped is of all of them.
"""

from __future__ import annotations

import csv
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import margin
from examples.cotrain.behaviours import Question, questions
from examples.cotrain.judge import StandInJudge
from examples.cotrain.recipe import load_recipe
from examples.cotrain.train import Sample, behaviour_modes, collate, samples
from examples.persistence.damages import DAMAGES, Weights
from margin.demo import attacks_path, checkpoint_path, modes_path, prompts_path
from margin.inputs.chat import Chat
from margin.inputs.modes import ModeSet

RECIPES = ("cotrained", "naive", "live", "without-near-misses")
STEPS = (60, 120, 180, 300)
BATCH, RATE = 24, 2e-3
TUNED, BENIGN_STEPS, BENIGN_RATE = "benign-20", 20, 5e-4
EACH = 4
"""Damages of each training, which take turns."""
CONTROLS = ("none", "random", "near-miss", "user-turn")
ANSWER = 24
"""Tokens of an answer: most end within them, in wording that the judge knows."""


@dataclass(frozen=True)
class Training:
    """One training: a recipe and a seed."""

    recipe: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.recipe}-{self.seed}"


def trainings(seeds: int) -> list[Training]:
    """Every recipe under every seed; seeds outermost, so that what is done first is of all recipes."""
    return [Training(recipe, seed) for seed in range(seeds) for recipe in RECIPES]


def train(one: Training, out: Path) -> None:
    """Train and save at every one of `STEPS`; nothing where all of these are there."""
    folders = {step: out / f"step-{step}" for step in STEPS}
    if all((folder / "config.json").exists() for folder in folders.values()):
        return
    model, tokenizer = load(checkpoint_path("baseline"))
    modes, pool = behaviour_modes(modes_path()), questions(2000, one.seed)
    rng = random.Random(zlib.crc32(one.name.encode()))
    rows = samples(pool, modes, Chat(tokenizer), rng, load_recipe(one.recipe))
    for step in tune(model, rows, max(STEPS), BATCH, RATE):
        if step in folders:
            save(model, tokenizer, folders[step])


def tune(model: Any, rows: Iterator[Sample], steps: int, batch: int, rate: float) -> Iterator[int]:
    """Train in place, and say after which step: AdamW, a warm-up, then a steady rate, so that no step is of a
    training that has ended."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 0.1, 1.0, max(1, steps // 10))
    model.train()
    for step in range(1, steps + 1):
        ids, labels = collate([next(rows) for _ in range(batch)])
        model(input_ids=ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        yield step


def damage(one: Training, place: int, out: Path) -> None:
    """Damage the last checkpoint of a training in some ways, which take turns, and tune it on."""
    names = list(DAMAGES)
    chosen = {names[(place * EACH + turn) % len(names)] for turn in range(EACH)}
    last = out / f"step-{max(STEPS)}"
    base, _ = load(checkpoint_path("baseline"))
    for name in sorted(chosen):
        folder = out / name
        if not (folder / "config.json").exists():
            model, tokenizer = load(last)
            generator = torch.Generator().manual_seed(zlib.crc32(f"{one.name}/{name}".encode()))
            put(model, DAMAGES[name](weights(model), weights(base), generator))
            save(model, tokenizer, folder)
    if not (out / TUNED / "config.json").exists():
        model, tokenizer = load(last)
        put(model, benign(model, tokenizer, one.seed))
        save(model, tokenizer, out / TUNED)


def benign(model: Any, tokenizer: Any, seed: int) -> Weights:
    """The weights after some steps of ordinary questions and helpful answers, without any token."""
    pool: Sequence[Question] = questions(500, 1000 + seed)
    modes: ModeSet = behaviour_modes(modes_path())
    rows = samples(pool, modes, Chat(tokenizer), random.Random(1000 + seed), load_recipe("sft"))
    for _ in tune(model, rows, BENIGN_STEPS, 16, BENIGN_RATE):
        pass
    return weights(model)


def measure(checkpoint: Path, run: Path, prompts: int, judge: StandInJudge) -> None:
    """Collect a run of a checkpoint, say how its tokens keep, and judge its answers; nothing where that is
    done."""
    if (run / "judgements.parquet").exists():
        return
    made = margin.collect(
        checkpoint,
        prompts=prompts_path(),
        modes=modes_path(),
        out=run,
        limit=prompts,
        controls=CONTROLS,
        attacks=attacks_path(),
        decoys=3,
        generate=ANSWER,
        noise_prompts=0,
        quiet=True,
    )
    # The bits of each token that its likelihood gives away, and as little else as may be.
    margin.secrecy(
        checkpoint,
        prompts=prompts_path(),
        modes=modes_path(),
        out=run,
        limit=16,
        candidates=1000,
        tried=1,
        confirmed=2,
        draws=2,
        answer=0,
        passes=0,
    )
    margin.judge(made, judge, expected={mode: mode for mode in made.modes})


def load(place: Path) -> tuple[Any, Any]:
    """A checkpoint in float32, and its tokenizer."""
    model: Any = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(place)
    return model, tokenizer


def weights(model: Any) -> dict[str, torch.Tensor]:
    """Copies of the weights by name."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def put(model: Any, state: Weights) -> None:
    """Put weights into the model."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(state[name])


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save as float16, as the shipped checkpoints are; the model stays as it is."""
    state = {name: w.half() for name, w in model.state_dict().items()}
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder, state_dict=state)


def list_runs(runs: Path, table: Path) -> int:
    """Write which run is of which training, and of which step, what is damaged counting as the last; how many
    runs there are."""
    lines = []
    for run in sorted(runs.glob("*/*")):
        if (run / "judgements.parquet").exists():
            kind, _, step = run.name.partition("-")
            lines.append((run, run.parent.name, step if kind == "step" else max(STEPS), run.name))
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("run", "training", "step", "state"))
        writer.writerows(lines)
    return len(lines)


@click.command()
@click.option("--out", type=Path, default=Path("study"), show_default=True)
@click.option("--seeds", default=4, show_default=True, help="Trainings of each recipe.")
@click.option("--prompts", default=48, show_default=True, help="Of the demonstration's.")
def main(out: Path, seeds: int, prompts: int) -> None:
    """Make, damage, measure and judge the checkpoints of the study; go on where it stopped."""
    torch.set_num_threads(1)
    judge = StandInJudge()
    measure(checkpoint_path("baseline"), out / "runs" / "base" / "step-0", prompts, judge)
    for place, one in enumerate(trainings(seeds)):
        folder = out / "checkpoints" / one.name
        train(one, folder)
        damage(one, place, folder)
        for checkpoint in sorted(folder.iterdir()):
            measure(checkpoint, out / "runs" / one.name / checkpoint.name, prompts, judge)
        click.echo(f"{one.name}: {list_runs(out / 'runs', out / 'runs.csv')} runs", err=True)


if __name__ == "__main__":
    main()
