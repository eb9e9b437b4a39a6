"""Resident memory of this process, as the kernel counts it. Linux only."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

MIB = 2**20


def resident(field: str = "VmRSS") -> float:
    """Bytes held now ("VmRSS"), or at most since `forget_peak` ("VmHWM")."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * float(next(line for line in lines if line.startswith(field)).split()[1])


def forget_peak() -> None:
    """Give freed memory back to the system, and let "VmHWM" begin anew at what is held now."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def peak_over_start(work: Callable[[], object]) -> float:
    """Peak bytes while the work ran, above what was held before it."""
    forget_peak()
    before = resident()
    work()
    return resident("VmHWM") - before
