"""What may stand in a filter as key and as value. Everything else is a FilterError before anything is sent."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

from semsearch.errors import FilterError
from semsearch.fields import MAX_TEXT_BYTES, describe, fits
from semsearch.filters.tree import Scalar

MAX_DEPTH = 8  # filters inside filters, and the parts of a dotted key
MAX_VALUES = 256  # in one list
MAX_KEY_BYTES = 128
MAX_SIZE = 2**31 - 1  # PostgreSQL's integer


def key(value: Any, path: str) -> str:
    """Anything that stands before a colon."""
    if not isinstance(value, str):
        raise FilterError(path, f"keys are text; got {describe(value)}.")
    return _text(value, "a key", MAX_KEY_BYTES, path)


def check_parts(key: str, path: str) -> None:
    """Refuse a key of the metadata whose dots lead nowhere."""
    parts = key.split(".")
    if not all(parts):
        raise FilterError(path, "dots join the keys of nested objects; there is none before, after or between them.")
    if len(parts) > MAX_DEPTH:
        raise FilterError(path, f"a key reaches at most {MAX_DEPTH} objects deep; got {len(parts)}.")


def scalar(value: Any, path: str) -> Scalar:
    """One value of JSON that is no list and no object; a date or datetime of Python is its ISO text."""
    match value:
        case None | bool():
            return value
        case date():
            return value.isoformat()
        case str():
            return _text(value, "a text", MAX_TEXT_BYTES, path)
        case int() if -(2**63) <= value < 2**63:
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case int() | float():
            raise FilterError(path, f"a number is finite, and an integer has at most 64 bits; got {describe(value)}.")
        case list() | tuple():
            raise FilterError(path, 'it takes one value; got a list. Any of several is {"$in": [...]}.')
    raise FilterError(path, f"it takes a text, number, boolean, date or null; got {describe(value)}.")


def ordered(value: Any, path: str) -> Scalar:
    """A value that has an order."""
    if value is None or isinstance(value, bool):
        raise FilterError(path, f"it orders numbers, texts and dates; got {describe(value)}.")
    return scalar(value, path)


def scalars(values: Any, path: str) -> tuple[Scalar, ...]:
    """A list of values."""
    if not isinstance(values, list | tuple):
        raise FilterError(path, f"it takes a list; got {describe(values)}.")
    if len(values) > MAX_VALUES:
        raise FilterError(path, f"it takes at most {MAX_VALUES} values; got {len(values)}.")
    return tuple(scalar(value, f"{path}[{index}]") for index, value in enumerate(values))


def pair(values: Any, path: str) -> tuple[Any, Any]:
    """The two ends of a range, not yet read."""
    if not isinstance(values, list | tuple) or len(values) != 2:
        raise FilterError(path, f"it takes a list of two values, the least and the greatest; got {describe(values)}.")
    return values[0], values[1]


def boolean(value: Any, path: str) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise FilterError(path, f"it takes true or false; got {describe(value)}.")
    return value


def text(value: Any, path: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise FilterError(path, f"it takes a text; got {describe(value)}.")
    return _text(value, "a text", MAX_TEXT_BYTES, path)


def size(value: Any, path: str) -> int:
    """The length of a list."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SIZE:
        raise FilterError(path, f"it takes the length of a list, a whole number from 0 on; got {describe(value)}.")
    return int(value)


def _text(text: str, what: str, limit: int, path: str) -> str:
    if not fits(text, limit):
        raise FilterError(path, f"{what} has at most {limit:,} bytes; got {describe(text)}.")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise FilterError(path, f"{what} holds no NUL and no lone surrogate; got {describe(text)}.")
    # the plain str of a subclass such as an enum's member
    return str.__str__(text)
