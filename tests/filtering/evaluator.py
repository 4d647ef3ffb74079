"""What a filter matches, said a second time: the tables of semsearch.filters' docstring, on the JSON itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from semsearch import fields

MISSING = object()
EMPTY: tuple[Any, ...] = (MISSING, None, "", [], {})


class Row(NamedTuple):
    """What a chunk shows to filters. Its text has words of a to z, parted by spaces."""

    metadata: dict[str, Any]
    document_id: str = "a"
    text: str = ""


class Evaluator:
    """Evaluates filters on rows, knowing which keys are declared as what."""

    def __init__(self, declared: Mapping[str, fields.FieldType]) -> None:
        self.declared = declared

    def holds(self, filter: Mapping[str, Any], row: Row) -> bool:
        return all(self._entry(key, value, row) for key, value in filter.items())

    def _entry(self, key: str, value: Any, row: Row) -> bool:
        match key:
            case "$and":
                return all(self.holds(each, row) for each in value)
            case "$or":
                return any(self.holds(each, row) for each in value)
            case "$not":
                return not self.holds(value, row)
            case "$at_least":
                return sum(self.holds(each, row) for each in value["of"]) >= value["count"]
            case "$text":
                return all(_text(operator, sought, row.text) for operator, sought in value.items())
            case "$id":
                return _applies(value, row.document_id, None)
        return _applies(value, _found(row.metadata, key), self.declared.get(key))


def _text(operator: str, sought: Any, text: str) -> bool:
    if operator == "$not":
        return not all(_text(*pair, text) for pair in sought.items())
    words, has = sought.lower().split(), text.lower().split()
    match operator:
        case "$match":
            return bool(words) and set(words) <= set(has)
        case "$phrase":
            return bool(words) and any(has[place : place + len(words)] == words for place in range(len(has)))
        case "$icontains":
            return sought.lower() in text.lower()
    return sought in text


def _found(metadata: Any, key: str) -> Any:
    for part in key.split("."):
        metadata = metadata.get(part, MISSING) if isinstance(metadata, dict) else MISSING
    return metadata


def _applies(value: Any, found: Any, type_: fields.FieldType | None) -> bool:
    operators = value if isinstance(value, Mapping) else {"$eq": value}
    return all(_operator(operator, operand, found, type_) for operator, operand in operators.items())


def _operator(operator: str, operand: Any, found: Any, type_: fields.FieldType | None) -> bool:
    match operator:
        case "$exists":
            return (found is not MISSING) == operand
        case "$null":
            return (found is None) == operand
        case "$empty":
            return any(found is each or _same(found, each) for each in EMPTY) == operand
        case "$not":
            return not _applies(operand, found, type_)
        case "$ne" | "$nin" | "$contains_none":
            opposite = {"$ne": "$eq", "$nin": "$in", "$contains_none": "$contains_any"}[operator]
            return not _operator(opposite, operand, found, type_)
        case "$in":
            return any(_compares("$eq", each, found, type_) for each in operand)
        case "$between":
            return _compares("$gte", operand[0], found, type_) and _compares("$lte", operand[1], found, type_)
        case "$size":
            return _applies(operand, len(found) if isinstance(found, list) else MISSING, None)
        case "$like" | "$ilike" | "$starts_with" | "$regex":
            return _matches(operator, operand, found, type_)
        case "$contains" | "$contains_any" | "$contains_all" | "$overlaps":
            sought = [operand] if operator == "$contains" else operand
            held = [isinstance(found, list) and any(_same(each, value) for each in found) for value in sought]
            return isinstance(found, list) and (any if operator in ("$contains_any", "$overlaps") else all)(held)
    return _compares(operator, operand, found, type_)


def _same(found: Any, operand: Any) -> bool:
    if isinstance(operand, list | dict):
        return type(found) is type(operand) and found == operand
    return _compares("$eq", operand, found, None)


def _compares(operator: str, operand: Any, found: Any, type_: fields.FieldType | None) -> bool:
    if operand is None or found is None:
        return operand is found
    if type_:
        found, operand = fields.convert(found, type_), fields.convert(operand, type_)
    kind, value = _kind(found)
    if kind != _kind(operand)[0] or kind == "other":
        return False
    other = _kind(operand)[1]
    return {"$eq": value == other, "$gt": value > other, "$gte": value >= other, "$lt": value < other}.get(
        operator, value <= other
    )


def _kind(value: Any) -> tuple[str, Any]:
    match value:
        case bool():
            return "boolean", value
        case int() | float():
            return "number", Decimal(repr(value))  # exact: the digits that JSON holds
        case str():
            return "text", value.encode()  # the order of UTF-8's bytes is that of code points
        case date():
            return "moment", value
    return "other", None


def _matches(operator: str, pattern: str, found: Any, type_: fields.FieldType | None) -> bool:
    if not isinstance(found, str) or (type_ and fields.convert(found, type_) is None):
        return False
    match operator:
        case "$starts_with":
            return found.startswith(pattern)
        case "$regex":
            return re.search(in_python(pattern), found, re.ASCII | re.DOTALL) is not None
        case "$ilike":
            return re.fullmatch(_like(pattern.lower()), found.lower(), re.DOTALL) is not None
    return re.fullmatch(_like(pattern), found, re.DOTALL) is not None


def in_python(regex: str) -> str:
    """The pattern for `re`, where only \\Z is the end of the text and nothing else."""
    return re.sub(r"(\\.|\[(?:\\.|[^\]])*\])|\$", lambda found: found[1] or r"\Z", regex, flags=re.DOTALL)


def _like(pattern: str) -> str:
    tokens = re.findall(r"\\?.", pattern, re.DOTALL)
    return "".join({"%": ".*", "_": "."}.get(token, re.escape(token[-1])) for token in tokens)
