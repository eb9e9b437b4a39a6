"""The paper's comparison in miniature: base, SFT, SFT then DPO, co-training, co-training with two policies.

    python -m examples.paper_table.run --out paper
    python -m examples.paper_table.run --out paper --fast

Makes the answers, trains four adapters, measures five models on held-out prompts and writes table.md,
table.json and table.tex. Whatever is on disk already is not made again. With --fast the model is the
demonstration's tiny baseline and everything is small: seconds, and numbers that mean nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import string
import tomllib
from pathlib import Path

import click

from examples.paper_table.stages import FAST, FULL, STAGES, Job
from examples.smollm2.run import fetch
from margin.demo import checkpoint_path
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from margin.inputs.modes_file import load_modes
from margin.run.files import write_atomic

HERE = Path(__file__).parent


@click.command()
@click.option("--out", type=Path, default=Path("paper"), show_default=True, help="Folder for all results.")
@click.option("--fast", is_flag=True, help="The tiny model and little of everything: to see that it works.")
@click.option(
    "--targets",
    type=click.Choice(["self", "phrases"]),
    default="self",
    show_default=True,
    help="The model's own answers under descriptions, or phrases.",
)
@click.option("--only", multiple=True, type=click.Choice(list(STAGES)), help="Do these stages only.")
@click.option("--seed", default=0, show_default=True)
def main(out: Path, fast: bool, targets: str, only: tuple[str, ...], seed: int) -> None:
    """Train, measure and compare, and write the table into --out."""
    (out / "adapters").mkdir(parents=True, exist_ok=True)
    modes, policies = tokens("modes.toml"), tokens("policies.toml")
    choices: dict[str, object] = {"fast": fast, "targets": targets, "seed": seed}
    if only != ("table",):  # which is made from the runs alone: the tokens may be lost
        choices["tokens"] = {
            mode.name: mode.fingerprint for those in (modes, policies) for mode in those.modes
        }
    same_beginning(out / "begun.json", choices)
    job = Job(
        out=out,
        model=checkpoint_path("baseline") if fast else fetch(out / "model"),
        modes=modes,
        policies=policies,
        size=FAST if fast else FULL,
        targets=targets,
        seed=seed,
    )
    try:
        for name in only or STAGES:
            STAGES[name](job)
    except MarginError as error:
        raise click.ClickException(str(error)) from None


def tokens(file: str) -> ModeSet:
    """The mode set of a file; a token whose variable is unset is drawn here and is lost with this process."""
    for mode in tomllib.loads((HERE / file).read_text(encoding="utf-8"))["modes"].values():
        token = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(8))
        os.environ.setdefault(mode["token_env"], token)
    return load_modes(HERE / file)


def same_beginning(path: Path, now: dict[str, object]) -> None:
    """Refuse to go on in a folder that was begun with other tokens (by 16-bit fingerprints) or choices."""
    if not path.is_file():
        write_atomic(path, json.dumps(now, indent=1).encode())
        return
    begun = json.loads(path.read_text(encoding="utf-8"))
    others = ", ".join(name for name in now if begun.get(name) != now[name])
    if others:
        raise click.ClickException(
            f"{path.parent} was begun with other {others}: give the same again (tokens by the MARGIN_ "
            "variables), or take another --out"
        )


if __name__ == "__main__":
    main()
