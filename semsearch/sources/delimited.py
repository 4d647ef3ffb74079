"""CSV and TSV files as documents: the first row names the fields, each other row is a document."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, Literal

from semsearch.records import Document
from semsearch.sources import rows
from semsearch.sources.encoding import SAMPLE
from semsearch.sources.lines import TOO_LONG, lines
from semsearch.sources.source import MAX_TEXT, Broken, Kind, Options, Place, Unreadable

DELIMITERS = ",;\t|"


def read(content: BinaryIO, kind: Kind, place: Place, options: Options) -> Iterator[Document | Broken]:
    """Values stay text, and empty ones are left out of the metadata. A row with more values than fields is Broken.

    `content` is UTF-8. The delimiter of a CSV is comma, semicolon, tab or bar, whichever fits its first rows best; of
    a TSV, tab. Quotes are doubled inside quotes; a TSV whose quotes do not pair is
    read as if it had none.
    """
    return rows.documents(_rows(content, kind, place), options)


def _rows(content: BinaryIO, kind: Kind, place: Place) -> Iterator[tuple[str, rows.Row | Unreadable]]:
    # The limit is the module's own and never per reader; its default of 131,072 refuses ordinary articles.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_TEXT))
    text = _Lines(content)
    head = text.head()
    delimiter = "\t" if kind == "tsv" else _delimiter(head)
    quoting: Literal[0, 3] = csv.QUOTE_NONE if kind == "tsv" and not _quotes_pair(head) else csv.QUOTE_MINIMAL
    reader = csv.reader(text, delimiter=delimiter, quoting=quoting)
    names: list[str] | None = None
    while True:
        text.start_row()
        try:
            values = next(reader)
            if text.unreadable:
                raise text.unreadable
            if names is None:
                names = _header(values)
            elif any(values):
                yield f"{place.where}:{text.number}", _row(names, values)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"{place.where}:{text.number}", Unreadable(f"is not CSV: {error}")
        except Unreadable as error:
            if names is None:
                raise
            yield f"{place.where}:{text.number}", error


def _header(values: list[str]) -> list[str]:
    names = [value.strip() for value in values]
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise Unreadable(f"names the column {twice!r} twice in its first row")
    return names


def _row(names: list[str], values: list[str]) -> rows.Row | Unreadable:
    if any(value.strip() for value in values[len(names) :]):
        return Unreadable(f"has {len(values)} values where the first row names {len(names)} fields")
    return {name: value for name, value in zip(names, values, strict=False) if name and value}


def _delimiter(head: list[str]) -> str:
    """That which cuts the first row into the most columns, among those that cut half of the next rows alike."""

    def fitness(delimiter: str) -> tuple[bool, int, int]:
        rows = [len(row) for row in csv.reader(head[:50], delimiter=delimiter) if row]
        alike = rows[1:].count(rows[0]) if rows else 0
        return 2 * alike >= len(rows) - 1, rows[0] if rows else 0, alike

    return max(DELIMITERS, key=fitness)


def _quotes_pair(head: list[str]) -> bool:
    fields = [field for line in head for field in line.rstrip("\r\n").split("\t")]
    return all(len(field) > 1 and field.endswith('"') for field in fields if field.startswith('"'))


class _Lines(Iterator[str]):
    """The lines of a stream as text, within limits for each line and each row."""

    def __init__(self, content: BinaryIO) -> None:
        self._lines = lines(content)
        self._peeked: deque[bytes | Unreadable] = deque()
        self._row_bytes = 0
        self.number = 0
        self.unreadable: Unreadable | None = None

    def head(self) -> list[str]:
        """The first lines, about 64 kB of them, without taking them."""
        size = 0
        while size < SAMPLE and (line := next(self._lines, None)) is not None:
            self._peeked.append(line[1])
            size += len(line[1]) if isinstance(line[1], bytes) else 0
        return [_decoded(line) for line in self._peeked if isinstance(line, bytes)]

    def start_row(self) -> None:
        self._row_bytes = 0
        self.unreadable = None

    def __next__(self) -> str:
        line = self._peeked.popleft() if self._peeked else next(self._lines)[1]
        self.number += 1
        if isinstance(line, Unreadable):
            self.unreadable = line
            return "\n"
        self._row_bytes += len(line)
        if self._row_bytes > MAX_TEXT:
            raise Unreadable(TOO_LONG.replace("line", "row"))
        return _decoded(line)


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", errors="replace").removeprefix("\ufeff")
