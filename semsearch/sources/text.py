"""Text, Markdown and reStructuredText as documents, with the metadata their headers hold."""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from semsearch.records import MAX_TITLE, Document
from semsearch.sources.encoding import decode
from semsearch.sources.source import MAX_TEXT, Kind, Options, Place, Unreadable

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)
_PAIR = re.compile(r"([A-Za-z_][\w-]*):[ \t]+(\S.*)")
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]*):[ \t]*(.*)")
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})")


def read(content: BinaryIO, kind: Kind, place: Place, options: Options) -> Document:
    """The whole file as one document: its text unchanged but for line ends, its header as title and metadata.

    A header is Markdown's front matter (its plain `key: value` lines; no nested YAML) or the block of `Field: value`
    lines that a PEP begins with. It stays part of the text. Field names become lower case, whole numbers integers.
    """
    text = decode(read_all(content), options.encoding)
    header = _header(text, kind)
    title = header.pop("title", None)
    return Document(
        id=place.id,
        text=text,
        metadata={**header, "path": place.path},
        title=None if title is None else str(title)[:MAX_TITLE],
        format="markdown" if kind == "markdown" else "rst" if kind == "rst" else "text",
    )


def read_all(content: BinaryIO, limit: int = MAX_TEXT) -> bytes:
    """All of it; Unreadable where that is more than `limit` bytes."""
    data = content.read(limit + 1)
    if len(data) > limit:
        raise Unreadable(f"holds more than {limit // 1_000_000} MB of text")
    return data


def _header(text: str, kind: Kind) -> dict[str, Any]:
    if kind == "markdown":
        return _front_matter(text)
    return _field_list(text) if kind == "rst" else {}


def _front_matter(text: str) -> dict[str, Any]:
    block = _FRONT_MATTER.match(text)
    pairs = (_PAIR.fullmatch(line.rstrip()) for line in block[1].splitlines()) if block else ()
    return {pair[1].lower(): _value(pair[2]) for pair in pairs if pair and pair[2][0] not in "|>&*!{["}


def _field_list(text: str) -> dict[str, Any]:
    """At least two `Field: value` lines, the first on line 1, up to a blank line; indented lines go on with a value."""
    fields: dict[str, str] = {}
    name = ""
    for line in text[:SEARCHED].splitlines():
        if not line.strip():
            break
        field = _FIELD.fullmatch(line)
        if field:
            name = field[1].lower()
            fields[name] = field[2].strip()
        elif name and line[0] in " \t":
            fields[name] = f"{fields[name]} {line.strip()}".strip()
        else:
            return {}
    return {name: _value(value) for name, value in fields.items() if value} if len(fields) > 1 else {}


SEARCHED = 10_000
"""Characters in which a header must end; PEP 1's takes 500."""


def _value(written: str) -> str | int | bool:
    value = written.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    if value in ("true", "false"):
        return value == "true"
    return int(value) if _WHOLE_NUMBER.fullmatch(value) else value
