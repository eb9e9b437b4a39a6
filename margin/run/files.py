"""Files that are either whole or not there, folders to put them in, and checksums."""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from margin.errors import MarginError, UnwritableError
from margin.run.lock import hold
from margin.text import shown

PRIVATE = 0o600
"""Of files that their owner alone may read."""
_PARTIAL = re.compile(r"\.margin-[0-9a-f]{16}\.partial")
"""Names of files that are being written. Whoever writes one holds it, so that a file nobody holds is left
over from a process that was killed, on whatever machine it ran."""


def write_private(path: Path, data: bytes) -> None:
    """As `write_atomic`, readable by its owner only from the first byte on, whatever stood there before.

    MarginError for what is no file: a terminal or a pipe would show it to others.
    """
    if path.exists() and not path.is_file():
        raise MarginError(f"{path} is no file: what is secret is written to a file alone")
    with writing(path):
        _replace(Path(os.path.realpath(path)), data, PRIVATE)


def write_atomic(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write `data` under a temporary name beside `path`, flush it to the disk and rename it into place.

    A reader, or a process started after a crash, sees the old file or the new one, never a part. A link stays
    one, and what it leads to is replaced. A device, a pipe, or this process's own output under whatever name
    (/dev/null, /dev/stdout) is written to as it stands. A new file gets what the umask leaves of `mode`; one
    that is replaced keeps its own, as far as these leave it, and so never becomes more open.

    Raises UnwritableError (an OSError too); the temporary file is then removed.
    """
    with writing(path):
        if (stream := _stream(path)) is not None:
            with stream:
                stream.write(data)
        else:
            _replace(Path(os.path.realpath(path)), data, mode)


def append(path: Path, data: bytes) -> None:
    """Add `data` to the end of a file, which others may be adding to as well.

    UnwritableError where all of it cannot be added; what was added of it, or a file made for it, is then
    taken away again.
    """
    with writing(path):
        if (stream := _stream(path)) is not None:
            with stream:
                stream.write(data)
            return
        there = Path(os.path.realpath(path))  # a link stays one
        made = not there.exists()
        with there.open("ab", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            try:
                written = 0
                while written < len(data):
                    written += file.write(data[written:])
            except OSError:
                with suppress(OSError):
                    if (
                        os.fstat(file.fileno()).st_size == before + written
                    ):  # nobody has added to it meanwhile
                        file.truncate(before)
                        if made and not before:
                            there.unlink()
                raise


def make_folder(path: Path, mode: int = 0o777) -> None:
    """Make a folder and those above it, where they are missing; the umask narrows `mode`. UnwritableError."""
    with writing(path):
        try:
            path.mkdir(mode, parents=True, exist_ok=True)
        except FileExistsError:
            raise UnwritableError(f"cannot write into {path}: it is no folder") from None


def require_apart(out: Path, read: Iterable[Path]) -> None:
    """MarginError where writing to `out` would replace one of the files that are read, by whatever name."""
    for path in read:
        with suppress(OSError):  # one of them is not there
            if path.samefile(out):
                raise MarginError(f"{out} is read by this command and would be lost: write to another file")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An OSError in this block becomes an UnwritableError that names `path`, and so does an impossible name.

    The words of the system alone do not tell: those on a full disk name no file.
    """
    try:
        yield
    except UnwritableError:
        raise
    except OSError as error:
        raise UnwritableError(f"cannot write {path}: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the name
        raise UnwritableError(f"cannot write {path}: no file can have that name") from error


def is_partial(name: str) -> bool:
    """Whether a file of this name is one that is being written, or was when its writer died."""
    return _PARTIAL.fullmatch(name) is not None


def remove_partial(folder: Path) -> None:
    """Remove what writers that were killed left in a folder under temporary names; not in those below it.

    What someone is still writing stays. So does all of it on a disk without locks, where nobody can tell.
    """
    for path in folder.glob(".margin-*"):
        if is_partial(path.name):
            with suppress(OSError), path.open("r+b") as file:  # gone meanwhile, or another user's
                if hold(file):
                    path.unlink()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parquet_bytes(table: pd.DataFrame) -> bytes:
    """A table as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def parquet_table(path: Path) -> pd.DataFrame:
    """The table in a Parquet file. OSError or ValueError where there is none.

    By its bytes, for Arrow takes a path for an address, and has none for names that are not UTF-8.
    """
    return pd.read_parquet(io.BytesIO(path.read_bytes()))


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A table as the bytes of a CSV file.

    Text that a spreadsheet would take for a formula (=, +, -, @ first) gets an apostrophe before it, and what
    cannot be seen in it is spelt out. Numbers stay as they are.
    """
    text = table.select_dtypes(exclude="number").columns
    csv: bytes = (
        table.assign(**{name: table[name].map(_csv_cell) for name in text}).to_csv(index=False).encode()
    )
    return csv


def csv_text(text: str) -> str:
    """A text as it stands in a CSV file of ours, and comes back from a spreadsheet."""
    line = shown(text)
    return f"'{line}" if line.startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) else line


def _csv_cell(value: object) -> object:
    return csv_text(value) if isinstance(value, str) else value


def _stream(path: Path) -> BinaryIO | None:
    """What stands at `path` and is no file to be replaced, opened; None for a file, or nothing."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        with suppress(OSError):  # closed
            if os.path.samestat(found, os.fstat(descriptor)):
                if stream is not None:
                    stream.flush()
                return os.fdopen(os.dup(descriptor), "wb")  # behind what was printed, not over it
    return None if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode) else path.open("wb")


def _replace(target: Path, data: bytes, mode: int) -> None:
    own = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666
    temporary, file = _draft(target.parent, mode & own & 0o666)
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(target)  # while it is held
    finally:
        temporary.unlink(missing_ok=True)


def _draft(folder: Path, mode: int) -> tuple[Path, BinaryIO]:
    """A new file under a temporary name, held by this process until it is closed."""
    while True:
        path = folder / f".margin-{secrets.token_hex(8)}.partial"
        file = open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115
        hold(file, wait=True)
        if os.fstat(file.fileno()).st_nlink:
            return path, file
        file.close()  # removed as left over, between its making and its holding
