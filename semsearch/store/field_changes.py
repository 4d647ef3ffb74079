"""Fields of a collection that is in use: added without a rewrite of its table, and dropped.

What is added is no generated column but an expression on the metadata, with an index built beside everything else. It
is declared first: filters are right from then on, and fast once the index is there. Whatever was cut off before is done
by the next call of `add`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, Engine, select, text, update
from sqlalchemy.dialects.postgresql.base import PGDialect

from semsearch import fields as declared
from semsearch.errors import Conflict, InvalidInput, NotFound
from semsearch.fields import FieldType
from semsearch.store import index_build, spaces, views
from semsearch.store.connection import Address, driver
from semsearch.store.index_build import OnTuples
from semsearch.store.schema import collections
from semsearch.store.spaces import Field, Space, field_columns, table
from semsearch.store.transactions import in_transaction
from semsearch.store.watchdog import Watched

_DIALECT = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]


def add(
    address: Address, engine: Engine, space: Space, name: str, type_: str, on_tuples: OnTuples | None = None
) -> Space:
    """Declare a field and build its index, while searches and writes go on; returns the space as it is then.

    Values that do not fit, in documents that were put before, count as missing. Raises InvalidInput, and Conflict
    when there is such a field, or while an index is being built.
    """
    ((name, kind),) = declared.validate({name: type_}).items()
    with index_build.alone(address, space) as connection:
        changed = in_transaction(engine, partial(_declare, space=space, name=name, type_=kind))
        with index_build.watched(address, connection, on_tuples):
            _build(address, connection, changed, _field(changed, name))
    return changed


def _declare(connection: Connection, space: Space, name: str, type_: FieldType) -> Space:
    held, current = _locked(connection, space)
    there = next((field for field in current.fields if field.name == name), None)
    if there is not None:
        if there.type == type_ and not there.stored and not _is_indexed(connection, current, there):
            return current  # an earlier call was cut off
        raise Conflict(f"collection {space.name!r} has the field {name!r} of type {there.type} already.")
    if len(current.fields) >= declared.MAX_FIELDS:
        raise InvalidInput(f"a collection has at most {declared.MAX_FIELDS} fields: drop one first.")
    number = 1 + max((field["number"] for field in held), default=0)
    _write(connection, space, [*held, Field(number, name, type_, stored=False)._asdict()])
    changed = spaces.find(connection, space.name)
    views.extend(connection, changed)
    return changed


def _build(address: Address, connection: Watched, space: Space, field: Field) -> None:
    """The index, and the statistics of its expression, which ANALYZE takes only where it names no columns."""
    if not address.pooled:
        connection.execute("SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false)")
    held = field_columns(table(space), space)[field.name]
    options = {"include_table": False, "literal_binds": True}
    target = sql.Identifier("semsearch", space.table_name)
    connection.execute(
        sql.SQL("CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON {} (({}))").format(
            sql.Identifier(_index(space, field)),
            target,
            sql.SQL(held.compile(dialect=_DIALECT, compile_kwargs=options).string),
        )
    )
    connection.execute(sql.SQL("ANALYZE {}").format(target))


def drop(engine: Engine, space: Space, name: str) -> Space:
    """Take a field out, with its column and index, in a moment for which nobody else uses the chunks.

    The metadata of the documents stays. Handles that were opened before get CollectionChanged when they ask for its
    column. Raises NotFound, InvalidInput for the field of the tenants, and Conflict when the table stays in use.
    """
    return in_transaction(engine, partial(_drop, space=space, name=name))


def _drop(connection: Connection, space: Space, name: str) -> Space:
    held, current = _locked(connection, space)
    field = _field(current, name)
    if name == current.tenant:
        raise InvalidInput(f"field {name!r} says whose the documents of collection {space.name!r} are: it stays.")
    with views.gone(connection, current):
        _write(connection, space, [each if each["number"] != field.number else _number_of(field) for each in held])
        driver(connection).execute(_removal(current, field))
    return spaces.find(connection, space.name)


def _removal(space: Space, field: Field) -> sql.Composed:
    if not field.stored:
        return sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier("semsearch", _index(space, field)))
    return sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(
        sql.Identifier("semsearch", space.table_name), sql.Identifier(f"field_{field.number}")
    )


def _number_of(field: Field) -> dict[str, Any]:
    """What is kept of a dropped field."""
    return {"number": field.number}


def _locked(connection: Connection, space: Space) -> tuple[list[dict[str, Any]], Space]:
    """The fields as they are written down, and the space, which nobody else changes until the transaction ends."""
    mine = select(collections.c.fields).where(collections.c.id == space.collection_id)
    held = connection.execute(mine.with_for_update(key_share=True)).scalar_one_or_none()
    if held is None:
        raise NotFound(f"collection {space.name!r} has been dropped.")
    return held, spaces.find(connection, space.name)


def _write(connection: Connection, space: Space, held: list[dict[str, Any]]) -> None:
    connection.execute(update(collections).where(collections.c.id == space.collection_id).values(fields=held))


def _field(space: Space, name: str) -> Field:
    for field in space.fields:
        if field.name == name:
            return field
    names = ", ".join(field.name for field in space.fields) or "none"
    raise NotFound(f"collection {space.name!r} has no field {name!r}; its fields: {names}.")


def _index(space: Space, field: Field) -> str:
    return f"{space.table_name}_field_{field.number}"


def _is_indexed(connection: Connection, space: Space, field: Field) -> bool:
    valid = text("SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(:name) AND indisvalid)")
    return bool(connection.execute(valid, {"name": f"semsearch.{_index(space, field)}"}).scalar_one())
