"""Filters in JSON, spelt in the text form and as expressions of `F`, so that all three can be compared."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import reduce
from typing import Any

from semsearch import F, filters
from semsearch.filters import And, AtLeast, Filter, Not, Or

_SIGNS = {"$eq": "=", "$ne": "!=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_WORDS = {
    "$in": "in", "$nin": "not in", "$like": "like", "$ilike": "ilike", "$starts_with": "starts with",
    "$regex": "matches", "$contains": "contains", "$contains_any": "contains any", "$overlaps": "contains any",
    "$contains_all": "contains all", "$contains_none": "contains none",
}  # fmt: skip
_METHODS = {
    "$eq": "__eq__", "$ne": "__ne__", "$gt": "__gt__", "$gte": "__ge__", "$lt": "__lt__", "$lte": "__le__",
    "$in": "in_", "$nin": "not_in", "$overlaps": "contains_any",
}  # fmt: skip


def simple(tree: Filter) -> Filter:
    """The tree without an And or Or in one of its kind, or of a single filter: spellings differ in these."""
    match tree:
        case And() | Or():
            kind, parts = type(tree), [simple(each) for each in tree.filters]
            flat = [inner for each in parts for inner in (each.filters if isinstance(each, kind) else (each,))]
            return flat[0] if len(flat) == 1 else kind(tuple(flat))
        case AtLeast():
            return AtLeast(tree.count, tuple(simple(each) for each in tree.filters))
        case Not():
            return Not(simple(tree.filter))
    return tree


class TextForm:
    """Spells a filter in the text form; `source` decides between equal spellings."""

    def __init__(self, source: random.Random) -> None:
        self.random = source

    def filter(self, filter: Mapping[str, Any]) -> str:
        return self._joined("and", [self._entry(key, value) for key, value in filter.items()])

    def _joined(self, word: str, parts: list[str]) -> str:
        return parts[0] if len(parts) == 1 else f"({f' {self._cased(word)} '.join(parts)})"

    def _entry(self, key: str, value: Any) -> str:
        match key:
            case "$and" | "$or":
                return self._joined(key[1:], [self.filter(each) for each in value])
            case "$not":
                return f"{self._cased('not')} {self.filter(value)}"
            case "$at_least":
                return f"at least {value['count']} of ({', '.join(self.filter(each) for each in value['of'])})"
        operators = value if isinstance(value, Mapping) else {"$eq": value}
        return self._joined("and", [self._test(key, *pair) for pair in operators.items()])

    def _test(self, key: str, operator: str, operand: Any) -> str:
        if operator == "$not":
            return f"not ({' and '.join(self._test(key, *pair) for pair in operand.items())})"
        if key == "$text":
            return f"text {operator[1:]} {self._quoted(operand)}"
        if operator == "$size":
            sizes = operand if isinstance(operand, Mapping) else {"$eq": operand}
            return self._joined("and", [self._test_of(f"size({self._key(key)})", *pair) for pair in sizes.items()])
        return self._test_of("id" if key == "$id" else self._key(key), operator, operand)

    def _test_of(self, subject: str, operator: str, operand: Any) -> str:
        match operator:
            case "$between":
                return f"{subject} between {self._value(operand[0])} and {self._value(operand[1])}"
            case "$exists":
                return f"{subject} {'' if operand else 'not '}exists"
            case "$null" | "$empty":
                return f"{subject} is {'' if operand else 'not '}{self._cased(operator[1:])}"
        if operator in _SIGNS:
            return f"{subject}{self._space()}{_SIGNS[operator]}{self._space()}{self._value(operand)}"
        if isinstance(operand, list):
            return f"{subject} {_WORDS[operator]} ({', '.join(map(self._value, operand))})"
        return f"{subject} {_WORDS[operator]} {self._value(operand)}"

    def _key(self, key: str) -> str:
        return self._quoted(key) if self.random.random() < 0.3 else key

    def _value(self, value: Any) -> str:
        match value:
            case None | bool():
                return self._cased({None: "null", True: "true", False: "false"}[value])
            case str() if value in ("en", "de", "ä", "a%", "2024-02-29", "a/1", "_") and self.random.random() < 0.5:
                return value
            case str():
                return self._quoted(value)
        return repr(value)

    def _quoted(self, text: str) -> str:
        quote = self.random.choice("'\"")
        return quote + text.replace(quote, quote * 2) + quote

    def _cased(self, word: str) -> str:
        return self.random.choice([word, word, word.upper()])

    def _space(self) -> str:
        return self.random.choice(["", " ", "  "])


def expression(filter: Mapping[str, Any]) -> filters.Expression:
    """The filter as an expression of `F`."""
    return reduce(lambda left, right: left & right, [_entry(key, value) for key, value in filter.items()])


def _entry(key: str, value: Any) -> filters.Expression:
    match key:
        case "$and":
            return reduce(lambda left, right: left & right, map(expression, value))
        case "$or":
            return reduce(lambda left, right: left | right, map(expression, value))
        case "$not":
            return ~expression(value)
        case "$at_least":
            return F.at_least(value["count"], *map(expression, value["of"]))
    operators = value if isinstance(value, Mapping) else {"$eq": value}
    subject = F.text if key == "$text" else F.id if key == "$id" else F(key)
    return reduce(lambda left, right: left & right, [_test(subject, *pair) for pair in operators.items()])


def _test(subject: Any, operator: str, operand: Any) -> filters.Expression:
    match operator:
        case "$not":
            return ~reduce(lambda left, right: left & right, [_test(subject, *pair) for pair in operand.items()])
        case "$size":
            sizes = operand if isinstance(operand, Mapping) else {"$eq": operand}
            return reduce(lambda left, right: left & right, [_test(subject.size, *pair) for pair in sizes.items()])
        case "$between":
            return subject.between(*operand)
        case "$exists" | "$null" | "$empty":
            method = {"$exists": "exists", "$null": "is_null", "$empty": "is_empty"}[operator]
            found = getattr(subject, method)()
            return found if operand else ~found
    return getattr(subject, _METHODS.get(operator, operator[1:]))(operand)
