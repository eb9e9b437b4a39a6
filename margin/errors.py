"""Errors a user can cause. Each is one line that says what is wrong, where, and what to do."""

from __future__ import annotations


class MarginError(Exception):
    """Bad input or a refused request. The command line prints the message and ends with `exit_code`."""

    exit_code: int = 2


class IncomparableError(MarginError):
    """Two runs (or a run and a baseline) differ in something that makes their margins incomparable."""

    exit_code = 4
