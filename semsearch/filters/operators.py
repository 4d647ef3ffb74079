"""What each operator asks: from its operand, as written, to a node of the tree.

Three places have operators: a key of the metadata, `$id` and `$text`. `$not` is not among them, it holds operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from semsearch.errors import FilterError
from semsearch.fields import describe
from semsearch.filters import patterns, values
from semsearch.filters.tree import (
    And,
    Comparison,
    Contains,
    Empty,
    Exists,
    Filter,
    In,
    Matches,
    Not,
    Operator,
    Size,
    Text,
    TextOperator,
)

# (key, operand, path) -> what it asks
Condition = Callable[[str, Any, str], Filter]


def _equals(key: str, operand: Any, path: str) -> Filter:
    return Comparison(key, "$eq", values.scalar(operand, path), path)


def _order(operator: Operator) -> Condition:
    return lambda key, operand, path: Comparison(key, operator, values.ordered(operand, path), path)


def _between(key: str, operand: Any, path: str) -> Filter:
    least, greatest = values.pair(operand, path)
    return And((_order("$gte")(key, least, f"{path}[0]"), _order("$lte")(key, greatest, f"{path}[1]")))


def _in(key: str, operand: Any, path: str) -> Filter:
    return In(key, values.scalars(operand, path), path)


def _contains(key: str, operand: Any, path: str) -> Filter:
    return Contains(key, "every", (values.scalar(operand, path),), path)


def _contains_any(key: str, operand: Any, path: str) -> Filter:
    return Contains(key, "any", values.scalars(operand, path), path)


def _contains_all(key: str, operand: Any, path: str) -> Filter:
    return Contains(key, "every", values.scalars(operand, path), path)


def _starts_with(key: str, operand: Any, path: str) -> Filter:
    return Matches(key, "$starts_with", values.text(operand, path), path)


def _like(key: str, operand: Any, path: str) -> Filter:
    return Matches(key, "$like", _pattern(operand, patterns.problem_of_like, path), path)


def _ilike(key: str, operand: Any, path: str) -> Filter:
    return Matches(key, "$ilike", _pattern(operand, patterns.problem_of_like, path), path)


def _regex(key: str, operand: Any, path: str) -> Filter:
    return Matches(key, "$regex", _pattern(operand, patterns.problem_of_regex, path), path)


def _pattern(operand: Any, problem_of: Callable[[str], str | None], path: str) -> str:
    pattern = values.text(operand, path)
    if problem := problem_of(pattern):
        raise FilterError(path, problem)
    return pattern


def _size(key: str, operand: Any, path: str) -> Filter:
    if not isinstance(operand, Mapping):
        return _length(key, "$eq", operand, path)
    if len(operand) == 0 or not operand.keys() <= _LENGTHS.keys():
        raise FilterError(path, f"it takes a number, or an object of {', '.join(_LENGTHS)}.")
    return both([_LENGTHS[each](key, value, f"{path}.{each}") for each, value in operand.items()])


def _length(key: str, operator: Operator, operand: Any, path: str) -> Filter:
    return Size(key, operator, values.size(operand, path), path)


def _length_between(key: str, operand: Any, path: str) -> Filter:
    least, greatest = values.pair(operand, path)
    return And((_length(key, "$gte", least, f"{path}[0]"), _length(key, "$lte", greatest, f"{path}[1]")))


def _comparing_lengths(operator: Operator) -> Condition:
    return lambda key, operand, path: _length(key, operator, operand, path)


def _opposite(condition: Condition) -> Condition:
    return lambda key, operand, path: Not(condition(key, operand, path))


def _asks_whether(node: Callable[[str, str], Filter]) -> Condition:
    def condition(key: str, operand: Any, path: str) -> Filter:
        return node(key, path) if values.boolean(operand, path) else Not(node(key, path))

    return condition


def _of_ids(condition: Condition) -> Condition:
    def checked(key: str, operand: Any, path: str) -> Filter:
        for each in operand if isinstance(operand, list | tuple) else [operand]:
            if not isinstance(each, str):
                raise FilterError(path, f"document ids are texts; got {describe(each)}.")
        return condition(key, operand, path)

    return checked


def _of_text(operator: TextOperator) -> Condition:
    return lambda _, operand, path: Text(operator, values.text(operand, path), path)


def both(filters: list[Filter]) -> Filter:
    """All that stands side by side in an object."""
    return filters[0] if len(filters) == 1 else And(tuple(filters))


_ORDERS: tuple[Operator, ...] = ("$gt", "$gte", "$lt", "$lte")
_LENGTHS: dict[str, Condition] = {
    "$eq": _comparing_lengths("$eq"),
    "$ne": _opposite(_comparing_lengths("$eq")),
    **{operator: _comparing_lengths(operator) for operator in _ORDERS},
    "$between": _length_between,
}

OF_KEYS: dict[str, Condition] = {
    "$eq": _equals,
    "$ne": _opposite(_equals),
    **{operator: _order(operator) for operator in _ORDERS},
    "$between": _between,
    "$in": _in,
    "$nin": _opposite(_in),
    "$exists": _asks_whether(Exists),
    "$null": _asks_whether(lambda key, path: Comparison(key, "$eq", None, path)),
    "$empty": _asks_whether(Empty),
    "$contains": _contains,
    "$contains_any": _contains_any,
    "$overlaps": _contains_any,
    "$contains_all": _contains_all,
    "$contains_none": _opposite(_contains_any),
    "$size": _size,
    "$like": _like,
    "$ilike": _ilike,
    "$starts_with": _starts_with,
    "$regex": _regex,
}
OF_IDS: dict[str, Condition] = {
    name: _of_ids(OF_KEYS[name]) for name in ("$eq", "$ne", "$in", "$nin", "$starts_with")
}  # fmt: skip
OF_TEXT: dict[str, Condition] = {name: _of_text(name) for name in get_args(TextOperator)}
