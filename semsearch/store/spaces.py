"""Collections and their embedding spaces: the rows that describe them, and the tables that queries ask."""

from __future__ import annotations

import dataclasses
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
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL

from semsearch import fields as declared
from semsearch import filters
from semsearch.errors import CollectionChanged, NotFound
from semsearch.records import Distance, Embedding
from semsearch.store import full_text
from semsearch.store.schema import collections, spaces, tasks

NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
PAGE = 8160  # bytes a row may fill on a page of 8 kB
ROW_OVERHEAD = 600  # bytes kept for id, heading, hash, pointers to TOAST and a few fields


class Field(NamedTuple):
    """A declared field: chunks carry it as the generated column field_<number>, the view under its name.

    One that was added later is no column but an expression on the metadata with an index, not `stored`: to add a
    generated column would rewrite the table and keep everybody out meanwhile.
    """

    number: int
    name: str
    type: declared.FieldType
    stored: bool = True


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
    distance: Distance
    vector_type: str
    chunk_size: int
    chunk_overlap: int
    index_kind: str
    fingerprint: str | None
    fields: tuple[Field, ...]
    attachment: Attachment | None
    cached: bool
    token_budget: int | None
    language: str | None = None
    tenant: str | None = None
    index_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)

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
    def is_half(self) -> bool:
        """Whether embeddings have to fit half precision: as they are stored, or as they are indexed."""
        over_limit = 2000 < self.dimensions <= 4000  # of an index on vector, and on halfvec (pgvector README)
        return self.vector_type == "halfvec" or self.index_settings.get("quantization", over_limit) in ("halfvec", True)

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


def table(space: Space, *, plain: bool = False) -> Table:
    """The table of a space: for queries, or to be made with `plain` storage of embeddings."""
    return _table(space, plain)


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
        *([] if space.language is None else [full_text.generated_column(space.language)]),
        *(declared.generated_column(*field[:3]) for field in space.fields if field.stored),
        PrimaryKeyConstraint("document_id", "ordinal"),
    )


def field_columns(chunks: FromClause, space: Space) -> dict[str, ColumnElement[Any]]:
    """The declared fields by their names: generated columns, or expressions that an index serves alike."""
    return {
        field.name: chunks.c[f"field_{field.number}"]
        if field.stored
        else declared.expression(chunks.c.metadata, field.name, field.type)
        for field in space.fields
    }


@lru_cache(maxsize=256)
def filter_columns(space: Space) -> filters.Columns:
    """What filters may ask of the chunks of `queried`."""
    chunks = queried(space)
    return filters.Columns(
        chunks.c.metadata,
        field_columns(chunks, space),
        document_id=chunks.c.document_id,
        text=chunks.c.text,
        terms=chunks.c.get("terms"),
        language=space.language,
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
        collections.c.language,
        collections.c.tenant,
        spaces.c.index_settings,
    ).join_from(collections, spaces, (spaces.c.collection_id == collections.c.id) & (spaces.c.state == "live"))


def _space(row: Row[Any]) -> Space:
    values = dict(row._mapping)
    # Of a field that was dropped only its number stays, which no other may have: handles opened before still use it.
    values["fields"] = tuple(Field(**field) for field in values["fields"] if "name" in field)
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
    if not isinstance(name, str) or not NAME.fullmatch(name):  # nothing to be copied into a shell
        return f"collection {name!r} does not exist. `semsearch collections` lists those that do."
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


def check_language(connection: Connection, space: Space) -> None:
    """Raise CollectionChanged when the full text was made anew since the collection was opened, NotFound when it is
    not there any more.
    """
    held = connection.execute(select(collections.c.language).where(collections.c.id == space.collection_id)).first()
    if held is None:
        raise NotFound(f"collection {space.name!r} has been dropped.")
    if held.language != space.language:
        raise CollectionChanged(f"the language of collection {space.name!r} was changed: open it again.")


def exists(connection: Connection, space: Space) -> bool:
    """Whether the space has been made: an estimate is asked for before."""
    found = connection.execute(
        text("SELECT to_regclass(:table) IS NOT NULL"), {"table": f"semsearch.{space.table_name}"}
    )
    return bool(found.scalar_one())


def check_exists(connection: Connection, space: Space) -> None:
    """Raise NotFound when the collection has been dropped: then nothing is found, as in an empty one."""
    if not exists(connection, space):
        raise NotFound(f"collection {space.name!r} has been dropped.")


def count(connection: Connection, space: Space) -> int:
    """Chunks in the space, counted."""
    return int(connection.execute(select(func.count()).select_from(table(space))).scalar_one())


def size(connection: Connection, space: Space) -> int:
    """Bytes of the chunks with their indexes and TOAST."""
    found = connection.execute(
        text("SELECT pg_total_relation_size(to_regclass(:table))"), {"table": f"semsearch.{space.table_name}"}
    )
    return int(found.scalar_one())
