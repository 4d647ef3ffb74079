"""Reads filters as users write them, JSON objects, into the tree.

Reading goes at most `MAX_DEPTH` filters deep, however deep the object is, and stops at the first thing that is wrong.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from semsearch.errors import FilterError
from semsearch.fields import describe
from semsearch.filters import values
from semsearch.filters.operators import OF_IDS, OF_KEYS, OF_TEXT, Condition, both
from semsearch.filters.tree import DOCUMENT_ID, And, AtLeast, Filter, Not, Or

MAX_CONDITIONS = 64

_AROUND = ("$and", "$or", "$not", "$at_least", DOCUMENT_ID, "$text")


def parse(obj: Mapping[str, Any]) -> Filter:
    """The tree of a filter such as `{"year": {"$gte": 2020}, "$or": [{"lang": "en"}, {"lang": {"$exists": False}}]}`.

    An expression of `F` is such a mapping too. A date or datetime of Python is read as its ISO text. Raises
    FilterError, whose `path` leads to what is wrong.
    """
    return _Reader().filter(obj, "$", 1)


class _Reader:
    """Reads one filter, counting its conditions."""

    def __init__(self) -> None:
        self._conditions = 0

    def filter(self, obj: Any, path: str, depth: int) -> Filter:
        if not isinstance(obj, Mapping):
            raise FilterError(path, f'a filter is an object such as {{"year": {{"$gte": 2020}}}}; got {describe(obj)}.')
        if len(obj) == 0:  # an expression of `F` has no truth value
            self._count(path, depth)
        return both([self._entry(values.key(key, path), value, f"{path}.{key}", depth) for key, value in obj.items()])

    def _entry(self, key: str, value: Any, path: str, depth: int) -> Filter:
        match key:
            case "$and" | "$or":
                self._count(path, depth)
                filters = self._several(value, path, depth)
                return And(filters) if key == "$and" else Or(filters)
            case "$not":
                self._count(path, depth)
                return Not(self.filter(value, path, depth + 1))
            case "$at_least":
                return self._at_least(value, path, depth)
            case "$text":
                return self._operators(key, value, OF_TEXT, path, depth)
            case "$id":
                return self._values(key, value, OF_IDS, path, depth)
        if key.startswith("$"):
            raise FilterError(
                path, _misplaced(key, _AROUND, OF_KEYS, "it stands in a field: {'year': {'$gte': 2020}}.")
            )
        values.check_parts(key, path)
        return self._values(key, value, OF_KEYS, path, depth)

    def _several(self, value: Any, path: str, depth: int) -> tuple[Filter, ...]:
        if not isinstance(value, list | tuple) or not value:
            raise FilterError(path, f"it takes a list of at least one filter; got {describe(value)}.")
        return tuple(self.filter(each, f"{path}[{index}]", depth + 1) for index, each in enumerate(value))

    def _at_least(self, value: Any, path: str, depth: int) -> Filter:
        self._count(path, depth)
        if not isinstance(value, Mapping) or value.keys() != {"count", "of"}:
            raise FilterError(path, f'it takes {{"count": 2, "of": [filter, ...]}}; got {describe(value)}.')
        filters, count = self._several(value["of"], f"{path}.of", depth), value["count"]
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= len(filters):
            raise FilterError(f"{path}.count", f"it takes a number from 1 to {len(filters)}; got {describe(count)}.")
        if count == len(filters):
            return And(filters)
        return Or(filters) if count == 1 else AtLeast(count, filters)

    def _values(self, key: str, value: Any, known: Mapping[str, Condition], path: str, depth: int) -> Filter:
        """Operators, or a value to be equal to."""
        if isinstance(value, Mapping):
            return self._operators(key, value, known, path, depth)
        self._count(path, depth)
        return known["$eq"](key, value, path)

    def _operators(self, key: str, value: Any, known: Mapping[str, Condition], path: str, depth: int) -> Filter:
        if not isinstance(value, Mapping) or len(value) == 0:
            example = '{"$match": "some words"}' if key == "$text" else '{"$gte": 2020}'
            raise FilterError(path, f"it takes operators, such as {example}; got {describe(value)}.")
        return both(
            [
                self._condition(key, values.key(operator, path), operand, known, f"{path}.{operator}", depth)
                for operator, operand in value.items()
            ]
        )

    def _condition(
        self, key: str, operator: str, operand: Any, known: Mapping[str, Condition], path: str, depth: int
    ) -> Filter:
        self._count(path, depth)
        if operator == "$not":
            return Not(self._operators(key, operand, known, path, depth + 1))
        if operator in known:
            return known[operator](key, operand, path)
        if operator.startswith("$"):
            here = (*known, "$not")
            raise FilterError(path, _misplaced(operator, here, _AROUND, "it stands around fields, not in one."))
        raise FilterError(path, _unmarked(key, operator, known))

    def _count(self, path: str, depth: int) -> None:
        if depth > values.MAX_DEPTH:
            raise FilterError(path, f"filters go at most {values.MAX_DEPTH} deep.")
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise FilterError(path, f"a filter has at most {MAX_CONDITIONS} conditions.")


def _misplaced(operator: str, here: Collection[str], elsewhere: Collection[str], place: str) -> str:
    if operator in elsewhere:
        return place
    near = difflib.get_close_matches(operator, (*here, *elsewhere), n=1)
    hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(here)}."
    return f"unknown operator {operator!r}; {hint}"


def _unmarked(key: str, word: str, known: Collection[str]) -> str:
    if f"${word}" in (*known, "$not"):
        return f"operators begin with a dollar sign; did you mean '${word}'?"
    return f"{word!r} is not an operator; a nested key is written with a dot: '{key}.{word}'."
