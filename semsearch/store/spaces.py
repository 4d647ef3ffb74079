"""Collections and their embedding spaces: the rows that describe them, and the table and view of each space."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from pgvector.sqlalchemy import HALFVEC, VECTOR
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Row,
    Table,
    Text,
    cast,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable, DropTable

from semsearch import fields as declared
from semsearch.errors import Conflict, InvalidInput, NotFound
from semsearch.records import Embedding
from semsearch.store.schema import collections, documents, failures, leases, spaces, tasks, usage

NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
PAGE = 8160  # bytes a row may fill on a page of 8 kB
ROW_OVERHEAD = 600  # bytes kept for id, heading, hash, pointers to TOAST and a few fields


class Field(NamedTuple):
    """A declared field: chunks carry it as the generated column field_<number>, the view under its name."""

    number: int
    name: str
    type: declared.FieldType


@dataclass(frozen=True)
class Attachment:
    """A user's own table as the source of a collection: which of its columns make up a document."""

    schema: str
    table: str
    ids: tuple[str, ...]
    id_types: tuple[str, ...]
    texts: tuple[str, ...]
    title: str | None
    metadata: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("ids", "id_types", "texts", "metadata"):  # lists when they come from jsonb
            object.__setattr__(self, name, tuple(getattr(self, name)))


@dataclass(frozen=True)
class Space:
    """A collection together with its live embedding space."""

    id: int
    collection_id: int
    name: str
    state: str
    reason: str | None
    model: str | None
    dimensions: int
    shortened: bool
    distance: str
    vector_type: str
    chunk_size: int
    chunk_overlap: int
    index_kind: str
    fingerprint: str | None
    fields: tuple[Field, ...]
    attachment: Attachment | None
    cached: bool
    token_budget: int | None

    @property
    def table_name(self) -> str:
        return f"chunks_{self.id}"

    @property
    def asked_dimensions(self) -> int | None:
        """What the model is asked for, where it was asked for other dimensions than its own."""
        return self.dimensions if self.shortened else None

    @property
    def field_types(self) -> dict[str, declared.FieldType]:
        return {field.name: field.type for field in self.fields}

    @property
    def vector_bytes(self) -> int:
        return self.dimensions * (4 if self.vector_type == "vector" else 2) + 8


class _Plain:
    """The column type with STORAGE PLAIN: exact scans need no detour through TOAST, and the planner sees their cost.

    12,000 x 768 exact: 32.8 ms through TOAST, 16.6 ms PLAIN. The clause in CREATE TABLE needs PostgreSQL 16.
    """

    def get_col_spec(self, **options: Any) -> str:
        return super().get_col_spec(**options) + " STORAGE PLAIN"  # type: ignore[misc, no-any-return]


class _PlainVector(_Plain, VECTOR):
    cache_ok = True


class _PlainHalfvec(_Plain, HALFVEC):
    cache_ok = True


def table(space: Space) -> Table:
    """The table of a space, for queries."""
    return _table(space, False)


@lru_cache(maxsize=256)
def queried(space: Space) -> FromClause:
    """The same, under a short name that people can read in the SQL a search shows."""
    return table(space).alias("c")


@lru_cache(maxsize=256)
def _table(space: Space, plain: bool) -> Table:
    types = {"vector": (VECTOR, _PlainVector), "halfvec": (HALFVEC, _PlainHalfvec)}
    return Table(
        space.table_name,
        MetaData(schema="semsearch"),
        Column("document_id", Text, nullable=False),
        Column("ordinal", Integer, nullable=False),
        Column("start", Integer, nullable=False),
        Column("end", Integer, nullable=False),
        Column("hash", LargeBinary, nullable=False),
        Column("heading", Text, nullable=False),
        Column("embedding", types[space.vector_type][plain](space.dimensions), nullable=False),
        Column("text", Text, nullable=False),
        Column("metadata", JSONB, nullable=False),
        *(declared.generated_column(*field) for field in space.fields),
        PrimaryKeyConstraint("document_id", "ordinal"),
    )


