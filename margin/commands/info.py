"""`margin info`: what a run is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from margin.commands.session import PLACE
from margin.streams import folded, show, show_json
from margin.text import counted, json_text, shown

if TYPE_CHECKING:
    from margin.run.manifest import Manifest

NAMES = 11
"""Characters before what an entry of a run says."""


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
        print_run(run.manifest, path)
    if not run.manifest.complete:
        run.verify()  # what is there of it; then opening says that it is not whole
    open_run(path)
    if not as_json:
        if floor := noise_floor(run):
            _print_entry("noise", _noise(floor))
        _print_entry("whole", "every file is as it was written")
        if run.manifest.identity.secret:
            _print_entry("secret", "as its tokens, which can be found from it: SECURITY.md")


def _noise(floor: dict[str, Any]) -> str:
    return (
        f"{counted(floor['prompts'], 'prompt')} again, alone in {floor['dtype']} and in other batches: "
        f"margin {floor['sam']:.1e} apart, states {floor['state_error']:.1e}"
    )


def print_run(manifest: Manifest, path: Path) -> None:
    """Print what a run is, an entry a line."""
    from margin.run.thoughts import in_words

    identity, counts, batching = manifest.identity, manifest.counts, manifest.batching
    controls = identity.conditions[len(identity.modes) :]
    lines = {
        "run": path,
        "model": " + ".join(filter(None, (identity.model, identity.adapter))),
        "weights": f"{identity.weights[:16]}  {identity.dtype}, {identity.attention} attention",
        "rows": f"{counts.rows} of {counted(counts.prompts or 0, 'prompt')}",
        "modes": ", ".join(f"{mode.name} ({'safe' if mode.safe else 'unsafe'})" for mode in identity.modes),
        "controls": ", ".join(controls) or "none",
        "layers": ", ".join(map(str, identity.layers)) or "none",
        "tail": repr(manifest.tail),
        **({} if manifest.thoughts is None else {"measured": in_words(manifest.thoughts)}),
        "prefix": batching.prefix_reason,
        "padding": batching.pad_reason,
        "last block": batching.narrow_reason,
    }
    if states := manifest.imported:
        lines["imported"] = (
            f"{states.source} ({states.engine}, {states.precision}): {states.rows_compared} rows run again "
            f"agree to {states.largest_difference:.1e}, the final norm applied {states.final_norm}"
        )
    if speed := manifest.throughput:
        lines["speed"] = (
            f"{speed.rows_per_s:.1f} rows/s over {counted(speed.rows, 'row')}"
            f"{f' on {speed.ranks} ranks' if speed.ranks > 1 else ''}, {speed.padding_share:.1%} padding"
        )
    for name, value in lines.items():
        _print_entry(name, value)


def _print_entry(name: str, value: object) -> None:
    """A line, or several below each other, of a name and what belongs to it; a path is not broken."""
    show(folded(f"{name:<{NAMES}}{shown(value)}", NAMES))
