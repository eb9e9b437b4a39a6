"""What one call of the command line knows, and what becomes of its errors."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from margin.errors import MarginError

if TYPE_CHECKING:
    from margin.inputs.modes import ModeSet

BAD_INPUT, FAULT, INTERRUPTED = 2, 70, 130
UNWRITABLE = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
}


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

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        session = ctx.obj = Session()
        try:
            return super().invoke(ctx)
        except MarginError as error:
            _stop(session.redact(str(error)), error.exit_code)
        except OSError as error:
            if error.errno in UNWRITABLE:
                _stop(
                    session.redact(
                        f"cannot write {error.filename2 or error.filename or ''}: {error.strerror}"
                    ),
                    BAD_INPUT,
                )
            _stop(session.redact(traceback.format_exc()), FAULT)
        except KeyboardInterrupt:
            _stop("interrupted; what was written is kept", INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception:  # noqa: BLE001 - the program's edge: no traceback may show a token
            _stop(session.redact(traceback.format_exc()), FAULT)


def _stop(message: str, code: int) -> NoReturn:
    from margin.capture.ranks import launched

    rank = launched()[0]
    click.echo(f"margin: {f'rank {rank}: ' if rank else ''}{message}", err=True)
    sys.exit(code)
