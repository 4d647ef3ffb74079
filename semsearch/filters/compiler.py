"""Turns the tree of a filter into a condition of SQL in which every key and every value is a bound parameter."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from semsearch.errors import FilterError
from semsearch.fields import convert, misfit, type_of
from semsearch.filters.tree import And, Comparison, Exists, Filter, In, Not, Operator, Or, Scalar

_COMPARE: dict[Operator, Callable[[Any, Any], ColumnElement[bool]]] = {
    "$eq": operator.eq,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def compile(
    filter: Filter, metadata: ColumnElement[Any], fields: Mapping[str, ColumnElement[Any]]
) -> ColumnElement[bool]:
    """The filter as a condition for WHERE, on a column of jsonb objects.

    `fields` maps declared fields to their columns, as `semsearch.fields.generated_column` makes them. Like any plain
    comparison the condition is NULL on some rows that it does not match; negate it by Not in the filter, or by
    IS NOT TRUE. Raises FilterError where a value does not fit the declared type.
    """
    match filter:
        case And():
            return sa.and_(sa.true(), *(compile(each, metadata, fields) for each in filter.filters))
        case Or():
            return sa.or_(sa.false(), *(compile(each, metadata, fields) for each in filter.filters))
        case Not():
            # IS NOT TRUE is what keeps the logic two-valued. A coalesce around each comparison would do as well, but
            # no index serves it.
            return compile(filter.filter, metadata, fields).is_not(sa.true())
        case Exists():
            return _value(metadata, filter.key).is_not(None)
        case Comparison() if filter.key in fields and filter.value is not None:
            column = fields[filter.key]
            return _COMPARE[filter.operator](column, _bound(filter.key, column, filter.value, filter.path))
        case Comparison() if filter.operator == "$eq":
            return _contains(metadata, sa.literal(_object(filter.key, filter.value), JSONB()))
        case Comparison():
            return _compare(_value(metadata, filter.key), filter.operator, filter.value)
    return _in(filter, metadata, fields.get(filter.key))


def _value(metadata: ColumnElement[Any], key: str) -> ColumnElement[Any]:
    # -> by text reaches into objects only; #> would take the part "0" for the place in a list as well.
    for part in key.split("."):
        metadata = metadata.op("->", return_type=JSONB())(sa.literal(part, sa.Text()))
    return metadata


def _object(key: str, value: Scalar) -> dict[str, Any]:
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return nested  # type: ignore[no-any-return]


def _contains(metadata: ColumnElement[Any], objects: ColumnElement[Any]) -> ColumnElement[bool]:
    return metadata.op("@>", is_comparison=True, return_type=sa.Boolean())(objects)


def _compare(value: ColumnElement[Any], operator: Operator, operand: Scalar) -> ColumnElement[bool]:
    # Nothing here can raise, in whatever order PostgreSQL evaluates the two sides of AND.
    json_type = sa.func.jsonb_typeof(value)
    if isinstance(operand, str):
        text = sa.collate(value.op("#>>", return_type=sa.Text())(sa.literal_column("'{}'")), "C")
        return (json_type == sa.literal_column("'string'")) & _COMPARE[operator](text, sa.literal(operand, sa.Text()))
    return (json_type == sa.literal_column("'number'")) & _COMPARE[operator](value, sa.literal(operand, JSONB()))


def _in(filter: In, metadata: ColumnElement[Any], column: ColumnElement[Any] | None) -> ColumnElement[bool]:
    # One array is one parameter, however many values it holds; GIN and btree both serve = ANY.
    kept, undeclared = [], []
    for index, value in enumerate(filter.values):
        if column is None or value is None:
            undeclared.append(_object(filter.key, value))
        else:
            kept.append(_fitting(filter.key, column, value, f"{filter.path}[{index}]"))
    conditions = []
    if undeclared:
        conditions.append(_contains(metadata, sa.any_(sa.literal(undeclared, ARRAY(JSONB())))))
    if column is not None and kept:
        conditions.append(column == sa.any_(sa.literal(kept, ARRAY(_bind_type(column)))))
    return sa.or_(sa.false(), *conditions)


def _bound(key: str, column: ColumnElement[Any], value: Scalar, path: str) -> ColumnElement[Any]:
    return sa.literal(_fitting(key, column, value, path), _bind_type(column))


def _fitting(key: str, column: ColumnElement[Any], value: Scalar, path: str) -> Any:
    type_ = type_of(column)
    fitting = convert(value, type_)
    if fitting is None:
        raise FilterError(path, f"{misfit(key, type_, value)}.")
    return fitting


def _bind_type(column: ColumnElement[Any]) -> sa.types.TypeEngine[Any]:
    # The column brings the collation; naming it on the parameter too would only clutter the SQL.
    return sa.Text() if isinstance(column.type, sa.Text) else column.type
