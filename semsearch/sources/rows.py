"""Turns rows (JSON objects, CSV and Parquet rows) into documents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from semsearch.records import MAX_TITLE, Document
from semsearch.sources.source import Broken, MissingField, Options, Unreadable

Row = Mapping[str, Any]

_ID_FIELDS = ("id", "_id")
_TEXT_FIELDS = ("text", "content", "body")
_TITLE_FIELD = "title"
_METADATA_FIELD = "metadata"

GIVE_UP_AFTER = 1_000
"""Broken rows on end, after which a file is not what its name says, and reporting each helps nobody."""


def documents(rows: Iterable[tuple[str, Row | Unreadable]], options: Options) -> Iterator[Document | Broken]:
    """A document or a Broken for each (where, row). A first row without the fields asked for raises MissingField."""
    first = True
    broken_on_end = 0
    for where, row in rows:
        try:
            if isinstance(row, Unreadable):
                raise row
            result: Document | Broken = document(row, options)
            first, broken_on_end = False, 0
        except Unreadable as error:
            if first and isinstance(error, MissingField):
                raise MissingField(error.reason) from None  # of the file: its other rows are not read either
            first = first and isinstance(row, Unreadable)
            broken_on_end += 1
            result = Broken(where, error.reason, error.id)
        yield result
        if broken_on_end == GIVE_UP_AFTER:
            raise Unreadable(f"has {GIVE_UP_AFTER:,} broken rows on end, so the rest was not read; the last: {where}")


def document(row: Row, options: Options, *, default_id: str | None = None) -> Document:
    """One row as a document. `default_id` is for rows without one; without that, it is a hash of the row, so that
    the same row has the same id every time and a changed row is a new document."""
    id_field, id = _id(row, options, default_id)
    text_fields = options.text_fields or _default_text_field(row)
    if not any(name in row for name in text_fields):
        raise MissingField(_no_text(row, text_fields), id)
    texts = [_text(row, name, id) for name in text_fields]
    title_field = options.title_field or (_TITLE_FIELD if _TITLE_FIELD not in text_fields else None)
    title = _text(row, title_field, id) if title_field else ""
    return Document(
        id=id,
        text="\n\n".join(text for text in texts if text.strip()),
        metadata=_metadata(row, options, {id_field, title_field, *text_fields}),
        title=title.strip()[:MAX_TITLE] or None,
    )


def _metadata(row: Row, options: Options, used: set[str | None]) -> dict[str, Any]:
    """A field named metadata that is an object stands for the fields in it; a field of the row itself wins."""
    inner = row.get(_METADATA_FIELD)
    spread: Row = inner if isinstance(inner, Mapping) else {}
    own = {name: value for name, value in row.items() if not (spread and name == _METADATA_FIELD)}
    if options.metadata_fields is not None:
        everything = {**spread, **own}
        return {name: everything[name] for name in options.metadata_fields if name in everything}
    return {**spread, **{name: value for name, value in own.items() if name not in used}}


def _id(row: Row, options: Options, default_id: str | None) -> tuple[str | None, str]:
    field = options.id_field or next((name for name in _ID_FIELDS if row.get(name) is not None), None)
    if field is None:
        return None, default_id or _hash(row)
    if field not in row:
        raise MissingField(f"has no field {field!r} (its fields: {_names(row)}); name one with --id-field")
    value = row[field]
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise Unreadable(f"has no usable id: field {field!r} is {_kind(value)}, and must be text or a number")
    return field, str(value)


def _hash(row: Row) -> str:
    written = json.dumps(row, sort_keys=True, default=str)
    return hashlib.sha256(written.encode()).hexdigest()[:32]


def _default_text_field(row: Row) -> tuple[str, ...]:
    return next(((name,) for name in _TEXT_FIELDS if name in row), ())


def _text(row: Row, field: str, id: str) -> str:
    value = row.get(field)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unreadable(f"has no usable text: field {field!r} is {_kind(value)}", id)
    return str(value)


def _no_text(row: Row, wanted: tuple[str, ...]) -> str:
    missing = " or ".join(map(repr, wanted or _TEXT_FIELDS))
    return f"has no text field {missing} (its fields: {_names(row)}); name one with --text-field"


def _names(row: Row) -> str:
    names = [repr(name) if len(name) <= 40 else repr(name[:40] + "...") for name in list(row)[:20]]
    return ", ".join(names) + (f" and {len(row) - 20} more" if len(row) > 20 else "") if names else "none"


def _kind(value: object) -> str:
    if value is None or value == "":
        return "empty"
    return {bool: "true or false", list: "a list", dict: "an object"}.get(type(value), f"a {type(value).__name__}")
