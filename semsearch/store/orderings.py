"""Reads SQL that people wrote, as text: whether an ANN index can answer its ORDER BY.

It can where a distance operator alone is ordered by, ascending: `ORDER BY embedding <=> $1 LIMIT 10`. Not where it is
computed with (`1 - (embedding <=> $1)`), nor in descending order, which every such computation then asks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

OPERATOR = re.compile(r"<->|<=>|<#>|<\+>|<~>|<%>")
QUOTED_OR_COMMENT = re.compile(r"('(?:[^']|'')*')|--[^\n]*|/\*.*?\*/", re.S)
ORDER_BY = re.compile(r"\border\s+by\s+", re.I)
END = re.compile(r"\b(?:limit|offset|fetch|for|union|intersect|except|rows|range|groups)\b|;", re.I)
DIRECTION = re.compile(r"\s+(asc|desc)?(?:\s*nulls\s+(?:first|last))?\s*$", re.I)
OPERAND = r"""(?:[\w$."]+|\([\w$."]+\))(?:::[\w."]+(?:\(\d+\))?)?"""
DISTANCE = re.compile(rf"(?P<left>{OPERAND})\s*\)?\s*(?P<operator>{OPERATOR.pattern})\s*\(?\s*(?P<right>{OPERAND})")

Fault = Literal["descending", "expression"]


class Ordering(NamedTuple):
    """A distance that is ordered by: its operands and operator as written; `fault` is why no index answers it."""

    left: str
    operator: str
    right: str
    fault: Fault | None

    @property
    def remedy(self) -> str:
        """The ordering that an index can answer."""
        return f"ORDER BY {self.left} {self.operator} {self.right} LIMIT 10"

    def is_of(self, column: str) -> bool:
        """Whether one side of the operator is this column."""
        name = re.escape(column.strip('"'))
        return any(re.search(rf'(?:^|[."(]){name}\b', side) for side in (self.left, self.right))


def orderings(sql: str) -> Iterator[Ordering]:
    """Every distance that a statement orders its rows by first.

    >>> list(orderings("SELECT id, 1 - (embedding <=> $1) AS score FROM items ORDER BY score DESC LIMIT 5"))
    [Ordering(left='embedding', operator='<=>', right='$1', fault='descending')]
    """
    text = " ".join(QUOTED_OR_COMMENT.sub(lambda found: "$1" if found[1] else " ", sql).split())
    for found in ORDER_BY.finditer(text):
        item = _first_item(text[found.end() :])
        direction = DIRECTION.search(f"{item} ")
        descending = bool(direction and (direction[1] or "").lower() == "desc")
        expression = _unwrapped(DIRECTION.sub("", f"{item} "))
        if re.fullmatch(r'[\w"]+', expression):
            expression = _unwrapped(_named(text, expression))
        if distance := DISTANCE.search(expression):
            fault: Fault | None = "descending" if descending else None if _is_bare(expression) else "expression"
            yield Ordering(distance["left"], distance["operator"], distance["right"], fault)


def _first_item(text: str) -> str:
    """What is ordered by first: up to a comma, a parenthesis of the surroundings, or the next clause."""
    depth = 0
    for place, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0 or (depth == 0 and (character == "," or END.match(text, place))):
            return text[:place].strip()
    return text.strip()


def _unwrapped(expression: str) -> str:
    """Without parentheses around all of it."""
    expression = expression.strip()
    while expression.startswith("(") and _closes(expression) == len(expression) - 1:
        expression = expression[1:-1].strip()
    return expression


def _closes(expression: str) -> int:
    """Where the first parenthesis is closed."""
    depth = 0
    for place, character in enumerate(expression):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return place
    return -1


def _named(text: str, name: str) -> str:
    """The expression that `AS name` stands after; the name itself where there is none."""
    found = re.search(rf"\s+as\s+{re.escape(name)}\b", text, re.I)
    if not found:
        return name
    depth = 0
    for place in range(found.start() - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(text[place], 0)
        if depth < 0 or (depth == 0 and (text[place] == "," or text[place : place + 7].lower() == "select ")):
            return re.sub(r"^(?:select|,|\()\s*", "", text[place : found.start()], flags=re.I)
    return text[: found.start()]


def _is_bare(expression: str) -> bool:
    """Whether the operator is the last to be computed. `+ 0` is written by those who want no index."""
    outside = _outside(expression)
    return bool(OPERATOR.search(outside)) and not re.search(r"[-+*/]", OPERATOR.sub("", outside).replace("+ 0", ""))


def _outside(expression: str) -> str:
    """What stands in no parentheses."""
    depth, kept = 0, []
    for character in expression:
        depth += character == "("
        if depth == 0:
            kept.append(character)
        depth -= character == ")"
    return "".join(kept)
