"""`margin collect`: make a run; and the options of every command that collects."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from margin.commands.info import print_run
from margin.commands.prompts import PROMPTS, asked_prompts
from margin.commands.session import PLACE, QUIET, Session
from margin.inputs.options import MADE_HERE, CaptureOptions, option_types
from margin.streams import show


class _NumberOrWord(click.ParamType[Any]):
    """A number of something, or one of a few words."""

    name = "integer"

    def __init__(self, numbers: click.ParamType[Any], words: tuple[str, ...], unit: str) -> None:
        self._numbers, self._words, self._unit = numbers, words, unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in self._words:
            return value
        try:
            return self._numbers.convert(value, param, ctx)
        except click.BadParameter:
            known = f"a number of {self._unit} nor {' or '.join(self._words)}"
            self.fail(f"{value!r} is neither {known}", param, ctx)


def _click_type(hint: Any, at_least: int | None, unit: str) -> click.ParamType[Any]:
    """What reads an option of this type; text where it may be several things."""
    numbers = click.INT if at_least is None else click.IntRange(min=at_least)
    kinds = {hint, *get_args(hint)}
    words = tuple(word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind))
    if int not in kinds or Path in kinds:
        return click.STRING
    return _NumberOrWord(numbers, words, unit) if words else numbers


def _capture_options(without: Collection[str] = ()) -> list[Callable[..., Any]]:
    """An option for each field of `CaptureOptions` that the command line has, but for some."""
    types, made = option_types(), []
    for option in fields(CaptureOptions):
        if not option.metadata["on_command_line"] or option.name in without:
            continue
        if option.name == "quiet":
            made.append(QUIET)
            continue
        name, about = f"--{option.name.replace('_', '-')}", option.metadata
        if types[option.name] is bool:
            made.append(click.option(name, is_flag=True, help=about["help"]))
            continue
        default = None if option.default in ((), "") else option.default
        kind = _click_type(types[option.name], about["at_least"], about["unit"])
        made.append(
            click.option(
                name,
                default=default,
                show_default=default is not None,
                type=PLACE if option.name in PATHS else kind,
                help=about["help"],
            )
        )
    return made


def _read_kwargs(text: str) -> dict[str, Any]:
    from margin.inputs.template import parse_kwargs

    return parse_kwargs(text)


def _read_template(path: Path) -> str:
    from margin.inputs.template import load_template

    return load_template(path)


PATHS = {"chat_template"}
"""Options that are a file's name on the command line, where an empty one is refused."""
READERS: dict[str, Callable[[Any], Any]] = {
    "chat_kwargs": _read_kwargs,
    "chat_template": _read_template,
    "controls": lambda names: [name.strip() for name in names.split(",")],
}
"""What makes of some options' text what `margin.collect` takes."""
INPUTS = (
    *PROMPTS,
    click.option("--modes", required=True, type=PLACE, help="Modes and their tokens, TOML."),
)


def collect_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with all it may be told that collects, apart from the model and where the run goes."""
    return with_options(command, _capture_options())


def import_options(command: Callable[..., None]) -> Callable[..., None]:
    """The same, but for what only a model that is run here can be asked."""
    return with_options(command, _capture_options(MADE_HERE))


def with_options(command: Callable[..., None], options: Sequence[Callable[..., Any]]) -> Callable[..., None]:
    """The command with `INPUTS` and options, in their order."""
    for option in reversed([*INPUTS, *options]):
        command = option(command)
    return command


def collect_arguments(
    session: Session,
    *,
    modes: Path,
    quiet: bool,
    prompts: Path,
    column: str | None,
    split: str | None,
    **options: Any,
) -> dict[str, Any]:
    """The arguments of `margin.collect` that these options mean; the modes' tokens are redacted from now on.

    Bars of loading are switched off where nobody would see them, and all progress but the first process's.
    """
    from margin.launch import launched

    quiet = quiet or launched()[0] > 0
    mode_set = session.load_modes(modes)
    given = {
        name: READERS[name](value) if value and name in READERS else value
        for name, value in options.items()
        if value is not None
    }
    if quiet or not sys.stderr.isatty():
        os.environ["TQDM_DISABLE"] = "1"  # the bars of loading and dequantising; read when they are imported

        from margin.capture.quiet import hide_bars

        hide_bars()  # where transformers was imported before
    chosen = asked_prompts(session, prompts, column, split, quiet)
    return {**given, "prompts": chosen, "modes": mode_set, "quiet": quiet}


@click.command(short_help="Run every prompt under every mode, once, and keep the run.")
@click.argument("model")
@click.option("--out", required=True, type=PLACE, help="Folder of the run.")
@click.option("--adapter", help="PEFT adapter: a folder or a hub id.")
@collect_options
@click.option("--plan", is_flag=True, help="Say what it will cost in rows, time and room, and stop there.")
@click.pass_obj
def collect(
    session: Session, /, model: str, out: Path, adapter: str | None, plan: bool, **options: Any
) -> None:
    """Run every prompt under every mode through MODEL, a folder, a hub id or a GGUF file.

    Started again, an interrupted run goes on where it stopped. Under torchrun or accelerate launch
    (-m margin collect ...) each process runs its share.
    """
    arguments = collect_arguments(session, **options)

    from margin.capture.collect import collect as collect_run
    from margin.capture.collect import plan as plan_run
    from margin.launch import launched

    if plan:
        show(plan_run(model, out=out, adapter=adapter, **arguments))
        return
    run = collect_run(model, out=out, adapter=adapter, **arguments)
    if launched()[0] == 0 and not arguments["quiet"]:
        print_run(run.manifest, run.path)
