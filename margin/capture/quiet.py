"""Loading without the pages that libraries print, where one line says what matters."""

from __future__ import annotations

import logging as levels
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

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


@contextmanager
def seemly_bar() -> Iterator[None]:
    """The bar of dequantising a GGUF file, which asks nobody: in this block none where transformers' bars are
    switched off, or where there is no terminal."""
    gguf: Any = import_module("transformers.modeling_gguf_pytorch_utils")
    drawn = gguf.tqdm
    disable = True if not logging.is_progress_bar_enabled() else None  # None: unless it is a terminal
    gguf.tqdm = partial(drawn, disable=disable)
    try:
        yield
    finally:
        gguf.tqdm = drawn


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
