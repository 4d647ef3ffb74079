"""Cuts a stream into lines that cannot grow beyond a limit."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from semsearch.sources.source import MAX_TEXT, Unreadable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

TOO_LONG = f"is a line of more than {MAX_TEXT // 1_000_000} MB"


def lines(stream: BinaryIO) -> Iterator[tuple[int, bytes | Unreadable]]:
    """(line number from 1, line with its end) of a UTF-8 stream; a line beyond MAX_TEXT is skipped, never held."""
    number = 0
    while line := stream.readline(MAX_TEXT + 1):
        number += 1
        if len(line) > MAX_TEXT and not line.endswith(b"\n"):
            while (rest := stream.readline(MAX_TEXT)) and not rest.endswith(b"\n"):
                pass
            yield number, Unreadable(TOO_LONG)
        else:
            yield number, line


def as_utf8(stream: BinaryIO, encoding: str) -> BinaryIO:
    """The stream in UTF-8, perhaps with a byte order mark; what is not valid in `encoding` becomes U+FFFD."""
    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        return stream
    return io.BufferedReader(_Transcoder(stream, encoding))


class _Transcoder(io.RawIOBase):
    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        ended = False
        while not self._ready and not ended:
            piece = self._stream.read(io.DEFAULT_BUFFER_SIZE)
            ended = not piece
            self._ready = self._decoder.decode(piece, final=ended).encode("utf-8", errors="replace")
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._ready))
        view[:count], self._ready = self._ready[:count], self._ready[count:]
        return count
