"""Which of the processes of a launch (torchrun, accelerate launch) this one is; needs neither library."""

from __future__ import annotations

import os


def launched() -> tuple[int, int]:
    """This process's number and how many were launched, read from the environment: (0, 1) alone."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    return (int(os.environ.get("RANK", "0")), count) if count > 1 else (0, 1)
