"""Reads filters as users write them, JSON objects, into the tree.

Reading goes at most `MAX_DEPTH` filters deep, however deep the object is, and stops at the first thing that is wrong.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from datetime import date
from typing import Any

from semsearch.errors import FilterError
from semsearch.fields import MAX_TEXT_BYTES, describe, fits
from semsearch.filters.tree import And, Comparison, Exists, Filter, In, Not, Or, Scalar

MAX_DEPTH = 8  # filters inside filters, and the parts of a dotted key
MAX_CONDITIONS = 64
MAX_IN = 256
MAX_KEY_BYTES = 128

_AROUND = ("$and", "$or", "$not")
_INSIDE = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$not")


def parse(obj: Mapping[str, Any]) -> Filter:
    """The tree of a filter such as `{"year": {"$gte": 2020}, "$or": [{"lang": "en"}, {"lang": {"$exists": False}}]}`.

    A date or datetime of Python is read as its ISO text. Raises FilterError, whose `path` leads to what is wrong.
    """
    return _Reader().filter(obj, "$", 1)


class _Reader:
    """Reads one filter, counting its conditions."""

    def __init__(self) -> None:
        self._conditions = 0

    def filter(self, obj: Any, path: str, depth: int) -> Filter:
        if not isinstance(obj, Mapping):
            raise FilterError(path, f'a filter is an object such as {{"year": {{"$gte": 2020}}}}; got {describe(obj)}.')
        if not obj:
            self._count(path, depth)
        return _all([self._entry(_key(key, path), value, f"{path}.{key}", depth) for key, value in obj.items()])

    def _entry(self, key: str, value: Any, path: str, depth: int) -> Filter:
        if key in ("$and", "$or"):
            return self._several(key, value, path, depth)
        if key == "$not":
            self._count(path, depth)
            return Not(self.filter(value, path, depth + 1))
        if key.startswith("$"):
            raise FilterError(
                path, _misplaced(key, _AROUND, _INSIDE, "it stands in a field: {'year': {'$gte': 2020}}.")
            )
        _check_parts(key, path)
        if isinstance(value, Mapping):
            return self._field(key, value, path, depth)
        self._count(path, depth)
        return Comparison(key, "$eq", _scalar(value, path), path)

    def _several(self, key: str, value: Any, path: str, depth: int) -> Filter:
        self._count(path, depth)
        if not isinstance(value, list | tuple) or not value:
            raise FilterError(path, f"it takes a list of at least one filter; got {describe(value)}.")
        filters = tuple(self.filter(each, f"{path}[{index}]", depth + 1) for index, each in enumerate(value))
        return And(filters) if key == "$and" else Or(filters)

    def _field(self, key: str, operators: Any, path: str, depth: int) -> Filter:
        if not isinstance(operators, Mapping) or not operators:
            raise FilterError(path, f'it takes operators, such as {{"$gte": 2020}}; got {describe(operators)}.')
        return _all(
            [
                self._condition(key, _key(operator, path), operand, f"{path}.{operator}", depth)
                for operator, operand in operators.items()
            ]
        )

    def _condition(self, key: str, operator: str, operand: Any, path: str, depth: int) -> Filter:
        self._count(path, depth)
        match operator:
            case "$eq":
                return Comparison(key, "$eq", _scalar(operand, path), path)
            case "$ne":
                return Not(Comparison(key, "$eq", _scalar(operand, path), path))
            case "$gt" | "$gte" | "$lt" | "$lte":
                return Comparison(key, operator, _ordered(operand, path), path)
            case "$in":
                return In(key, _scalars(operand, path), path)
            case "$nin":
                return Not(In(key, _scalars(operand, path), path))
            case "$exists":
                return _exists(key, operand, path)
            case "$not":
                return Not(self._field(key, operand, path, depth + 1))
        if operator.startswith("$"):
            raise FilterError(path, _misplaced(operator, _INSIDE, _AROUND, "it stands around fields, not in one."))
        raise FilterError(path, _unmarked(key, operator))

    def _count(self, path: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise FilterError(path, f"filters go at most {MAX_DEPTH} deep.")
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise FilterError(path, f"a filter has at most {MAX_CONDITIONS} conditions.")


def _all(filters: list[Filter]) -> Filter:
    return filters[0] if len(filters) == 1 else And(tuple(filters))


def _exists(key: str, operand: Any, path: str) -> Filter:
    if not isinstance(operand, bool):
        raise FilterError(path, f"it takes true or false; got {describe(operand)}.")
    return Exists(key, path) if operand else Not(Exists(key, path))


def _misplaced(operator: str, here: tuple[str, ...], elsewhere: tuple[str, ...], place: str) -> str:
    if operator in elsewhere:
        return place
    near = difflib.get_close_matches(operator, (*here, *elsewhere), n=1)
    hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(here)}."
    return f"unknown operator {operator!r}; {hint}"


def _unmarked(key: str, word: str) -> str:
    if f"${word}" in _INSIDE:
        return f"operators begin with a dollar sign; did you mean '${word}'?"
    return f"{word!r} is not an operator; a nested key is written with a dot: '{key}.{word}'."


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise FilterError(path, f"keys are text; got {describe(key)}.")
    return _text(key, "a key", MAX_KEY_BYTES, path)


def _check_parts(key: str, path: str) -> None:
    parts = key.split(".")
    if not all(parts):
        raise FilterError(path, "dots join the keys of nested objects; there is none before, after or between them.")
    if len(parts) > MAX_DEPTH:
        raise FilterError(path, f"a key reaches at most {MAX_DEPTH} objects deep; got {len(parts)}.")


def _text(text: str, what: str, limit: int, path: str) -> str:
    if not fits(text, limit):
        raise FilterError(path, f"{what} has at most {limit:,} bytes; got {describe(text)}.")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise FilterError(path, f"{what} holds no NUL and no lone surrogate; got {describe(text)}.")
    # the plain str of a subclass such as an enum's member
    return str.__str__(text)


def _scalar(value: Any, path: str) -> Scalar:
    match value:
        case None | bool():
            return value
        case date():
            return value.isoformat()
        case str():
            return _text(value, "a text", MAX_TEXT_BYTES, path)
        case int() if abs(value) < 2**63:
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case int() | float():
            raise FilterError(path, f"a number is finite, and an integer has at most 64 bits; got {describe(value)}.")
        case list() | tuple():
            raise FilterError(path, 'it takes one value; got a list. Any of several is {"$in": [...]}.')
    raise FilterError(path, f"it takes a text, number, boolean, date or null; got {describe(value)}.")


def _ordered(value: Any, path: str) -> Scalar:
    if value is None or isinstance(value, bool):
        raise FilterError(path, f"it orders numbers, texts and dates; got {describe(value)}.")
    return _scalar(value, path)


def _scalars(values: Any, path: str) -> tuple[Scalar, ...]:
    if not isinstance(values, list | tuple):
        raise FilterError(path, f"it takes a list; got {describe(values)}.")
    if len(values) > MAX_IN:
        raise FilterError(path, f"it takes at most {MAX_IN} values; got {len(values)}.")
    return tuple(_scalar(value, f"{path}[{index}]") for index, value in enumerate(values))
