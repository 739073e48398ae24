"""One process at a time in a folder: a file beside it or in it is locked, and says who holds the lock.

Knows files and locks of the kernel, which end with the processes that hold them. Knows nothing of the folders.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from syncer.protocol.errors import HumanNeeded


@contextmanager
def alone(file: Path, *, seconds: float, tell: Callable[[str], None], remedy: str) -> Iterator[int]:
    """Hold the lock of `file`, which is made with its folder; what holds it is a file descriptor that may be inherited.

    Who holds it already may be what a killed process left, so it is waited for at most `seconds`, which `tell` is told.

    Raises:
        HumanNeeded: it can't be made, or somebody holds it longer; `remedy` is what else can be done.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise HumanNeeded("NoLock", f"{error.strerror}", subject=str(error.filename), remedy=remedy) from error
    try:
        _take(lock, file, seconds=seconds, tell=tell, remedy=remedy)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield lock
    finally:
        os.close(lock)


def _take(lock: int, file: Path, *, seconds: float, tell: Callable[[str], None], remedy: str) -> None:
    deadline, told = time.monotonic() + seconds, False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode()
            if time.monotonic() > deadline:
                what = f"process {holder}, or what it started, works there"
                remedy = f"`kill {holder}` ends it. {remedy}"
                raise HumanNeeded("InUse", what, subject=str(file), remedy=remedy) from None
            if not told:
                told = True
                tell(f"waits at most {seconds:.0f} s for process {holder}, or what it started, to release {file}")
            time.sleep(0.1)
        else:
            return
