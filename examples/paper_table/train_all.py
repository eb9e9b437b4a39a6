"""Everything the table is made of, trained: recipes and seeds side by side on one device.

    python -m examples.paper_table.train_all tiny --out trained
    python -m examples.paper_table.train_all smollm2 --model SmolLM2.gguf --out trained

Side by side is for an accelerator; on a CPU `--together 1` trains one after the other. What is finished is
found again, and what was begun goes on, so that a run can be killed and started again. The tokens are in
MARGIN_POS, MARGIN_NEG, MARGIN_REJ, MARGIN_EN and MARGIN_ZH.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click
import torch
from transformers.utils.logging import disable_progress_bar

from examples.paper_table.plans import DPO, PLANS, Training
from examples.paper_table.tokens import load_tokens
from examples.paper_table.workshop import Workshop
from margin.errors import MarginError


@click.command()
@click.argument("base", type=click.Choice(list(PLANS)))
@click.option("--model", help="Base of smollm2: a folder, a hub id or a GGUF file.")
@click.option(
    "--out", type=Path, default=Path("trained"), show_default=True, help="Folder of the checkpoints."
)
@click.option("--recipe", "recipes", multiple=True, help="Train these alone; default: all of the plan.")
@click.option("--seeds", type=int, help="Trainings of each recipe; default: 5 tiny, 3 of smollm2.")
@click.option("--steps", type=int, help="Training steps; default: the plan's.")
@click.option("--together", type=int, default=64, show_default=True, help="Trainings side by side, at most.")
@click.option("--workers", type=int, default=1, show_default=True, help="Processes that make the rows.")
@click.option("--minutes", type=float, help="Time there is: steps are cut to it, what has no time is left.")
@click.option("--rank", default=16, show_default=True, help="Of the LoRA adapters, on all linear layers.")
@click.option("--rows", type=int, help="Rows of a step; default: the plan's.")
@click.option("--rate", type=float, help="Learning rate; default: the plan's.")
@click.option("--beginning", type=float, help="Share of the steps of live rows alone; default: the plan's.")
@click.option(
    "--bf16", is_flag=True, help="Frozen weights and products in bfloat16; what is trained stays float32."
)
def main(
    base: str,
    model: str | None,
    out: Path,
    recipes: tuple[str, ...],
    seeds: int | None,
    steps: int | None,
    together: int,
    workers: int,
    minutes: float | None,
    rank: int,
    rows: int | None,
    rate: float | None,
    beginning: float | None,
    bf16: bool,
) -> None:
    """Train the checkpoints of the comparison from one BASE."""
    end = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    plan = PLANS[base]
    steps = steps or plan.steps
    plan = replace(
        plan,
        seeds=seeds or plan.seeds,
        steps=steps,
        dpo_steps=min(plan.dpo_steps, steps),
        rows=rows or plan.rows,
        rate=rate or plan.rate,
        beginning=plan.beginning if beginning is None else beginning,
    )
    if base == "smollm2" and model is None:
        raise click.UsageError("smollm2 needs --model")
    torch.set_float32_matmul_precision("high")
    disable_progress_bar()
    try:
        load_tokens()
        workshop = Workshop(base, plan, model, out / base, workers, rank, bf16)
        wanted = [
            Training(base, recipe, seed)
            for recipe in recipes or (*plan.recipes, DPO)
            for seed in range(plan.seeds)
        ]
        for stage in ([t for t in wanted if t.recipe != DPO], [t for t in wanted if t.recipe == DPO]):
            waiting = [training for training in stage if not workshop.folder(training).is_dir()]
            for start in range(0, len(waiting), together):
                workshop.train(waiting[start : start + together], end)
    except MarginError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
