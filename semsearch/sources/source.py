"""The words of this package: Options, Source, Broken, and the limits every source keeps."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, get_args

from semsearch.errors import InvalidInput

if TYPE_CHECKING:
    from semsearch.records import Document, Format

Kind = Literal["text", "markdown", "rst", "html", "pdf", "docx", "json", "jsonl", "csv", "tsv", "parquet"]

MAX_TEXT = 20_000_000
"""Bytes of text in one document, and in one line of a file of rows; more is reported, never cut."""

MAX_INPUT = 100_000_000
"""Bytes of a PDF, docx or HTML file that are handed to a parser."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to read a source. InvalidInput is raised at once for an unknown format or encoding.

    Fields are those of rows (JSONL, JSON, CSV, Parquet). The id is the field `id` or `_id`, else a hash of the row;
    the text is the field `text`, `content` or `body`, whichever comes first; several text fields are joined by a
    blank line; the title is the field `title`. `metadata_fields=None` keeps all the rest as metadata.

    `include` and `exclude` are globs over a folder: without a slash they match a name at any depth, with one they
    match the path below the folder, where `**` stands for any number of folders. `format` is one of
    text, markdown, rst, html, pdf, docx, json, jsonl, csv, tsv, parquet and overrules the file's name.
    """

    id_field: str | None = None
    text_fields: tuple[str, ...] = ()
    title_field: str | None = None
    metadata_fields: tuple[str, ...] | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    hidden: bool = False
    encoding: str | None = None
    format: Kind | None = None

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in get_args(Kind):
            raise InvalidInput(f"format {self.format!r} is unknown; choose one of {', '.join(get_args(Kind))}.")
        if self.encoding is not None and not _is_text_encoding(self.encoding):
            raise InvalidInput(f"encoding {self.encoding!r} is unknown to Python; try utf-8, cp1252 or shift_jis.")


def _is_text_encoding(name: str) -> bool:
    try:
        return isinstance("".encode(codecs.lookup(name).name), bytes)
    except (LookupError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class Broken:
    """Something that could not be read: reported and skipped, and never taken for deleted.

    `where` is a path, or `path:line` for a row. `id` is the document's, where it is known; where it is None, nobody
    can say which documents are missing because of it. `unsupported` files are of a kind that is not read at all, such
    as the pictures in a folder of documents: nothing is wrong with them.
    """

    where: str
    reason: str
    id: str | None = None
    unsupported: bool = False


class Source(Protocol):
    """Where documents come from. Iterating yields what can be read and what cannot, in a stable order."""

    @property
    def name(self) -> str:
        """A stable label: documents that came under it before and are gone now are what pruning removes."""

    @property
    def total(self) -> int | None:
        """How many documents there are, where that is known cheaply."""

    def __iter__(self) -> Iterator[Document | Broken]: ...


class Place(NamedTuple):
    """One file as it is spoken of: `id` of its document, `path` in its metadata, `where` in reports."""

    id: str
    path: str
    where: str


class Parsed(NamedTuple):
    """What a parser found in a file."""

    text: str
    title: str | None
    format: Format


class Unreadable(Exception):
    """Why something cannot be read. It becomes a Broken and never leaves this package."""

    def __init__(self, reason: str, id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.id = id


class Unsupported(Unreadable):
    """A file of a kind that is not read: an image, an archive, a program."""


class MissingField(Unreadable):
    """A row that lacks the field its id or text should come from: in the first row, a mistake in the options."""
