"""Facets: how many documents have which values at a field, among those that match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Engine,
    FromClause,
    Integer,
    Select,
    Text,
    case,
    func,
    literal,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB

from semsearch.errors import FilterError, InvalidInput
from semsearch.fields import describe
from semsearch.filters import values
from semsearch.store import spaces
from semsearch.store.deadlines import FACETS, Deadline, kept, limited
from semsearch.store.json_values import UNREADABLE
from semsearch.store.keys import metadata_value
from semsearch.store.session import transaction
from semsearch.store.spaces import Space

MAX_FACETS = 16
MAX_VALUES = 1000

_SCALARS = [literal_column(f"'{kind}'", Text()) for kind in ("string", "number", "boolean")]


@dataclass(frozen=True, slots=True)
class Facet:
    """The values at a field with the number of documents that have each, most frequent first, then by value.

    Dates and timestamps (in UTC) are their ISO text. `distinct` is how many values there are in all, also those that
    are left out: numbers of more digits than Python reads. `missing` documents have none: no such key, null, an object
    or an empty list.
    """

    values: tuple[tuple[str | int | float | bool, int], ...]
    distinct: int
    missing: int

    @property
    def more(self) -> bool:
        """Whether there are values besides those listed."""
        return self.distinct > len(self.values)


def check(names: Any, limit: Any) -> None:
    """Raise InvalidInput unless these can be counted."""
    if not isinstance(names, list | tuple) or len(names) > MAX_FACETS:
        raise InvalidInput(f"facets are a list of at most {MAX_FACETS} fields or keys; got {names!r:.80}.")
    for at, name in enumerate(names):
        try:
            values.check_parts(values.key(name, f"facets[{at}]"), f"facets[{at}]")
        except FilterError as error:
            raise InvalidInput(str(error).removeprefix("filter ")) from None
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_VALUES:
        raise InvalidInput(f"a facet lists from 1 to {MAX_VALUES} values; got {describe(limit)}.")


def counts(
    engine: Engine,
    space: Space,
    names: Sequence[str],
    condition: ColumnElement[bool] | None = None,
    limit: int = 10,
    *,
    by_chunk: bool = False,
    deadline: float | None = None,
) -> dict[str, Facet]:
    """The facets of declared fields and other keys of the metadata, whose dots reach into nested objects.

    A list counts for each of its values, once a document. `condition` is one on the chunks of `spaces.queried`; with
    `by_chunk` a document counts if it holds for any of its chunks, else it must be about the metadata alone: then one
    chunk a document is looked at. Raises InvalidInput, DeadlineExceeded after `deadline` seconds.
    """
    check(names, limit)
    names = list(dict.fromkeys(names))
    if not names:
        return {}
    statement = _statement(space, names, condition, limit, by_chunk)
    with kept(Deadline(deadline, FACETS)), engine.connect() as connection, transaction(connection, limited(deadline)):
        rows = connection.execute(statement).all()
    return {name: _facet([row[1:] for row in rows if row[0] == at], limit) for at, name in enumerate(names)}


def _facet(rows: Sequence[Any], limit: int) -> Facet:
    missing = next((count for value, count, _ in rows if value is None), 0)
    found = [(value, count) for value, count, _ in rows if value is not None and value != UNREADABLE]
    return Facet(tuple(found[:limit]), rows[0][2] if rows else 0, missing)


def _statement(
    space: Space, names: Sequence[str], condition: ColumnElement[bool] | None, limit: int, by_chunk: bool
) -> Any:
    matching = _matching(space, names, condition, by_chunk).cte("matching").prefix_with("MATERIALIZED")
    declared = space.field_types
    facets = []
    for at, name in enumerate(names):
        value = matching.c[f"value_{at}"]
        grouped = select(value.label("value")) if name in declared else _elements(matching, value)
        facets.append(_counted(at, grouped.subquery(f"facet_{at}"), limit, declared.get(name) == "timestamp"))
    return union_all(*facets) if len(facets) > 1 else facets[0]


def _matching(space: Space, names: Sequence[str], condition: ColumnElement[bool] | None, by_chunk: bool) -> Select[Any]:
    """One row for each document, with the values at the names."""
    matching = spaces.queried(space)
    chunks: FromClause = spaces.table(space).alias("d") if by_chunk else matching
    columns = spaces.field_columns(chunks, space)
    held = [columns[name] if name in columns else metadata_value(chunks.c.metadata, name) for name in names]
    found = select(*(value.label(f"value_{at}") for at, value in enumerate(held))).where(chunks.c.ordinal == 0)
    if condition is None:
        return found
    if not by_chunk:
        return found.where(condition)
    return found.where(chunks.c.document_id.in_(select(matching.c.document_id).where(condition)))


def _elements(matching: FromClause, value: ColumnElement[Any]) -> Select[Any]:
    """Each value of a list by itself, and a NULL for a document without any."""
    is_list = func.jsonb_typeof(value) == literal_column("'array'")
    listed = func.jsonb_array_elements(case((is_list, value), else_=func.jsonb_build_array(value)))
    each = listed.table_valued("value").render_derived()
    scalar = func.jsonb_typeof(each.c.value).in_(
        [literal_column(f"'{kind}'") for kind in ("string", "number", "boolean")]
    )
    once = select(each.c.value).where(scalar).distinct().lateral("each")
    return select(once.c.value).select_from(matching.outerjoin(once, true()))


def _counted(at: int, grouped: FromClause, limit: int, is_timestamp: bool) -> Select[Any]:
    """The most frequent values behind the count of those without; over () counts what LIMIT leaves out too."""
    value, count = grouped.c.value, func.count()
    shown = func.timezone("UTC", value, type_=DateTime()) if is_timestamp else value
    counted = (
        select(
            literal(at, Integer()).label("facet"),
            func.to_jsonb(shown, type_=JSONB()).label("value"),
            count.label("count"),
            func.count(value).over().label("distinct"),
        )
        .group_by(value)
        .order_by(value.is_not(None), count.desc(), value)
        .limit(limit + 1)
    )
    return select(*counted.subquery(f"counted_{at}").c)
