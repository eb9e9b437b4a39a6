"""What one call of the command line knows, and what becomes of its errors."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from margin.commands.process import begin, end
from margin.errors import MarginError, MarginWarning, UnwritableError
from margin.streams import say, tell
from margin.text import printed, shown

if TYPE_CHECKING:
    from margin.inputs.modes import ModeSet
    from margin.run.manifest import Manifest
    from margin.run.run import Run

BAD_INPUT, FAULT, INTERRUPTED = 2, 70, 130
ARGUMENTS = "margin.arguments"
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


QUIET_HELP = "Say nothing but warnings and errors, and what --json asks for."
QUIET = click.option("--quiet", is_flag=True, help=QUIET_HELP)
"""The same in every command that writes something or ends with a verdict: no progress, no summary."""


@dataclass
class Session:
    """What one call of the command knows."""

    redact: Callable[[str], str] = str
    """Takes live tokens out of a text; does nothing before a mode set is loaded."""

    def load_modes(self, path: Path) -> ModeSet:
        """Load a mode set, and from then on redact its tokens from every error."""
        from margin.inputs.modes_file import load_modes

        modes = load_modes(path)
        self.redact = modes.redact
        return modes

    def redact_tokens_of(self, run: Run) -> None:
        """From now on take words out of every error that have the fingerprint of a run's token."""
        self._redact_tokens_of(run.manifest)

    def know(self, arguments: list[str]) -> None:
        """Redact the tokens of the first run that a command line names, where no mode set was loaded.

        What people type as a column or a table may be a token, too, and is quoted where it is refused.
        """
        from margin.run.manifest import NAME, read_manifest

        words = (word for given in arguments for word in re.split("[=,]", given))
        with suppress(MarginError, OSError, ValueError):  # ValueError: a NUL in a word
            if self.redact is str and (run := next((w for w in words if (Path(w) / NAME).is_file()), None)):
                self._redact_tokens_of(read_manifest(Path(run)))

    def _redact_tokens_of(self, manifest: Manifest) -> None:
        from margin.run.fingerprints import message_without_tokens

        self.redact = partial(message_without_tokens, manifest)


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

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words of the command line, for what is said of one that is refused."""
        ctx.meta[ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        session = ctx.obj = Session()
        try:
            with _saying(session):
                return super().invoke(ctx)
        except MarginError as error:
            session.know(ctx.meta[ARGUMENTS])
            _stop(shown(session.redact(str(error))), error.exit_code)
        except OSError as error:
            if error.errno in OF_THE_DISK and (name := error.filename2 or error.filename):
                _stop(shown(session.redact(f"{os.fsdecode(name)}: {error.strerror}")), BAD_INPUT)
            if error.errno == errno.EPIPE:  # of click's own help
                raise
            if error.errno == errno.ENOENT and not _is_somewhere():
                _stop("the folder this runs in is gone: change into another", BAD_INPUT)
            _stop(session.redact(traceback.format_exc()), FAULT)
        except KeyboardInterrupt as stop:
            _stop("interrupted; what was written is kept", getattr(stop, "code", INTERRUPTED))
        except click.ClickException as error:
            self._know_tokens(session, ctx.meta[ARGUMENTS])
            session.know(ctx.meta[ARGUMENTS])
            said = printed(shown(session.redact(error.message)), begun=True)
            error.message = said  # type: ignore[misc]
            raise
        except (click.exceptions.Exit, click.Abort):
            raise
        except Exception:  # noqa: BLE001 - the program's edge: no traceback may show a token
            _stop(session.redact(traceback.format_exc()), FAULT)

    @staticmethod
    def _know_tokens(session: Session, arguments: list[str]) -> None:
        """Load the modes that a command line names which was refused before its command began."""
        after = {name: value for name, value in pairwise(arguments) if name == "--modes"}
        joined = [word.partition("=")[2] for word in arguments if word.startswith("--modes=")]
        for path in (*after.values(), *joined):
            with suppress(MarginError):
                session.load_modes(Path(path))


@contextmanager
def _saying(session: Session) -> Iterator[None]:
    """Our own warnings are lines like any other, and not Python's, which show a place in the source."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def showwarning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, MarginWarning):
                say(session.redact(str(message)))
            else:
                others(message, category, *place, **more)

        warnings.simplefilter("always", MarginWarning)
        warnings.showwarning = showwarning
        yield


def _stop(message: str, code: int) -> NoReturn:
    from margin.launch import launched

    rank = 0
    with suppress(MarginError):  # what is said may be that the launch is none
        rank = launched()[0]
    with suppress(UnwritableError):  # the code tells, too, and 1 would mean something else
        tell(f"margin: {f'rank {rank}: ' if rank else ''}{message}")
    sys.exit(code)


def _is_somewhere() -> bool:
    """Whether the folder this process runs in is still there."""
    try:
        os.getcwd()
    except OSError:
        return False
    return True
