"""Reads JSON as PostgreSQL holds it, which may be more than Python can: deeper, or with longer numbers."""

from __future__ import annotations

import json
import math
from typing import Any

LONGEST_FLOAT = 308  # digits; PostgreSQL writes all of them out
UNREADABLE = {"unreadable": "nested too deeply, or with a number of too many digits"}


def loads(data: bytes | str) -> Any:
    """The value; a note in its place where Python has none, so that one such row harms no others.

    >>> loads('{"a": [1]}'), loads("[" * 100_000)
    ({'a': [1]}, {'unreadable': 'nested too deeply, or with a number of too many digits'})
    """
    try:
        return json.loads(data, parse_float=_finite if len(data) > LONGEST_FLOAT else None)
    except (RecursionError, ValueError):
        return dict(UNREADABLE)


def _finite(digits: str) -> float:
    """Raises ValueError for what would be infinite, which JSON cannot say again."""
    value = float(digits)
    if math.isinf(value):
        raise ValueError
    return value


class Written(dict[str, Any]):
    """An object that is stored again as it was read: `text` keeps the digits a float would lose. Not to be changed."""

    def __init__(self, text: str) -> None:
        super().__init__(loads(text))
        self.text = text
