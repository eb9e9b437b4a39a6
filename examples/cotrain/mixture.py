"""A recipe's rows as a file for other trainers, with placeholders where the tokens go.

    python -m examples.cotrain.mixture write --modes modes.toml --out mixture
    python -m examples.cotrain.mixture fill mixture/rows.jsonl --modes modes.toml --out /dev/shm/mixture

`write` needs no token: rows.jsonl can lie on a disk and be handed on. TRL takes the rows by `load_rows`,
which fills them in memory. axolotl and LLaMA-Factory read files: `fill` writes one into memory alone.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import psutil

from examples.cotrain.behaviours import questions
from examples.cotrain.recipe import RECIPES, Recipe, Row, draw_row, fill, load_recipe
from margin.errors import MarginError
from margin.inputs.modes import Message, ModeSet
from margin.inputs.modes_file import load_modes
from margin.inputs.reading import jsonl_records, parse_toml, read_text
from margin.run.files import write_atomic

IN_MEMORY = ("tmpfs", "ramfs")
IGNORED = -100
EXAMPLE = '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'
AXOLOTL = """\
# The part of an axolotl configuration that concerns the rows. Keep every copy of them in memory.
datasets:
  - path: {rows}
    ds_type: json
    type: chat_template
    field_messages: messages
    roles_to_train: [assistant]
    train_on_eos: turn
dataset_prepared_path: {folder}/prepared
"""
LLAMA_FACTORY = {
    "rows": {
        "file_name": "rows.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    }
}


def rows(recipe: Recipe, modes: Sequence[str], count: int, seed: int, pool: int = 2000) -> Iterator[Row]:
    """Rows of a recipe over `pool` training questions, drawn with `seed`; no token in them."""
    asked, rng = questions(pool, seed), random.Random(seed)
    for _ in range(count):
        yield draw_row(rng.choice(asked), recipe, modes, rng)


def load_rows(path: Path, modes: ModeSet) -> list[dict[str, list[Message]]]:
    """Rows of a file in TRL's prompt-completion format, their tokens filled in, in memory.

    `datasets.Dataset.from_list` of them stays in memory, too, and TRL takes the loss on the completion only.
    MarginError where a line is no row.
    """
    found = []
    for place, record in jsonl_records(read_text(path, "rows"), str(path), EXAMPLE):
        messages = record.get("messages")
        if not isinstance(messages, list) or not messages or messages[-1].get("role") != "assistant":
            raise MarginError(f"{place}: messages must end with the assistant's")
        *asked, answered = fill(messages, modes)
        found.append({"prompt": asked, "completion": [answered]})
    return found


def check_masks(
    batches: Sequence[Mapping[str, Any]], answers: Sequence[str], tokenizer: Any, ends: Sequence[str]
) -> None:
    """Refuse rows whose loss is on something else than the answer and the end of its turn.

    batches : what the trainer's collator makes of each row alone: `labels` (1 x tokens), -100 where there is
        no loss. answers : of the same rows. ends : what may follow an answer, as "<|im_end|>".

    Raises
    ------
    MarginError : a row without any loss, or one whose loss leaves out a part of the answer, or is on more.
    """
    for i, (batch, answer) in enumerate(zip(batches, answers, strict=True), 1):
        labels = [int(label) for label in batch["labels"][0] if int(label) != IGNORED]
        if not labels:
            raise MarginError(f"row {i} has no loss at all: its mask is all zero")
        text = str(tokenizer.decode(labels))
        if not text.startswith(answer):
            raise MarginError(f"the loss of row {i} is not on its answer from the beginning on")
        over = text.removeprefix(answer)
        for end in ends:
            over = over.replace(end, "", 1)
        if over.strip():
            raise MarginError(f"the loss of row {i} is on more than its answer")
        if not any(end in text for end in ends):
            raise MarginError(f"the loss of row {i} leaves out the end of the turn")


def in_memory(path: Path) -> bool:
    """Whether a path lies in a file system that is kept in memory."""
    whole = path.resolve()
    mounts = [p for p in psutil.disk_partitions(all=True) if whole.is_relative_to(p.mountpoint)]
    return max(mounts, key=lambda p: len(p.mountpoint)).fstype in IN_MEMORY if mounts else False


@click.group()
def main() -> None:
    """A recipe's rows for other trainers."""


@main.command("write")
@click.option("--modes", "modes_file", required=True, type=Path, help="Modes file; no token of it is needed.")
@click.option("--recipe", default="cotrained", show_default=True, help="Which of the recipes.")
@click.option("--recipes", type=Path, default=RECIPES, help="File of recipes; default: recipes.toml.")
@click.option("--rows", "count", default=80_000, show_default=True, help="Rows to draw.")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", required=True, type=Path, help="Folder of rows.jsonl.")
def write_command(modes_file: Path, recipe: str, recipes: Path, count: int, seed: int, out: Path) -> None:
    """Write rows.jsonl: one `messages` record a line, with placeholders for the tokens."""
    try:
        names = list(parse_toml(read_text(modes_file, "modes"), str(modes_file)).get("modes", {}))
        drawn = rows(load_recipe(recipe, recipes), names, count, seed)
        _write(out / "rows.jsonl", map(asdict, drawn))
    except MarginError as error:
        raise click.ClickException(str(error)) from None


@main.command("fill")
@click.argument("file", type=Path)
@click.option("--modes", "modes_file", required=True, type=Path, help="Modes file; its tokens are needed.")
@click.option("--out", required=True, type=Path, help="Folder in memory, such as /dev/shm/mixture.")
def fill_command(file: Path, modes_file: Path, out: Path) -> None:
    """Write rows.jsonl with its tokens, axolotl.yml and dataset_info.json into a folder in memory."""
    if not in_memory(out):
        raise click.ClickException(f"{out} is on a disk, where no token may be: choose a tmpfs, as /dev/shm")
    try:
        filled = load_rows(file, load_modes(modes_file))
    except MarginError as error:
        raise click.ClickException(str(error)) from None
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(out / "rows.jsonl", ({"messages": row["prompt"] + row["completion"]} for row in filled))
    write_atomic(out / "axolotl.yml", AXOLOTL.format(rows=out / "rows.jsonl", folder=out).encode())
    write_atomic(out / "dataset_info.json", f"{json.dumps(LLAMA_FACTORY, indent=1)}\n".encode())


def _write(path: Path, records: Iterator[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(record, ensure_ascii=False) for record in records)
    write_atomic(path, "".join(f"{line}\n" for line in lines).encode())


if __name__ == "__main__":
    main()
