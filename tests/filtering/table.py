"""A table like a collection's chunks, for filters: declared fields, full text, the indexes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from semsearch import fields, filters
from semsearch import sql as sql_files
from tests.filtering.drawing import DECLARED
from tests.filtering.evaluator import Row

ROWS = sa.Table(
    "rows",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("document_id", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("metadata", JSONB, nullable=False),
    sa.Column("terms", TSVECTOR, sa.Computed("to_tsvector('simple', text)", persisted=True)),
    *(fields.generated_column(number, *field) for number, field in enumerate(DECLARED.items(), 1)),
    sa.Index("rows_document_id", "document_id"),
    sa.Index("rows_terms", "terms", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
    sa.Index(
        "rows_metadata",
        "metadata",
        postgresql_using="gin",
        postgresql_ops={"metadata": "jsonb_path_ops"},
        # with a pending list the planner counts reading all of it, and takes a sequential scan after a load
        postgresql_with={"fastupdate": "off"},
    ),
    *(sa.Index(f"rows_{name}", f"field_{number}") for number, name in enumerate(DECLARED, 1)),
)
COLUMNS = filters.Columns(
    ROWS.c.metadata,
    {name: ROWS.c[f"field_{number}"] for number, name in enumerate(DECLARED, 1)},
    document_id=ROWS.c.document_id,
    text=ROWS.c.text,
    terms=ROWS.c.terms,
    language="simple",
)

WITHOUT_COLUMNS = dataclasses.replace(
    COLUMNS,
    fields={name: fields.expression(ROWS.c.metadata, name, type_) for name, type_ in DECLARED.items()},
)


def create(connection: sa.Connection) -> None:
    """Make the table, and the functions its generated columns need, in an empty database."""
    connection.exec_driver_sql("CREATE SCHEMA semsearch")
    for statement in sql_files.statements():
        if "FUNCTION semsearch.to_" in statement:
            connection.exec_driver_sql(statement)
    ROWS.metadata.create_all(connection)


def load(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """The rows, with their places as ids."""
    connection.execute(sa.insert(ROWS), [{"id": id, **row._asdict()} for id, row in enumerate(rows)])


def condition(filter: Mapping[str, Any], columns: filters.Columns = COLUMNS) -> sa.ColumnElement[bool]:
    return filters.compile(filters.parse(filter), columns)


def answers(
    connection: sa.Connection, asked: Sequence[Mapping[str, Any]], columns: filters.Columns = COLUMNS
) -> list[set[int]]:
    """What each filter matches, as a WHERE of its own, all in one statement."""
    wheres = [condition(filter, columns) for filter in asked]
    parts = [sa.select(sa.literal(number), ROWS.c.id).where(where) for number, where in enumerate(wheres)]
    found: list[set[int]] = [set() for _ in asked]
    for number, id in connection.execute(sa.union_all(*parts)):
        found[number].add(id)
    return found


def plan_freely(connection: sa.Connection, indexes: bool) -> None:
    """Have the indexes used or not. "off" means "if there is another way", at a cost that calls jit."""
    connection.exec_driver_sql("SET jit = off")
    connection.exec_driver_sql(f"SET enable_seqscan = {'off' if indexes else 'on'}")
    connection.exec_driver_sql(f"SET enable_bitmapscan = {'on' if indexes else 'off'}")
    connection.exec_driver_sql(f"SET enable_indexscan = {'on' if indexes else 'off'}")
