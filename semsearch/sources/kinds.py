"""Tells what kind a file is, by its name and, where that says nothing, by how it begins."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import PurePath
from typing import NamedTuple

from semsearch.sources.encoding import is_binary
from semsearch.sources.source import Kind, Unsupported

SUFFIXES: dict[str, Kind] = {
    ".txt": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".rst": "rst",
    ".rest": "rst",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
ROWS: frozenset[Kind] = frozenset({"json", "jsonl", "csv", "tsv", "parquet"})
"""Kinds of which one file holds many documents."""

_PLAIN: frozenset[Kind] = frozenset({"text", "markdown", "rst", "json", "jsonl", "csv", "tsv"})
"""Kinds that are also read from gzip."""

_UNSUPPORTED = frozenset(
    {".rtf", ".xml", ".svg", ".fb2", ".eml", ".mbox", ".mhtml", ".mht", ".ps", ".eps", ".ipynb", ".warc", ".arc"}
)
"""Text to the eye of a program, but markup to a reader."""

_BEGINNINGS: tuple[tuple[bytes, Kind | None, str], ...] = (
    (b"%PDF-", "pdf", ""),
    (b"<!doctype html", "html", ""),
    (b"<html", "html", ""),
    (b"PAR1", "parquet", ""),
    (b"{\\rtf", None, "RTF"),
    (b"<?xml", None, "XML"),
    (b"%!PS", None, "PostScript"),
    (b"PK\x03\x04", None, "a zip archive"),
    (b"\x1f\x8b", None, "gzip"),
    (b"BZh", None, "bzip2"),
    (b"\xfd7zXZ\x00", None, "xz"),
    (b"7z\xbc\xaf\x27\x1c", None, "7z"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", None, "an old Office file"),
    (b"\x89PNG", None, "a PNG image"),
    (b"\xff\xd8\xff", None, "a JPEG image"),
    (b"GIF8", None, "a GIF image"),
    (b"\x7fELF", None, "a program"),
    (b"SQLite format 3\x00", None, "an SQLite database"),
)

_EXTRAS: dict[Kind, tuple[str, str]] = {
    "pdf": ("pypdfium2", "files"),
    "docx": ("docx", "files"),
    "parquet": ("pyarrow", "parquet"),
}


class Named(NamedTuple):
    """What a name says: the kind, None where it says nothing; and whether it is gzip."""

    kind: Kind | None
    gzipped: bool


def by_name(name: str) -> Named:
    """Raises Unsupported for names of kinds that are not supported."""
    path = PurePath(name)
    gzipped = path.suffix.lower() == ".gz"
    suffix = PurePath(path.stem).suffix.lower() if gzipped else path.suffix.lower()
    kind = SUFFIXES.get(suffix)
    if suffix in _UNSUPPORTED or (gzipped and kind not in _PLAIN):
        raise Unsupported(f"is of an unsupported kind ({suffix}{'.gz' if gzipped else ''})")
    return Named(kind, gzipped)


def by_content(head: bytes) -> Kind:
    """The kind of a file whose name says nothing; raises Unsupported where it is not text either."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:32]
    for beginning, kind, label in _BEGINNINGS:
        if start.lower().startswith(beginning.lower()):
            if kind is None:
                raise Unsupported(f"is of an unsupported kind ({label})")
            return kind
    if is_binary(head):
        raise Unsupported("is of an unsupported kind (binary)")
    return "text"


def missing_extra(kind: Kind) -> str | None:
    """What to install before this kind can be read, as a sentence's end; None where nothing is missing."""
    module, extra = _EXTRAS.get(kind, ("", ""))
    if not module or find_spec(module) is not None:
        return None
    return f"needs an extra package; run: pip install 'semsearch[{extra}]'"
