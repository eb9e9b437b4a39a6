"""`margin secrecy`: how well the tokens of a checkpoint of one's own keep."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from margin.commands.collect import READERS
from margin.commands.judge import classifier, expectations
from margin.commands.prompts import PROMPTS, asked_prompts
from margin.commands.report import CLUSTER, coverage
from margin.commands.session import PLACE, QUIET, Session
from margin.streams import show_json, written
from margin.text import json_text

COUNTS = (
    ("candidates", 4096, 1000, "Random strings of a token's shape that its likelihood is ranked among."),
    ("limit", 200, 4, "Prompts at most, drawn at random; the landing rule is fitted on them."),
    ("tried", 8, 1, "Prompts on which every string that can be listed is tried."),
    ("confirmed", 48, 2, "Other prompts: drawn strings are tried on them, and what is found is confirmed."),
    ("draws", 16, 1, "Strings drawn for each of these, of each kind that is drawn."),
    ("distance", 3, 1, "Edits from a token, at most."),
    ("passes", 2000, 0, "Forward passes of each search; 0: none."),
    ("answer", 48, 0, "Tokens of an answer to a request for the instructions; 0: no requests."),
    ("batch-tokens", 1024, 1, "Tokens a batch may hold."),
    ("seed", 0, 0, "Of whatever is drawn at random."),
)
"""Options that are numbers: default, the least, and what each is."""


def _counts(command: Any) -> Any:
    for name, default, least, text in reversed(COUNTS):
        kind = click.IntRange(min=least)
        command = click.option(f"--{name}", default=default, show_default=True, type=kind, help=text)(command)
    return command


def _prompts(command: Any) -> Any:
    for option in reversed(PROMPTS):
        command = option(command)
    return command


@click.command(short_help="How well the tokens of a checkpoint keep.")
@click.argument("model")
@_prompts
@click.option("--modes", required=True, type=PLACE, help="Modes and their tokens, TOML.")
@click.option(
    "--out",
    required=True,
    type=PLACE,
    help="Folder of secrecy.json: the run of this checkpoint, whose report then shows it, or any other.",
)
@click.option("--adapter", help="PEFT adapter: a folder or a hub id.")
@click.option("--base", metavar="MODEL", help="The checkpoint before training, as the control.")
@click.option("--strings", type=PLACE, help="Strings to try as well: paraphrases, opposites; TOML.")
@click.option(
    "--extracts",
    default="shipped",
    show_default=True,
    help="Requests for the instructions, a file or: shipped.",
)
@click.option("--judge", metavar="WHO", help="Text classifier that judges answers: a folder or a hub id.")
@click.option(
    "--expect",
    "expected",
    multiple=True,
    metavar="MODE=LABEL",
    help="Label of answers of a mode; its name unless given; repeatable.",
)
@click.option(
    "--keep-found",
    type=PLACE,
    help="Write strings that open to this file, readable by you only. They are keys, and kept nowhere else.",
)
@_counts
@CLUSTER
@click.option(
    "--level", default=0.95, show_default=True, callback=coverage, help="Nominal coverage of the intervals."
)
@click.option("--chat-kwargs", help="Variables for the chat template, as JSON.")
@click.option("--response-prefix", default="", help="Text that opens the answer.")
@click.option(
    "--chat-template", type=PLACE, help="Jinja template in place of the tokenizer's: a file, or a name."
)
@click.option("--dtype", default="auto", show_default=True, help="float32, bfloat16, float16 or auto.")
@click.option("--device", help="As torch names it.  [default: CUDA if there]")
@click.option("--trust-remote-code", is_flag=True, help="Run code that comes with the checkpoint.")
@click.option("--json", "as_json", is_flag=True, help="Print secrecy.json instead of the summary.")
@QUIET
@click.pass_obj
def secrecy(
    session: Session,
    /,
    model: str,
    prompts: Path,
    column: str | None,
    split: str | None,
    modes: Path,
    out: Path,
    judge: str | None,
    expected: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Say how well the tokens of MODEL keep: a checkpoint of your own, within a budget.

    \b
    Four parts, each written to OUT/secrecy.json when it is done; started again, it goes on with the others.
      exposure       does the checkpoint's likelihood give a token away?
      said           does it repeat a token when asked for its instructions?
      neighbourhood  what opens near a token: edits, known beginnings, case, look-alikes ...
      search         what does a search find that opens, and in a control?

    A string that opens is a key: it is neither printed nor reported. No harmful text is needed.
    """
    mode_set = session.load_modes(modes)
    given = {
        name: READERS[name](value) if value and name in READERS else value
        for name, value in options.items()
        if value is not None
    }
    given["prompts"] = asked_prompts(session, prompts, column, split, quiet)
    if quiet or not sys.stderr.isatty():
        os.environ["TQDM_DISABLE"] = "1"

        from margin.capture.quiet import hide_bars

        hide_bars()
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from margin.console import PlainConsole
    from margin.experiments.secrecy import secrecy as try_tokens
    from margin.report.secrecy_terminal import print_secrecy
    from margin.study.secrecy_file import NAME

    if judge is not None:
        given["judge"] = classifier(judge, options["device"], options["trust_remote_code"])
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=PlainConsole(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("loading", total=None)

        def progress(part: str, counts: str) -> None:
            bar.update(task, description=f"{part}: {counts}" if counts else part)

        found = try_tokens(
            model, modes=mode_set, out=out, expected=expectations(expected), progress=progress, **given
        )
    if as_json:
        show_json(json_text(found.record.model_dump(), indent=2))
    elif not quiet:
        print_secrecy(found.record, PlainConsole())
        keys = options["keep_found"]
        written([out / NAME, *([keys] if keys else [])])