def field_columns(chunks: FromClause, space: Space) -> dict[str, ColumnElement[Any]]:
    """The generated columns by the names of the declared fields."""
    columns = chunks.c
    return {field.name: columns[f"field_{field.number}"] for field in space.fields}


EXISTS = "collection {!r} exists already."


def is_there(connection: Connection, name: str) -> bool:
    """Whether a collection has this name."""
    return connection.execute(select(collections.c.id).where(collections.c.name == name)).first() is not None


def check_name(connection: Connection, name: str) -> None:
    """Raise InvalidInput, Conflict unless a collection of that name can be made."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidInput(
            f"collection name {name!r} will not do: use a lower-case letter, then up to 47 lower-case letters, digits "
            "and underscores."
        )
    if is_there(connection, name):
        raise Conflict(EXISTS.format(name))


def create(
    connection: Connection,
    name: str,
    fields: Mapping[str, declared.FieldType],
    *,
    cached: bool = False,
    token_budget: int | None = None,
    **settings: Any,
) -> Space:
    """Insert collection and live space, make the table and the view. Raises Conflict."""
    numbered = [Field(number, field, kind)._asdict() for number, (field, kind) in enumerate(fields.items(), 1)]
    try:
        collection_id = connection.execute(
            insert(collections)
            .values(name=name, fields=numbered, cached=cached, token_budget=token_budget)
            .returning(collections.c.id)
        ).scalar_one()
    except IntegrityError as error:
        raise Conflict(EXISTS.format(name)) from error
    connection.execute(insert(spaces).values(collection_id=collection_id, **settings))
    space = find(connection, name)
    _create_table(connection, space)
    _create_view(connection, space)
    return space


def _create_table(connection: Connection, space: Space) -> None:
    fits = space.vector_bytes + ROW_OVERHEAD <= PAGE
    server = connection.dialect.server_version_info or (0,)
    connection.execute(CreateTable(_table(space, fits and server >= (16,))))
    if fits and server < (16,):
        connection.execute(text(f"ALTER TABLE semsearch.chunks_{space.id:d} ALTER COLUMN embedding SET STORAGE PLAIN"))
    connection.exec_driver_sql(
        f"COMMENT ON TABLE semsearch.chunks_{space.id:d} IS 'Chunks and embeddings of the collection {space.name}.'"
    )
    for field in space.fields:
        column = f"field_{field.number:d}"
        connection.execute(
            text(f"CREATE INDEX chunks_{space.id:d}_{column} ON semsearch.chunks_{space.id:d} ({column})")
        )


def _create_view(connection: Connection, space: Space) -> None:
    chunks = table(space)
    columns = [chunks.c[name] for name in ("document_id", "ordinal", "heading", "text", "metadata")]
    aliases = [column.label(name) for name, column in field_columns(chunks, space).items()]
    shown = select(*columns, *aliases, chunks.c.embedding, chunks.c.start, chunks.c.end)
    body = shown.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}).string
    name = connection.dialect.identifier_preparer.quote(space.name)
    connection.exec_driver_sql(
        f"CREATE VIEW collections.{name} WITH (security_invoker = true) AS {body}",
        execution_options={"no_parameters": True},
    )
    connection.exec_driver_sql(
        f"COMMENT ON VIEW collections.{name} IS 'Chunks of the collection. Nearest first: "
        f"ORDER BY embedding {OPERATORS[space.distance]} $1 LIMIT 10'",
        execution_options={"no_parameters": True},
    )


OPERATORS = {"l2": "<->", "cosine": "<=>", "inner_product": "<#>", "l1": "<+>"}


def _query() -> Any:
    return select(
        spaces.c.id,
        spaces.c.collection_id,
        collections.c.name,
        collections.c.state,
        collections.c.reason,
        spaces.c.model,
        spaces.c.dimensions,
        spaces.c.shortened,
        spaces.c.distance,
        spaces.c.vector_type,
        spaces.c.chunk_size,
        spaces.c.chunk_overlap,
        spaces.c.index_kind,
        spaces.c.fingerprint,
        collections.c.fields,
        collections.c.attachment,
        collections.c.cached,
        collections.c.token_budget,
    ).join_from(collections, spaces, (spaces.c.collection_id == collections.c.id) & (spaces.c.state == "live"))


def _space(row: Row[Any]) -> Space:
    values = dict(row._mapping)
    values["fields"] = tuple(Field(**field) for field in values["fields"])
    values["attachment"] = Attachment(**values["attachment"]) if values["attachment"] else None
    return Space(**values)


def find(connection: Connection, name: str) -> Space:
    """The collection of that name; NotFound suggests the near one."""
    possible = isinstance(name, str) and NAME.fullmatch(name)
    row = connection.execute(_query().where(collections.c.name == name)).one_or_none() if possible else None
    if row is None:
        raise NotFound(_missing(name, connection.execute(select(collections.c.name)).scalars().all()))
    return _space(row)


def _missing(name: str, names: Any) -> str:
    near = difflib.get_close_matches(str(name), names, n=1)
    if near:
        return f"collection {name!r} does not exist. Did you mean {near[0]!r}?"
    return f"collection {name!r} does not exist. `semsearch create {name}` makes it."


def every(connection: Connection) -> list[Space]:
    """All collections, by name."""
    return [_space(row) for row in connection.execute(_query().order_by(collections.c.name))]


def probe(connection: Connection, space: Space) -> Embedding | None:
    """What the model made of the known text when the space was created; None where nothing was asked."""
    stored = select(cast(spaces.c.probe, ARRAY(REAL))).where(spaces.c.id == space.id)
    found = connection.execute(stored).scalar_one_or_none()
    return None if found is None else np.array(found, np.float32)


def set_token_budget(connection: Connection, space: Space, tokens: int | None) -> None:
    """Limit the tokens of a day, or no longer; workers look at it before every call."""
    connection.execute(update(collections).where(collections.c.id == space.collection_id).values(token_budget=tokens))


def with_tasks(connection: Connection) -> list[str]:
    """The names of the collections that have tasks; looks at one task of each, however many there are."""
    waiting = select(tasks.c.document_id).where(tasks.c.collection_id == collections.c.id).exists()
    return list(connection.execute(select(collections.c.name).where(waiting).order_by(collections.c.name)).scalars())


def drop(connection: Connection, space: Space) -> None:
    """Remove the collection with everything that belongs to it.

    Those who put are kept out first; then come documents, tasks and chunks, in the order in which workers lock them.
    """
    name = connection.dialect.identifier_preparer.quote(space.name)
    held = select(collections.c.attachment).where(collections.c.id == space.collection_id).with_for_update()
    if connection.execute(held).scalar_one_or_none() is not None:
        connection.execute(text("SELECT semsearch.detach(:name)"), {"name": space.name})
    connection.execute(text("SET LOCAL semsearch.bulk = 'on'"))
    for owned in (documents, tasks, leases, failures, usage):
        connection.execute(delete(owned).where(owned.c.collection_id == space.collection_id))
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS collections.{name}")
    connection.execute(DropTable(table(space), if_exists=True))
    connection.execute(delete(collections).where(collections.c.id == space.collection_id))


def exists(connection: Connection, space: Space) -> bool:
    """Whether the space has been made: an estimate is asked for before."""
    found = connection.execute(
        text("SELECT to_regclass(:table) IS NOT NULL"), {"table": f"semsearch.{space.table_name}"}
    )
    return bool(found.scalar_one())


def count(connection: Connection, space: Space) -> int:
    """Chunks in the space, counted."""
    return int(connection.execute(select(func.count()).select_from(table(space))).scalar_one())


def size(connection: Connection, space: Space) -> int:
    """Bytes of the chunks with their indexes and TOAST."""
    found = connection.execute(
        text("SELECT pg_total_relation_size(to_regclass(:table))"), {"table": f"semsearch.{space.table_name}"}
    )
    return int(found.scalar_one())
