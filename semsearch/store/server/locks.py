"""Locks on files: they belong to an open file, so the kernel drops them with the last process that holds it.

https://man7.org/linux/man-pages/man2/flock.2.html: a lock is shared by all descriptors inherited from the one that took
it, survives fork and exec, and ends when the last of them is closed, by SIGKILL too. Nothing can go stale.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def shared(path: Path) -> int:
    """Wait for a shared lock; closing the descriptor gives it back."""
    return _take(path, fcntl.LOCK_SH)


def try_exclusive(path: Path) -> int | None:
    """An exclusive lock, or None while anybody holds any."""
    try:
        return _take(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait for an exclusive lock and hold it for the block."""
    descriptor = _take(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def _take(path: Path, operation: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, operation)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
