"""`margin collect` and `margin info`: make a run, and say what a run is."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from margin.commands.session import PLACE, Session
from margin.streams import show, show_json
from margin.text import json_text, shown

OPTIONS = (
    click.option("--prompts", required=True, type=PLACE, help="JSON lines, CSV or Parquet."),
    click.option("--modes", required=True, type=PLACE, help="Modes and their tokens, TOML."),
    click.option("--layers", default="last", show_default=True, help="none, all, last, every:N, or 0,8,-1."),
    click.option("--dtype", default="auto", show_default=True, help="auto, float32, bfloat16 or float16."),
    click.option(
        "--device",
        help="As torch names it; auto spreads a large model, tp splits it over ranks. "
        "[default: CUDA if there]",
    ),
    click.option(
        "--batch-tokens",
        default="1024",
        show_default=True,
        callback=lambda context, option, value: _batch_tokens(value),
        help="Tokens a batch may hold, or auto: found by trying.",
    ),
    click.option(
        "--noise-prompts",
        default=8,
        show_default=True,
        type=click.IntRange(min=0),
        help="Prompts run again in other ways, for the noise floor; 0: none.",
    ),
    click.option(
        "--chat-kwargs", help="Variables for the chat template, JSON: '{\"enable_thinking\": false}'."
    ),
    click.option("--response-prefix", default="", help="Text that opens the answer."),
    click.option(
        "--chat-template",
        type=PLACE,
        help="Jinja file in place of the tokenizer's, or the name of one of its own.",
    ),
    click.option("--save-logits", is_flag=True, help="Keep all logits of every row."),
    click.option(
        "--positions",
        default=1,
        show_default=True,
        type=click.IntRange(min=1),
        help="Response positions, along the model's own greedy answer.",
    ),
    click.option(
        "--generate",
        default=0,
        show_default=True,
        type=click.IntRange(min=0),
        help="Tokens of each row's greedy answer to keep as text; 0: none.",
    ),
    click.option("--limit", type=int, help="Only the first N prompts."),
    click.option("--controls", help="Conditions beside the modes: none,random,near-miss,user-turn."),
    click.option("--attacks", help="Templates to wrap the prompts in, TOML or JSON lines; or: shipped."),
    click.option(
        "--draws",
        default=1,
        show_default=True,
        type=click.IntRange(min=1),
        help="Tokens a prompt of random and near-miss.",
    ),
    click.option(
        "--seed",
        default=0,
        show_default=True,
        type=click.IntRange(min=0),
        help="Of whatever is drawn at random.",
    ),
    click.option("--trust-remote-code", is_flag=True, help="Run code that comes with the checkpoint."),
    click.option("--quiet", is_flag=True, help="No progress."),
)
"""What every command that collects may be told, apart from the model and where the run goes."""


def collect_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with `OPTIONS`, in their order."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def collect_arguments(
    session: Session,
    *,
    modes: Path,
    chat_kwargs: str | None,
    chat_template: Path | None,
    controls: str | None,
    quiet: bool,
    **options: Any,
) -> dict[str, Any]:
    """The arguments of `margin.collect` that these options mean; the modes' tokens are redacted from now on.

    Bars of loading are switched off where nobody would see them, and all progress but the first process's.
    """
    from margin.inputs.chat import load_template, parse_kwargs
    from margin.launch import launched

    quiet = quiet or launched()[0] > 0
    mode_set = session.load_modes(modes)
    kwargs = parse_kwargs(chat_kwargs) if chat_kwargs else None
    template = load_template(chat_template) if chat_template else None
    if quiet or not sys.stderr.isatty():
        os.environ["TQDM_DISABLE"] = "1"  # the bars of loading and dequantising; read when they are imported

        from margin.capture.quiet import hide_bars

        hide_bars()  # where transformers was imported before
    return {
        "modes": mode_set,
        "chat_kwargs": kwargs,
        "chat_template": template,
        "controls": [name.strip() for name in controls.split(",")] if controls else (),
        "quiet": quiet,
        **options,
    }


@click.command(short_help="Run every prompt under every mode, once, and keep the run.")
@click.argument("model")
@click.option("--out", required=True, type=PLACE, help="Folder of the run.")
@click.option("--adapter", help="PEFT adapter: a folder or a hub id.")
@collect_options
@click.pass_obj
def collect(session: Session, /, model: str, out: Path, adapter: str | None, **options: Any) -> None:
    """Run every prompt under every mode through MODEL, a folder, a hub id or a GGUF file.

    Started again, an interrupted run goes on where it stopped. Under torchrun or accelerate launch
    (-m margin collect ...) each process runs its share.
    """
    arguments = collect_arguments(session, **options)

    from margin.capture.collect import collect as collect_run
    from margin.launch import launched

    run = collect_run(model, out=out, adapter=adapter, **arguments)
    if launched()[0] == 0:
        _print_run(run.manifest.to_dict(), run.path)


def _batch_tokens(value: str) -> str | int:
    if value == "auto":
        return value
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither a number of tokens nor auto")
    return int(value)


@click.command(short_help="What a run is, and whether it is whole.")
@click.argument("path", metavar="RUN", type=PLACE)
@click.option("--json", "as_json", is_flag=True, help="The whole manifest.")
def info(path: Path, as_json: bool) -> None:
    """What a run is, and whether it is whole.

    Every byte is read and compared with its checksum.
    """
    from margin.run.manifest import read_manifest
    from margin.run.run import Run, open_run
    from margin.study.noise_floor import noise_floor

    run = Run(path, read_manifest(path))
    if as_json:
        show_json(json_text(run.manifest.to_dict(), indent=2))
    else:
        _print_run(run.manifest.to_dict(), path)
    if not run.manifest.complete:
        run.verify()  # what is there of it; then opening says that it is not whole
    open_run(path)
    if not as_json:
        if floor := noise_floor(run):
            show(f"{'noise':<11}{_noise(floor)}")
        show(f"{'whole':<11}every file is as it was written")
        show(f"{'secret':<11}as its tokens, which can be found from it: SECURITY.md")


def _noise(floor: dict[str, Any]) -> str:
    return (
        f"{floor['prompts']} prompts again, alone in {floor['dtype']} and in other batches: margin "
        f"{floor['sam']:.1e} apart, states {floor['state_error']:.1e}"
    )


def _print_run(manifest: dict[str, Any], path: Path) -> None:
    identity, counts, batching = manifest["identity"], manifest["counts"], manifest["batching"]
    modes = ", ".join(
        f"{mode['name']} ({'safe' if mode['safe'] else 'unsafe'})" for mode in identity["modes"]
    )
    lines = {
        "run": path,
        "model": " + ".join(filter(None, (identity["model"], identity["adapter"]))),
        "weights": f"{identity['weights'][:16]}  {identity['dtype']}, {identity['attention']} attention",
        "rows": f"{counts['rows']} of {counts['prompts']} prompts",
        "modes": modes,
        "controls": ", ".join(identity["conditions"][counts["modes"] :]) or "none",
        "layers": ", ".join(map(str, identity["layers"])) or "none",
        "tail": repr(manifest["tail"]),
        "prefix": batching.get("prefix_reason", "-"),
        "padding": batching.get("pad_reason", "-"),
        "last block": batching.get("narrow_reason", "-"),
    }
    if throughput := manifest["throughput"]:
        lines["speed"] = (
            f"{throughput['rows_per_s']:.1f} rows/s over {throughput['rows']} rows"
            f"{' on ' + str(ranks) + ' ranks' if (ranks := throughput.get('ranks', 1)) > 1 else ''}, "
            f"{throughput['padding_share']:.1%} padding"
        )
    for name, value in lines.items():
        show(f"{name:<11}{shown(value)}")
