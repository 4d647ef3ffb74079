"""JSONL and JSON files as documents, read so that no input can crash, hang or exhaust the program."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

from semsearch.records import Document
from semsearch.sources import rows
from semsearch.sources.encoding import SAMPLE, is_binary
from semsearch.sources.lines import lines
from semsearch.sources.source import Broken, Options, Place, Unreadable
from semsearch.sources.text import read_all

MAX_DEPTH = 32

MAX_CONTAINERS = 1_000_000
"""Three bytes of JSON become an empty dict of 64: 20 MB of them would take half a gigabyte."""


def read_lines(content: BinaryIO, place: Place, options: Options) -> Iterator[Document | Broken]:
    """A document for each line of JSON; blank lines are passed over. `content` is UTF-8; only one line is in memory."""
    return rows.documents(_rows(content, place), options)


def read_file(content: BinaryIO, place: Place, options: Options) -> Iterator[Document | Broken]:
    """A document for each object of a JSON array, or one for a file that is one object: its id is then the file's,
    unless it has one of its own. Unreadable for anything else and beyond 20 MB."""
    data = read_all(content)
    if is_binary(data[:SAMPLE]) and json.detect_encoding(data) == "utf-8":
        raise Unreadable("is binary, not JSON")
    value = parse(data, options.encoding)
    if isinstance(value, dict):
        return iter([rows.document(value, options, default_id=place.id)])
    if not isinstance(value, list) or (value and not any(isinstance(item, dict) for item in value)):
        raise Unreadable("is JSON, but neither an object nor an array of objects")
    return rows.documents(((f"{place.where}:[{at}]", _object(item)) for at, item in enumerate(value)), options)


def _rows(content: BinaryIO, place: Place) -> Iterator[tuple[str, rows.Row | Unreadable]]:
    for number, line in lines(content):
        where = f"{place.where}:{number}"
        if isinstance(line, Unreadable):
            yield where, line
        elif line := line.removeprefix(b"\xef\xbb\xbf").strip():
            try:
                yield where, _object(parse(line, "utf-8"))
            except Unreadable as error:
                yield where, error


def _object(value: Any) -> rows.Row | Unreadable:
    return value if isinstance(value, dict) else Unreadable("is JSON, but not an object")


def parse(data: bytes, encoding: str | None = None) -> Any:
    """The value of JSON text. Unreadable for all that RFC 8259 forbids, and for what PostgreSQL's jsonb could not
    hold or a reader would misunderstand: numbers out of range, a key twice, more than 32 levels."""
    if data.count(b"[") + data.count(b"{") > MAX_CONTAINERS:
        raise Unreadable(f"is JSON of more than {MAX_CONTAINERS:,} objects and arrays in one piece")
    try:
        value = _DECODER.decode(data.decode(encoding or json.detect_encoding(data)))
    except Unreadable:
        raise
    except json.JSONDecodeError as error:
        problem = error.msg.lower().removesuffix(" at")
        raise Unreadable(f"is not JSON: {problem} at character {error.pos + 1:,}") from None
    except UnicodeError:
        raise Unreadable("is not JSON: its bytes are not UTF-8") from None
    except RecursionError:
        raise Unreadable(_TOO_DEEP) from None
    except ValueError:  # CPython refuses integers beyond sys.get_int_max_str_digits()
        raise Unreadable("holds an integer of too many digits") from None
    # Counting brackets first spares nearly every row the walk.
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise Unreadable(_TOO_DEEP)
    return value


_TOO_DEEP = f"is JSON nested more than {MAX_DEPTH} levels deep"


def _depth(value: Any) -> int:
    depth = 0
    level = [value]
    while level:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict | list):
                inner.extend(item.values() if isinstance(item, dict) else item)
        depth += any(isinstance(item, dict | list) for item in level)
        level = inner
    return depth


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise Unreadable("holds a key twice in one object")
    return result


def _finite(written: str) -> float:
    value = float(written)
    if math.isinf(value):
        raise Unreadable(f"holds a number out of range: {written[:40]}")
    return value


def _no_constant(name: str) -> NoReturn:
    raise Unreadable(f"is not JSON: {name} is not a number JSON knows")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_float=_finite, parse_constant=_no_constant)
