"""Turns the tree of a filter into a condition of SQL in which every key and every value is a bound parameter.

Nothing here can raise in the database, in whatever order PostgreSQL evaluates the two sides of AND.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REGCONFIG

from semsearch.errors import FilterError
from semsearch.fields import convert, misfit, type_of
from semsearch.filters.columns import Columns
from semsearch.filters.tree import (
    DOCUMENT_ID,
    And,
    AtLeast,
    Comparison,
    Contains,
    Empty,
    Exists,
    Filter,
    In,
    Matches,
    Not,
    Operator,
    Or,
    PatternOperator,
    Scalar,
    Size,
    Text,
)

_COMPARE: dict[Operator, Callable[[Any, Any], ColumnElement[bool]]] = {
    "$eq": operator.eq,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_MATCH: dict[PatternOperator, Callable[[ColumnElement[Any], Any], ColumnElement[bool]]] = {
    "$like": lambda text, pattern: text.like(pattern),
    # The collation "C" has no other letters in two cases than A to Z.
    "$ilike": lambda text, pattern: sa.collate(text, "default").ilike(pattern),
    # A btree in collation "C" serves ^@ from PostgreSQL 15 on, and there is nothing to escape.
    "$starts_with": lambda text, prefix: text.op("^@", is_comparison=True, return_type=sa.Boolean())(prefix),
    "$regex": lambda text, pattern: text.op("~", is_comparison=True, return_type=sa.Boolean())(pattern),
}
_EMPTY = tuple(sa.literal_column(text, JSONB()) for text in ("'null'", "'\"\"'", "'[]'", "'{}'"))
_ONE, _NONE = sa.literal_column("1", sa.Integer()), sa.literal_column("0", sa.Integer())


def compile(filter: Filter, columns: Columns) -> ColumnElement[bool]:
    """The filter as a condition for WHERE.

    Like any plain comparison the condition is NULL on some rows that it does not match; negate it by Not in the
    filter, or by IS NOT TRUE. Raises FilterError where a value does not fit the declared type, or the table has no
    such column.
    """
    match filter:
        case And():
            return sa.and_(sa.true(), *(compile(each, columns) for each in filter.filters))
        case Or():
            return sa.or_(sa.false(), *(compile(each, columns) for each in filter.filters))
        case AtLeast():
            held = [sa.case((compile(each, columns), _ONE), else_=_NONE) for each in filter.filters]
            return functools.reduce(operator.add, held) >= sa.literal(filter.count, sa.Integer())
        case Not():
            # IS NOT TRUE is what keeps the logic two-valued. A coalesce around each comparison would do as well, but
            # no index serves it.
            return compile(filter.filter, columns).is_not(sa.true())
        case Text():
            return _text_search(filter, columns)
    return _condition(filter, columns)


def _condition(
    filter: Comparison | In | Exists | Empty | Contains | Size | Matches, columns: Columns
) -> ColumnElement[bool]:
    column = columns.typed(filter.key)
    if filter.key == DOCUMENT_ID and column is None:
        raise FilterError(filter.path, "there are no document ids here.")
    match filter:
        case Exists():
            return _value(columns.metadata, filter.key).is_not(None)
        case Empty():
            value = _value(columns.metadata, filter.key)
            return value.is_(None) | value.in_(_EMPTY)
        case Comparison():
            return _comparison(filter, columns.metadata, column)
        case In():
            return _in(filter, columns.metadata, column)
        case Matches():
            return _matches(filter, columns.metadata, column)
    if column is not None:
        raise FilterError(filter.path, f"field {filter.key!r} is declared as {type_of(column)}, which is never a list.")
    return _contains_scalars(filter, columns.metadata) if isinstance(filter, Contains) else _size(filter, columns)


def _value(metadata: ColumnElement[Any], key: str) -> ColumnElement[Any]:
    # -> by text reaches into objects only; #> would take the part "0" for the place in a list as well.
    for part in key.split("."):
        metadata = metadata.op("->", return_type=JSONB())(sa.literal(part, sa.Text()))
    return metadata


def _text(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return sa.collate(value.op("#>>", return_type=sa.Text())(sa.literal_column("'{}'")), "C")


def _object(key: str, value: Any) -> dict[str, Any]:
    nested = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return nested  # type: ignore[no-any-return]


def _contains(metadata: ColumnElement[Any], objects: ColumnElement[Any]) -> ColumnElement[bool]:
    return metadata.op("@>", is_comparison=True, return_type=sa.Boolean())(objects)


def _contains_any(metadata: ColumnElement[Any], objects: list[dict[str, Any]]) -> ColumnElement[bool]:
    # One array is one parameter, however many values it holds; GIN serves = ANY too.
    return _contains(metadata, sa.any_(sa.literal(objects, ARRAY(JSONB())))) if objects else sa.false()


def _has_type(value: ColumnElement[Any], quoted: str) -> ColumnElement[bool]:
    return sa.func.jsonb_typeof(value) == sa.literal_column(quoted)


def _comparison(
    filter: Comparison, metadata: ColumnElement[Any], column: ColumnElement[Any] | None
) -> ColumnElement[bool]:
    if column is not None and filter.value is not None:
        operand = sa.literal(_fitting(filter.key, column, filter.value, filter.path), _bind_type(column))
        return _COMPARE[filter.operator](column, operand)
    if filter.operator == "$eq":
        return _contains(metadata, sa.literal(_object(filter.key, filter.value), JSONB()))
    value = _value(metadata, filter.key)
    if isinstance(filter.value, str):
        compared = _COMPARE[filter.operator](_text(value), sa.literal(filter.value, sa.Text()))
        return _has_type(value, "'string'") & compared
    return _has_type(value, "'number'") & _COMPARE[filter.operator](value, sa.literal(filter.value, JSONB()))


def _in(filter: In, metadata: ColumnElement[Any], column: ColumnElement[Any] | None) -> ColumnElement[bool]:
    kept, undeclared = [], []
    for index, value in enumerate(filter.values):
        if column is None or value is None:
            undeclared.append(_object(filter.key, value))
        else:
            kept.append(_fitting(filter.key, column, value, f"{filter.path}[{index}]"))
    conditions = [_contains_any(metadata, undeclared)]
    if column is not None and kept:
        conditions.append(column == sa.any_(sa.literal(kept, ARRAY(_bind_type(column)))))
    return sa.or_(sa.false(), *conditions)


def _fitting(key: str, column: ColumnElement[Any], value: Scalar, path: str) -> Any:
    type_ = type_of(column)
    fitting = convert(value, type_)
    if fitting is None:
        raise FilterError(path, f"{misfit(key, type_, value)}.")
    return fitting


def _bind_type(column: ColumnElement[Any]) -> sa.types.TypeEngine[Any]:
    # The column brings the collation; naming it on the parameter too would only clutter the SQL.
    return sa.Text() if isinstance(column.type, sa.Text) else column.type


def _matches(filter: Matches, metadata: ColumnElement[Any], column: ColumnElement[Any] | None) -> ColumnElement[bool]:
    pattern = sa.literal(filter.pattern, sa.Text())
    if column is None:
        value = _value(metadata, filter.key)
        return _has_type(value, "'string'") & _MATCH[filter.operator](_text(value), pattern)
    if (type_ := type_of(column)) != "text":
        raise FilterError(filter.path, f"{misfit(filter.key, type_, filter.pattern)}.")
    return _MATCH[filter.operator](column, pattern)


def _contains_scalars(filter: Contains, metadata: ColumnElement[Any]) -> ColumnElement[bool]:
    if filter.which == "any":
        return _contains_any(metadata, [_object(filter.key, [value]) for value in filter.values])
    return _contains(metadata, sa.literal(_object(filter.key, list(filter.values)), JSONB()))


def _size(filter: Size, columns: Columns) -> ColumnElement[bool]:
    value = _value(columns.metadata, filter.key)
    # CASE, because jsonb_array_length raises on anything but a list.
    length = sa.case((_has_type(value, "'array'"), sa.func.jsonb_array_length(value, type_=sa.Integer())))
    return _COMPARE[filter.operator](length, sa.literal(filter.value, sa.Integer()))


def _text_search(filter: Text, columns: Columns) -> ColumnElement[bool]:
    sought = sa.literal(filter.sought, sa.Text())
    if filter.operator in ("$match", "$phrase"):
        if columns.terms is None or columns.language is None:
            raise FilterError(filter.path, "the collection has no text search: it was made with language=None.")
        read = sa.func.plainto_tsquery if filter.operator == "$match" else sa.func.phraseto_tsquery
        query = read(sa.literal(columns.language, REGCONFIG()), sought)
        return columns.terms.op("@@", is_comparison=True, return_type=sa.Boolean())(query)
    if columns.text is None:
        raise FilterError(filter.path, "there is no text here.")
    if filter.operator == "$contains":
        return sa.func.strpos(columns.text, sought, type_=sa.Integer()) > _NONE
    return _MATCH["$ilike"](columns.text, sa.literal(f"%{_escaped(filter.sought)}%", sa.Text()))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
