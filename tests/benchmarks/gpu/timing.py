"""Seconds on a device, which works behind the program's back, and what the device can do at best."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device is done."""
    wait(device)
    started = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - started


def by_turns(
    ways: Mapping[str, Callable[[], object]], repeats: int, device: torch.device
) -> tuple[dict[str, float], dict[str, float]]:
    """Median seconds of each way, and its peak memory on the device in GiB; a first turn is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    peaks: dict[str, float] = {}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            spent = timed(way, device)
            if turn:
                seconds[name].append(spent)
            if device.type == "cuda":
                peaks[name] = torch.cuda.max_memory_allocated(device) / 2**30
    return {name: statistics.median(spent) for name, spent in seconds.items()}, peaks


def product_peak(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of a large square matrix product, sustained: the median of those after a second."""
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    started = time.perf_counter()
    while time.perf_counter() - started < 0.5:
        timed(lambda: torch.mm(a, b), device)
    return 2 * side**3 / statistics.median(timed(lambda: torch.mm(a, b), device) for _ in range(10))


def copy_rate(device: torch.device) -> float:
    """Bytes a second from the device into pinned memory."""
    there = torch.randn(2**26, device=device)
    here = torch.empty(2**26, pin_memory=device.type == "cuda")
    return there.nbytes / min(timed(lambda: here.copy_(there), device) for _ in range(3))
