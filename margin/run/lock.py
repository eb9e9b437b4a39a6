"""Files held by a process as long as it lives."""

from __future__ import annotations

import errno
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows: nothing is held there
    fcntl = None  # type: ignore[assignment]

_BY_ANOTHER = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}


def hold(file: IO[Any], *, wait: bool = False) -> bool | None:
    """Hold an open file until it is closed or this process ends, in whatever way: even after SIGKILL the
    system lets go of it.

    False where another holds it (unless `wait`), None where the disk has no locks. By `flock`, which on a
    network disk reaches the other machines where that is mounted with locks: NFS is by default, Lustre by
    its option flock.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return False if error.errno in _BY_ANOTHER else None
    return True
