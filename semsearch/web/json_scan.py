"""Looks at JSON before it is believed: how deep it goes, how much is in it, whether anything is there twice."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any, NoReturn

from semsearch.errors import InvalidInput

DEEPEST = 32
MOST = 200_000  # keys, or lists and objects

# Without steps back: a string that never ends is read once, not once from each of its quotes.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
KEY = re.compile(rb'"[ \t\r\n]*+:')
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def check(body: bytes) -> None:
    """Raise InvalidInput for JSON that would be dear or ambiguous to read, and for what is none.

    The same key twice is refused: which of the two is meant, nobody can say.
    """
    if b"\0" in body:
        raise InvalidInput("the body is not JSON in UTF-8.")
    if body.count(b":") > MOST and next(islice(KEY.finditer(body), MOST, None), None):
        raise InvalidInput(f"the body holds more than {MOST:,} keys; send it in parts.")
    if body.count(b"[") + body.count(b"{") > DEEPEST:
        _check_brackets(body)
    try:
        json.loads(body, object_pairs_hook=once, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise InvalidInput("the body is not JSON in UTF-8.") from None
    except json.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise InvalidInput(f"the body is nested deeper than {DEEPEST} levels.") from None
    except ValueError:  # Python's own limit: it takes quadratic time to read them
        raise InvalidInput("the body holds a number of more digits than anybody needs.") from None


def _check_brackets(body: bytes) -> None:
    """Take away the innermost pairs so many times: nothing may be left."""
    brackets = STRING.sub(b"", body).translate(None, NO_BRACKETS)
    if len(brackets) > 2 * MOST:
        raise InvalidInput(f"the body holds more than {MOST:,} lists and objects; send it in parts.")
    for _ in range(DEEPEST):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    if brackets:
        raise InvalidInput(f"the body is nested deeper than {DEEPEST} levels, or its brackets do not match.")


def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs. Raises InvalidInput for a key that is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidInput(f"the key {twice!r:.80} is there twice in one object.")
    return found


def _no_number(constant: str) -> NoReturn:
    raise InvalidInput(f"{constant} is no number that JSON has.")
