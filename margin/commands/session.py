"""What one call of the command line knows, and what becomes of its errors."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from margin.commands.process import begin, end
from margin.errors import MarginError
from margin.streams import tell
from margin.text import shown

if TYPE_CHECKING:
    from margin.inputs.modes import ModeSet

BAD_INPUT, FAULT, INTERRUPTED = 2, 70, 130
OF_THE_DISK = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ESTALE,
}
"""What files and folders do to a program that is in order; said with the file's name."""


class _Place(click.Path):
    """A path; an empty one, which Python would take for the folder this runs in, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):
            self.fail("the name is empty", param, ctx)
        return super().convert(value, param, ctx)


PLACE = _Place(path_type=Path)
"""The type of every argument that names a file or a folder."""


@dataclass
class Session:
    """What one call of the command knows."""

    redact: Callable[[str], str] = str
    """Takes live tokens out of a text; does nothing before a mode set is loaded."""

    def load_modes(self, path: Path) -> ModeSet:
        """Load a mode set, and from then on redact its tokens from every error."""
        from margin.inputs.modes import load_modes

        modes = load_modes(path)
        self.redact = modes.redact
        return modes


class Commands(click.Group):
    """Commands in order; errors become exit codes, a user's in one line, the program's with a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order they were added, which is that of the work."""
        return list(self.commands)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a process of its own, which the console script and `python -m margin` do."""
        begin()
        try:
            return self.main(*args, **kwargs)
        finally:
            end()

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        session = ctx.obj = Session()
        try:
            return super().invoke(ctx)
        except MarginError as error:
            _stop(shown(session.redact(str(error))), error.exit_code)
        except OSError as error:
            if error.errno in OF_THE_DISK and (name := error.filename2 or error.filename):
                _stop(shown(session.redact(f"{os.fsdecode(name)}: {error.strerror}")), BAD_INPUT)
            if error.errno == errno.EPIPE:  # of click's own help
                raise
            _stop(session.redact(traceback.format_exc()), FAULT)
        except KeyboardInterrupt as stop:
            _stop("interrupted; what was written is kept", getattr(stop, "code", INTERRUPTED))
        except click.ClickException as error:
            error.message = shown(error.message)  # type: ignore[misc]
            raise
        except (click.exceptions.Exit, click.Abort):
            raise
        except Exception:  # noqa: BLE001 - the program's edge: no traceback may show a token
            _stop(session.redact(traceback.format_exc()), FAULT)


def _stop(message: str, code: int) -> NoReturn:
    from margin.launch import launched

    rank = launched()[0]
    tell(f"margin: {f'rank {rank}: ' if rank else ''}{message}")
    sys.exit(code)
