"""Word documents (docx) as Markdown: paragraphs, headings, lists, tables and notes, in reading order."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from semsearch.sources.source import Parsed, Unreadable

MAX_UNPACKED = 200_000_000
MAX_RATIO = 100
FREE_OUTPUT = 10_000_000
"""Bytes an archive may unpack to before its ratio matters: they harm nobody."""

MAX_MEMBERS = 10_000

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_PARAGRAPH, _CELL, _TEXT = f"{_WORD}p", f"{_WORD}tc", f"{_WORD}t"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_SPACES = {f"{_WORD}tab": "\t", f"{_WORD}br": "\n", f"{_WORD}cr": "\n", f"{_WORD}noBreakHyphen": "-"}


def parse(data: bytes, encoding: str | None = None) -> Parsed:
    """All text of the body, also that in tables, text boxes and content controls, then foot- and endnotes.

    `encoding` is not used: a docx says its own. Unreadable for what is not a docx, is encrypted or is a zip bomb.
    """
    check_archive(data)
    from docx import Document
    from docx.oxml import parse_xml

    document = Document(io.BytesIO(data))
    names = {style.style_id: str(style.name or "") for style in document.styles}
    blocks = list(_blocks(document.element.body, names))
    for part in document.part.rels.values():
        if part.reltype.endswith(("/footnotes", "/endnotes")) and not part.is_external:
            blocks.extend(_blocks(parse_xml(part.target_part.blob), names))
    return Parsed("\n\n".join(blocks), _title(document), "markdown")


def _title(document: Any) -> str | None:
    """The title the file gives itself; python-docx makes up properties, with a title, for files that have none."""
    if not any(part.reltype.endswith("/core-properties") for part in document.part.package.rels.values()):
        return None
    return document.core_properties.title.strip() or None


def check_archive(data: bytes) -> None:
    """Raises Unreadable before anything is unpacked where the sizes that the archive declares are out of proportion.
    They bind: zipfile gives no more bytes of a member than its header declares."""
    try:
        members = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        encrypted = data.startswith(b"\xd0\xcf\x11\xe0")  # Office wraps encrypted documents in its old file format
        raise Unreadable("is encrypted or not a docx" if encrypted else "is a broken docx, or not a docx") from None
    unpacked = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or unpacked > MAX_UNPACKED or unpacked > max(FREE_OUTPUT, MAX_RATIO * len(data)):
        raise Unreadable(f"would unpack {len(data):,} bytes to {unpacked:,}: taken for a zip bomb")


def _blocks(root: Any, names: dict[str, str]) -> Iterator[str]:
    """The paragraphs below `root` as Markdown; those of one table row make one line."""
    row: Any = None
    cells: dict[Any, list[str]] = {}
    for paragraph in root.iter(_PARAGRAPH):
        if any(True for _ in paragraph.iterancestors(_FALLBACK)):
            continue  # a picture of what the other branch holds as text
        cell = next(paragraph.iterancestors(_CELL), None)
        row_now = None if cell is None else cell.getparent()
        if row_now is not row:
            yield from _row(cells)
            row, cells = row_now, {}
        text = _text(paragraph)
        if cell is not None:
            cells.setdefault(cell, []).append(" ".join(text.split()))
        elif text:
            yield _prefix(paragraph, names) + text
    yield from _row(cells)


def _row(cells: dict[Any, list[str]]) -> Iterator[str]:
    texts = [" ".join(filter(None, paragraphs)) for paragraphs in cells.values()]
    if any(texts):
        yield " | ".join(filter(None, texts))


def _text(paragraph: Any) -> str:
    """A paragraph's own text: not that of paragraphs in text boxes inside it, which follow by themselves."""
    pieces = [
        node.text or "" if node.tag == _TEXT else _SPACES[node.tag]
        for node in paragraph.iter(_TEXT, *_SPACES)
        if next(node.iterancestors(_PARAGRAPH), None) is paragraph
    ]
    return "".join(pieces).strip()


def _prefix(paragraph: Any, names: dict[str, str]) -> str:
    style = names.get(paragraph.style or "", "")
    if style == "Title":
        return "# "
    level = style.removeprefix("Heading ")
    if style.startswith("Heading ") and level.isdigit():
        return "#" * min(int(level), 6) + " "
    return "- " if style.startswith("List") else ""
