"""Loading without the pages that libraries print, where one line says what matters."""

from __future__ import annotations

import logging as levels
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging


@contextmanager
def quietly() -> Iterator[None]:
    """No warnings of transformers and PEFT in this block; levels and filters are given back afterwards."""
    level = logging.get_verbosity()
    logging.set_verbosity(max(level, levels.CRITICAL))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)


def hide_bars() -> None:
    """From now on no progress bars of transformers: of loading weights, for one."""
    logging.disable_progress_bar()


@contextmanager
def without_bars() -> Iterator[None]:
    """No progress bars of transformers in this block; shown again afterwards, where they were."""
    shown = logging.is_progress_bar_enabled()
    hide_bars()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
