"""The command line as a process: its streams, and the signals that end it."""

from __future__ import annotations

import gc
import os
import signal
import sys
import warnings
from types import FrameType
from typing import NoReturn

from margin.streams import hush, prepare

LIBRARIES = (
    "accelerate",
    "huggingface_hub",
    "peft",
    "sklearn",
    "tokenizers",
    "torch",
    "transformers",
    "umap",
)
"""What warns of its own affairs, which no user of this program can do anything about."""


COLLECT_EVERY = 100_000
"""Objects made before Python looks for those that only hold each other. Its own 700 cost a tenth of a short
command: nearly all that is made while libraries are imported stays."""


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end; libraries treat it as they do Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


def begin() -> None:
    """Prepare this process: what it says is clean, and it ends quietly."""
    gc.set_threshold(COLLECT_EVERY)
    prepare()
    _quieten()
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        # One that is ignored stays so: nohup, and jobs in the background.
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)


def _quieten() -> None:
    """Nothing of what libraries warn of reaches the terminal, unless Python or they were asked for it.

    What matters of it, this program says itself. In force before they are imported.
    """
    if not sys.warnoptions:
        for library in LIBRARIES:
            warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")


def end() -> None:
    """Write out what is left to say, whether or not anybody reads it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            hush(stream)
    gc.freeze()  # all of it goes with the process: nobody has to look through it first


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """End by an exception, so that files are finished or removed; asked once more, at once."""
    for each in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(each) is _stop:
            signal.signal(each, lambda again, _: os._exit(128 + again))
    raise Stopped(number)
