"""The folder of a run: private to its owner, and filled by one command at a time."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from margin.errors import MarginError
from margin.inputs.reading import require_no_dead_link
from margin.run.files import is_partial, make_folder, writing
from margin.run.lock import hold
from margin.run.manifest import NAME as MANIFEST
from margin.streams import say

LOCK = ".margin-lock"
"""File that says who fills a folder, as long as someone does."""


def require_run_folder(folder: Path) -> None:
    """MarginError where something stands at `folder` that is no run; UnwritableError where none can look."""
    with writing(folder):
        for link in (folder, folder / MANIFEST):
            require_no_dead_link(link, "choose another folder")
        if folder.exists() and not folder.is_dir():
            raise MarginError(f"{folder} is a file: choose another folder for the run")
        others = folder.is_dir() and any(
            not is_partial(path.name) and path.name != LOCK for path in folder.iterdir()
        )
    if others and not (folder / MANIFEST).exists():
        raise MarginError(f"{folder} is not empty and holds no run: choose another folder")


def make_run_folder(folder: Path) -> None:
    """Make a run's folder, readable by its owner only: what a run holds is as secret as the model's tokens.

    One that exists keeps its mode. MarginError where something stands there that is no run, UnwritableError
    where it cannot be made.
    """
    require_run_folder(folder)
    make_folder(folder, 0o700)


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """Make a run's folder, and keep other commands from it as long as this block runs, or this process lives.

    A folder that was made here is taken away again where nothing was written into it: a name of a model that
    was mistyped leaves nothing behind. Raises what `make_run_folder` and `locked` do.
    """
    made = not folder.exists()
    make_run_folder(folder)
    try:
        with locked(folder):
            yield
    finally:
        if made:
            with suppress(OSError):
                folder.rmdir()  # which no folder is that holds anything


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other commands from filling `folder` as long as this block runs, or this process lives.

    Where the disk has no locks this is said on stderr, and nobody is kept out.

    Raises
    ------
    MarginError : another process fills it; names the process and its machine. UnwritableError : no lock can
    be written into it.
    """
    path = folder / LOCK
    with _taken(path) as file:
        try:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield
        finally:
            path.unlink(missing_ok=True)  # while it is held: who has it open sees that it is gone


@contextmanager
def _taken(path: Path) -> Iterator[TextIO]:
    while True:
        with writing(path):
            file = path.open("a+", encoding="utf-8", errors="replace")
        with file:
            held = hold(file)
            if held is None:
                say(f"{path.parent} lies on a disk without locks: see to it that nothing else fills it")
            if held is False:
                file.seek(0)
                raise MarginError(
                    f"{path.parent} is being filled by {file.read(300).strip() or 'another process'}: "
                    "wait until it has ended, or choose another folder"
                )
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                yield file
                return
