"""What a document must be before it is put: usable text, id and metadata, by documented rules.

- NUL and lone surrogates, which PostgreSQL cannot hold, become U+FFFD in text, title and metadata; offsets stay.
- An id is 1 to 1,024 bytes of UTF-8 without NUL; a text has at most 20 MB, a title 1,000 characters; metadata is a
  JSON object of at most 64 kB, 16 levels deep, without NaN or infinity, and fits the collection's declared fields.
  Where the collection has tenants it names one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, get_args

from semsearch import fields
from semsearch.errors import InvalidInput
from semsearch.records import MAX_TITLE, Document, Format
from semsearch.sources import Broken, Source

MAX_ID_BYTES = 1024
MAX_TEXT_BYTES = 20 * 2**20
MAX_METADATA_BYTES = 64 * 2**10
MAX_METADATA_DEPTH = 16

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
FORMATS = get_args(Format)
KEYS = frozenset({"id", "text", "metadata", "title", "format", "embedding"})


def document(
    item: Document | Mapping[str, Any], declared: Mapping[str, fields.FieldType], tenant: str | None = None
) -> Document:
    """The document as it will be stored; `tenant` is the field that must say whose it is.

    Raises InvalidInput naming the document and what is wrong with it.
    """
    made = item if isinstance(item, Document) else _from_mapping(item)
    _check_id(made.id)
    try:
        cleaned = _clean(made, declared)
        if tenant is not None and not cleaned.metadata.get(tenant):
            raise InvalidInput(f"it does not say whose it is: its metadata names a tenant as {tenant!r}.")
        return cleaned
    except InvalidInput as error:
        raise InvalidInput(f"document {made.id!r}: {error}") from error


def of_tenant(item: Any, field: str, tenant: str) -> Any:
    """The same document, the tenant's as its metadata then says. Raises InvalidInput when that names another."""
    id, metadata = _get(item, "id"), _get(item, "metadata")
    if not isinstance(item, Document | Mapping) or not (metadata is None or isinstance(metadata, Mapping)):
        return item  # which `document` refuses
    metadata = metadata or {}
    if metadata.get(field) not in (None, tenant):
        raise InvalidInput(f"document {id!r:.80}: its metadata names another tenant than {tenant!r:.80} as {field!r}.")
    marked = {**metadata, field: tenant}
    return replace(item, metadata=marked) if isinstance(item, Document) else {**item, "metadata": marked}


def all_of_tenant(items: Iterable[Any], field: str, tenant: str) -> Iterator[Any]:
    """The same documents, all of them the tenant's."""
    return (of_tenant(item, field, tenant) for item in items)


@dataclass(frozen=True)
class Owned:
    """A source whose documents are one tenant's. Its name says so, that pruning leaves the others' alone."""

    source: Source
    field: str
    tenant: str

    @property
    def name(self) -> str:
        return f"{self.source.name} ({self.field}: {self.tenant})"

    @property
    def total(self) -> int | None:
        return self.source.total

    def __iter__(self) -> Iterator[Document | Broken]:
        for item in self.source:
            if isinstance(item, Broken):
                yield item
                continue
            try:
                yield of_tenant(item, self.field, self.tenant)
            except InvalidInput as error:
                yield Broken(self.name, str(error), item.id)


def _get(item: Any, key: str) -> Any:
    return item.get(key) if isinstance(item, Mapping) else getattr(item, key, None)


def _from_mapping(item: Mapping[str, Any]) -> Document:
    if not isinstance(item, Mapping):
        raise InvalidInput(f"a document is a semsearch.Document or a mapping with id and text; got {type(item)!r}.")
    unknown = [key for key in item if key not in KEYS]
    if unknown or not {"id", "text"} <= item.keys():
        raise InvalidInput(
            f"a document has id and text, and may have metadata, title, format, embedding; got the keys {list(item)}."
        )
    return Document(**item)


