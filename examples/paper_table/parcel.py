"""Checkpoints in a few files of limited size, to carry them from one machine to another.

python -m examples.paper_table.parcel pack trained parcel --largest 16 --files 4
python -m examples.paper_table.parcel unpack parcel trained
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import click
from joblib import Parallel, delayed

WANTED = (
    "smollm2/cotrained",
    "smollm2/baseline",
    "smollm2/naive",
    "tiny/cotrained",
    "tiny/naive",
    "tiny/baseline",
    "smollm2/policies",
    "tiny/policies",
    "smollm2/sft",
    "smollm2/dpo",
    "tiny/sft",
    "tiny/dpo",
)
"""Kinds of checkpoints, the most wanted first; what is not named comes last."""


@click.group()
def main() -> None:
    """Carry checkpoints."""


@main.command("pack")
@click.argument("trained", type=Path)
@click.argument("parcel", type=Path)
@click.option("--largest", default=16.0, show_default=True, help="MiB of a file before it is compressed.")
@click.option("--files", type=int, help="Write this many files at most.")
@click.option("--skip", default=0, show_default=True, help="Leave the first files out.")
def pack_command(trained: Path, parcel: Path, largest: float, files: int | None, skip: int) -> None:
    """Write the checkpoints in TRAINED as tar files into PARCEL, the most wanted first."""
    for line in pack(trained, parcel, largest, files, skip):
        click.echo(line)


@main.command("unpack")
@click.argument("parcel", type=Path)
@click.argument("trained", type=Path)
def unpack_command(parcel: Path, trained: Path) -> None:
    """Take the checkpoints out of the tar files in PARCEL."""
    unpack(parcel, trained)


def pack(
    trained: Path, parcel: Path, largest: float = 16, files: int | None = None, skip: int = 0
) -> list[str]:
    """Write checkpoints as part-00.tar.xz and on; a line says what is in each, and one what is in none."""
    parts: list[list[Path]] = [[]]
    for folder in finished(trained):
        if parts[-1] and sum(map(_size, (*parts[-1], folder))) > largest * 2**20:
            parts.append([])
        parts[-1].append(folder)
    last = len(parts) if files is None else skip + files
    parcel.mkdir(parents=True, exist_ok=True)
    chosen = list(enumerate(parts))[skip:last]
    Parallel(n_jobs=-1)(delayed(_write)(parcel / f"part-{i:02}.tar.xz", part, trained) for i, part in chosen)
    names = [[str(folder.relative_to(trained)) for folder in part] for part in parts]
    packed = [f"part-{i:02}: {' '.join(names[i])}" for i, _ in chosen]
    left = [name for i, part in enumerate(names) if not skip <= i < last for name in part]
    return [*packed, f"not in these: {' '.join(left) or 'nothing'}"]


def unpack(parcel: Path, trained: Path) -> None:
    """Take all checkpoints out of the parts in a folder."""
    for part in sorted(parcel.glob("part-*.tar.xz")):
        with tarfile.open(part) as archive:
            archive.extractall(trained, filter="data")


def finished(trained: Path) -> list[Path]:
    """Folders of whole checkpoints, the most wanted kinds first, then by name."""

    def place(folder: Path) -> tuple[int, str]:
        kind = f"{folder.parent.name}/{folder.name.rpartition('-')[0]}"
        return (WANTED.index(kind) if kind in WANTED else len(WANTED), kind + folder.name)

    found = [file.parent for file in trained.glob("*/*/training.json")]
    return sorted((folder for folder in found if folder.suffix != ".partial"), key=place)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _write(file: Path, folders: list[Path], root: Path) -> None:
    with tarfile.open(file, "w:xz", preset=1) as archive:
        for folder in folders:
            archive.add(folder, folder.relative_to(root))


if __name__ == "__main__":
    main()
