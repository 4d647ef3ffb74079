"""Cuts texts for the page: the part of a chunk worth showing, and a document where its chunks begin."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

LONG = 340  # characters of a chunk that are shown with a hit
LEAD = 90  # of them before the marked sentence, at most
WINDOW = 60  # chunks of a long document that are shown around one

_WRAPPED = re.compile(r"(?<=[^\n]{60})\n(?=[\w\"'(*`])")  # a line that was broken because it was full


class Excerpt(NamedTuple):
    """Text before, in and after the mark, and whether it was cut on either side."""

    before: str
    marked: str
    after: str
    cut_before: bool
    cut_after: bool


class Place(Protocol):
    """What a document's chunk has to say of where it stands."""

    @property
    def ordinal(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def heading(self) -> str: ...


class Piece(NamedTuple):
    """A run of a document's text; `hit`: it belongs to the chunk that was asked for, `marked`: to its best sentence."""

    text: str
    hit: bool
    marked: bool


class Part(NamedTuple):
    """What stands between one border of a chunk and the next. `ordinal` None: before the first chunk."""

    ordinal: int | None
    heading: str
    pieces: tuple[Piece, ...]


def excerpt(text: str, mark: tuple[int, int] | None, long: int = LONG) -> Excerpt:
    """The beginning of a text, or what is around the mark.

    >>> excerpt("It rained. The sun came out. We went.", (11, 28))
    Excerpt(before='It rained. ', marked='The sun came out.', after=' We went.', cut_before=False, cut_after=False)
    >>> excerpt("one two three four", None, 9)
    Excerpt(before='', marked='', after='one two', cut_before=False, cut_after=True)
    """
    start, end = mark or (0, 0)
    first = 0 if end <= long else _word(text, max(0, start - LEAD))
    last = min(len(text), max(first + long, end))
    if last < len(text):
        space = text.rfind(" ", max(end, first + 1), last)
        last = space if space > 0 else last
    return Excerpt(text[first:start], text[start:end], text[end:last], first > 0, last < len(text))


def _word(text: str, at: int) -> int:
    """The next beginning of a word."""
    space = text.find(" ", at, at + LEAD)
    return space + 1 if at and space >= 0 else at


def around(chunks: Sequence[Place], ordinal: int | None) -> tuple[int, int]:
    """Which chunks of a document are shown: all, or of a long one those around the one asked for."""
    if len(chunks) <= 2 * WINDOW:
        return 0, len(chunks)
    middle = min(max(ordinal or 0, WINDOW), len(chunks) - WINDOW)
    return middle - WINDOW, middle + WINDOW


def parts(
    text: str, chunks: Sequence[Place], shown: tuple[int, int], ordinal: int | None, mark: tuple[int, int] | None
) -> Iterator[Part]:
    """The text between the borders of these chunks; where chunks overlap, a border is where the next one begins."""
    first, last, text = *shown, _WRAPPED.sub(" ", text)
    hit = next((chunk for chunk in chunks if chunk.ordinal == ordinal), None)
    if first == 0 and chunks and text[: chunks[0].start].strip():
        yield Part(None, "", (Piece(text[: chunks[0].start], False, False),))
    heading = ""
    for at in range(first, last):
        chunk = chunks[at]
        end = chunks[at + 1].start if at + 1 < len(chunks) else len(text)
        said = chunk.heading if chunk.heading != heading else ""
        heading = chunk.heading
        end = chunk.start + len(text[chunk.start : end].rstrip())  # of a text that has become shorter, nothing
        yield Part(chunk.ordinal, said, tuple(_pieces(text, chunk.start, end, hit, mark)))


def _pieces(text: str, start: int, end: int, hit: Place | None, mark: tuple[int, int] | None) -> Iterator[Piece]:
    borders = {start, end}
    if hit is not None:
        marked = (hit.start + mark[0], hit.start + mark[1]) if mark else (hit.start, hit.start)
        borders |= {place for place in (hit.start, hit.end, *marked) if start < place < end}
    ordered = sorted(borders)
    for low, high in itertools.pairwise(ordered):
        inside = hit is not None and hit.start <= low < hit.end
        yield Piece(text[low:high], inside, inside and mark is not None and marked[0] <= low < marked[1])