def is_id(id: Any) -> bool:
    """Whether a document can have this id."""
    return isinstance(id, str) and bool(id) and _is_storable(id) and len(id.encode()) <= MAX_ID_BYTES


def _check_id(id: Any) -> None:
    if not is_id(id):
        raise InvalidInput(
            f"document id {id!r:.80} will not do: it is text of 1 to {MAX_ID_BYTES} bytes without NUL or surrogates."
        )


def _clean(made: Document, declared: Mapping[str, fields.FieldType]) -> Document:
    if not isinstance(made.text, str) or not (made.title is None or isinstance(made.title, str)):
        raise InvalidInput("text and title are text.")
    if made.format not in FORMATS:
        raise InvalidInput(f"format {made.format!r} is not one of {', '.join(FORMATS)}.")
    text = storable(made.text)
    if len(text) > MAX_TEXT_BYTES // 4 and len(text.encode()) > MAX_TEXT_BYTES:
        raise InvalidInput(f"its text is longer than {MAX_TEXT_BYTES // 2**20} MB: split it.")
    if made.title and len(made.title) > MAX_TITLE:
        raise InvalidInput(f"its title is longer than {MAX_TITLE:,} characters: shorten it.")
    metadata = _metadata(made.metadata)
    if declared:
        fields.check(metadata, declared)
    title = storable(made.title) if made.title else None
    if (text, title) == (made.text, made.title) and metadata is made.metadata:
        return made
    return replace(made, text=text, title=title, metadata=metadata)


def storable(text: str) -> str:
    """
    >>> storable("a\\x00b\\ud800")
    'a\ufffdb\ufffd'
    """
    return text if _is_storable(text) else UNSTORABLE.sub("\ufffd", text)


def _is_storable(text: str) -> bool:
    # Python knows what is ASCII: then only NUL is looked for, in 0.04 us for 480 characters instead of 2.4 us.
    return "\0" not in text if text.isascii() else not UNSTORABLE.search(text)


def _metadata(metadata: Any) -> Mapping[str, Any]:
    if not metadata and isinstance(metadata, dict):
        return metadata
    if isinstance(metadata, dict) and _plain(metadata):
        return metadata
    if not isinstance(metadata, Mapping):
        raise InvalidInput(f"metadata is a mapping; got {type(metadata).__name__}.")
    cleaned: dict[str, Any] = _value(metadata, 1)
    try:
        size = len(json.dumps(cleaned, allow_nan=False))
    except ValueError as error:
        raise InvalidInput("metadata holds NaN, infinity or a number of more than 4,300 digits.") from error
    if size > MAX_METADATA_BYTES:
        raise InvalidInput(f"metadata has {size} bytes as JSON; at most {MAX_METADATA_BYTES} are kept.")
    return cleaned


def _plain(metadata: dict[str, Any]) -> bool:
    """Whether it is flat, small and fine as it is, so that no copy need be made."""
    room = MAX_METADATA_BYTES // 12  # a character is at most 12 bytes of JSON: an emoji is \ud83d\ude00
    for key, value in metadata.items():
        kind = type(value)
        if type(key) is not str or not _is_storable(key):
            return False
        room -= len(key) + 4
        if kind is str:
            room -= len(value)
            if not _is_storable(value):
                return False
        elif kind is int:
            room -= value.bit_length()
        elif not (value is None or kind is bool):
            return False
    return room > 0


def _value(value: Any, depth: int) -> Any:
    if depth > MAX_METADATA_DEPTH + 1:
        raise InvalidInput(f"metadata is nested more than {MAX_METADATA_DEPTH} levels deep.")
    if isinstance(value, str):
        return storable(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {_key(key): _value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_value(item, depth + 1) for item in value]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a number of numpy's
        return _value(value.item(), depth)
    raise InvalidInput(f"metadata holds a {type(value).__name__}, which JSON has no word for.")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise InvalidInput(f"metadata keys are text; got {key!r}.")
    return storable(key)
