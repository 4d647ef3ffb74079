"""A stream cut into lines, in memory for one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

Line = tuple[int, bytes | None]  # its number, from 1; None: it was too long, and is gone


@dataclass
class Lines:
    """What is longer than `longest` is thrown away as it comes.

    >>> lines = Lines(longest=5)
    >>> [*lines.feed(b"a\\nlong"), *lines.feed(b"er\\nb"), *lines.rest()]
    [(1, b'a'), (2, None), (3, b'b')]
    """

    longest: int
    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0
    _number: int = 0

    def feed(self, piece: bytes) -> Iterator[Line]:
        """The lines that end within it."""
        *ended, begun = piece.split(b"\n")
        for part in ended:
            self._add(part)
            yield self._line()
        self._add(begun)

    def rest(self) -> Iterator[Line]:
        """The last line, where nothing ends it."""
        if self._size:
            yield self._line()

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self.longest:
            self._parts.clear()
        elif part:
            self._parts.append(part)

    def _line(self) -> Line:
        line = b"".join(self._parts) if self._size <= self.longest else None
        self._number += 1
        self._parts.clear()
        self._size = 0
        return self._number, line
