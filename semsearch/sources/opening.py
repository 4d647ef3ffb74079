"""Opens files that may be hostile: regular files only, no links followed, gzip unpacked within limits."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from semsearch.sources.source import Unreadable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# O_NONBLOCK: a file swapped for a FIFO after it was listed would otherwise block the open for ever.
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

MAX_RATIO = 100
"""How far gzip may expand once it has given FREE_OUTPUT bytes; text seldom reaches 20, a bomb of zeros 1,030."""

FREE_OUTPUT = 64_000_000


def open_regular(path: str | Path, *, directory: int | None = None) -> BinaryIO:
    """A regular file, opened for reading; `path` is relative to the open `directory` where that is given.

    Raises Unreadable for anything else: links, FIFOs, sockets, devices, folders, files we may not read.
    """
    try:
        number = os.open(path, _FLAGS, dir_fd=directory)
    except OSError as error:
        raise Unreadable(why(error)) from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise Unreadable("is not a regular file")
    return os.fdopen(number, "rb")


def why(error: OSError) -> str:
    """An operating system's error as the end of a sentence: `cannot be read: permission denied`."""
    return f"cannot be read: {(error.strerror or str(error)).lower()}"


@contextmanager
def unpacked(stream: BinaryIO, *, gzipped: bool) -> Iterator[BinaryIO]:
    """The stream itself, or what its gzip holds; the latter is seekable too, and raises Unreadable on a bomb."""
    if not gzipped:
        yield stream
        return
    with io.BufferedReader(_Gunzip(stream)) as unpacked_stream:
        yield unpacked_stream


class _Gunzip(io.RawIOBase):
    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._gzip = gzip.GzipFile(fileobj=packed, mode="rb")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._gzip.seek(offset, whence)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        try:
            count = self._gzip.readinto(buffer)
        except (EOFError, OSError, zlib.error) as error:
            raise Unreadable(f"is broken gzip: {str(error).lower()}") from None
        if self._gzip.tell() > max(FREE_OUTPUT, MAX_RATIO * self._packed.tell()):
            raise Unreadable(f"expands more than {MAX_RATIO} times: taken for a gzip bomb")
        return count
