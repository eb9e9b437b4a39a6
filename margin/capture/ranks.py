"""The processes that fill one folder together, as `torchrun` or `accelerate launch` started them.

Processes agree through accelerate's `PartialState`, over gloo: it needs no accelerator for the few words
that are said here, and a process that dies closes its connections, which the others notice at once. Only
where they hold one model together, on accelerators, do they agree over the accelerators' own library, which
leaves it to the launcher to end them. Alone, nothing of this is imported.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from margin.errors import MarginError, foreign
from margin.launch import launched

T = TypeVar("T")

TIMEOUT = timedelta(hours=2)
"""How long a rank waits for another that neither answers nor closes its connection: a machine without power.
A share must not end later than this after another."""
WATCH = 2.0
"""Seconds between two looks at whether the launcher lives."""
GRACE = 20.0
"""Seconds a rank has to end by itself once the launcher has died."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of its launch; alone by default."""

    index: int = 0
    """Its number, 0 for the one that writes what belongs to no shard, and shows progress."""
    count: int = 1
    """How many there are."""
    device: str | None = None
    """The device that is this one's, where there are several and none was asked for."""
    split: bool = False
    """Whether each holds a part of every layer, so that all run all rows; else each runs rows of its own."""

    @property
    def first(self) -> bool:
        """Whether this is the process that writes what belongs to no shard."""
        return self.index == 0

    def share(self, work: Sequence[T]) -> list[T]:
        """What of `work` is this rank's to run: every `count`-th, so that long rows are spread evenly."""
        return list(work) if self.split else list(work[self.index :: self.count])

    def from_first(self, work: Callable[[], T]) -> T:
        """What rank 0 gets from `work`, on every rank; the others wait for it, and do not call `work`.

        MarginError where another rank has ended.
        """
        if self.count == 1:
            return work()
        from accelerate.utils import broadcast_object_list

        said = [work() if self.first else None]
        with _others_alive():
            broadcast_object_list(said)
        return said[0]  # type: ignore[return-value]

    def from_all(self, own: list[T]) -> list[T]:
        """What all ranks have, together, on every rank. MarginError where another rank has ended."""
        if self.count == 1:
            return own
        from accelerate.utils import gather_object

        with _others_alive():
            found: list[T] = gather_object(own)
        return found

    def wait(self) -> None:
        """Until every rank is here; MarginError where one has ended."""
        if self.count > 1:
            import torch
            from accelerate import PartialState

            with _others_alive():
                if torch.distributed.get_backend() == "gloo":  # accelerate's takes a CUDA device for each
                    torch.distributed.barrier()
                else:
                    PartialState().wait_for_everyone()


def join_ranks(device: str | None) -> Ranks:
    """Meet the other processes of the launch, for work on `device`, or on one each; alone without a launch.

    MarginError where `device` spreads one model over devices that the ranks would share.
    """
    if launched()[1] == 1:
        if device == "tp":
            raise MarginError(
                "device tp splits the model over the processes of a launch: start it with torchrun -m margin"
            )
        return Ranks()
    if device == "auto":
        raise MarginError(
            "device auto spreads one model over all devices, which several ranks would share: "
            "start one process, or leave the device out"
        )
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _end_with(os.getppid())

    import torch
    from accelerate import PartialState

    on_cpu = device == "cpu" or not torch.cuda.is_available()
    split = device == "tp"
    if not torch.distributed.is_initialized():
        # Threads of the group that outlive the interpreter would end this process in an error, and the
        # launcher would then end the others, however well all went.
        atexit.register(_leave)
    alone = (
        f"WORLD_SIZE says that {launched()[1]} processes were launched, and this one cannot meet the others"
    )
    with foreign(f"{alone} (torchrun starts them all; alone, unset it)"), _others_alive():
        # Parts of a layer travel between accelerators by what is made for that.
        backend = "gloo" if on_cpu or not split else None
        state = PartialState(cpu=on_cpu, backend=backend, timeout=TIMEOUT)
    if split:
        return Ranks(state.process_index, state.num_processes, split=True)
    own = "cpu" if on_cpu else str(state.device) if device in (None, "cuda") else device
    return Ranks(state.process_index, state.num_processes, own)


def _end_with(launcher: int) -> None:
    """End this process soon after `launcher`, its parent, which is torchrun: killed, it ends nobody.

    Other launchers do this by themselves, or are shells that leave on purpose.
    """

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(WATCH)
        os.kill(os.getpid(), signal.SIGTERM)  # files are finished or removed
        time.sleep(GRACE)
        os._exit(128 + signal.SIGTERM)  # the main thread waits for ranks that are gone, or for a device

    threading.Thread(target=watch, name="launcher", daemon=True).start()


def _leave() -> None:
    """End the threads that connect this process to the others."""
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextmanager
def _others_alive() -> Iterator[None]:
    """gloo says in a RuntimeError that a connection was closed or that nothing came in time."""
    try:
        yield
    except NotImplementedError:  # is a RuntimeError too, and tells of this machine
        raise
    except RuntimeError as error:
        raise MarginError(
            "another rank ended before its share was done, or was silent for too long; what was written is "
            "kept: run the same command again, on any number of ranks"
        ) from error
