"""What `verify` reads of source and chunks in one snapshot, and how it has differences brought up to date."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, INTEGER

from semsearch.store import source, tasks
from semsearch.store.documents import any_of
from semsearch.store.schema import backfills
from semsearch.store.schema import failures as failures_table
from semsearch.store.schema import tasks as tasks_table
from semsearch.store.source import Found
from semsearch.store.spaces import Space, table
from semsearch.store.transactions import in_transaction

T = TypeVar("T")

PAGE = 500  # documents looked at in one transaction, which takes some 0.1 s on two busy cores
NORM = {"vector": func.vector_norm, "halfvec": func.l2_norm}


@dataclass(frozen=True)
class Stored:
    """A chunk as it is stored. `usable`: its embedding has the space's dimensions and a finite length above zero."""

    ordinal: int
    start: int
    end: int
    hash: bytes
    heading: str
    text: str
    metadata: Mapping[str, Any]
    usable: bool


@dataclass(frozen=True)
class Page:
    """Some documents of the source with their chunks, all of one snapshot; those with a task of their own left out."""

    position: Any  # where the next page begins; None after the last
    found: Sequence[Found]
    stored: Mapping[str, Sequence[Stored]]
    failed: frozenset[str]
    waiting: int
    filling: bool  # the backfill of the attached table was not done yet, so documents without chunks may be its next


def _in_snapshot(engine: Engine, read: Callable[[Connection], T]) -> T:
    """In a REPEATABLE READ, read-only transaction: what a worker stores in one is seen whole or not at all."""
    reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return in_transaction(reading, read)


def page(engine: Engine, space: Space, position: Any) -> Page:
    """The page of documents after that position; fewer than PAGE where their texts are long."""

    def read(connection: Connection) -> Page:
        ids = _fitting(connection, space, source.page(connection, space, position, PAGE))
        found = source.read(connection, space, ids)
        quiet = [each for each in found if each.document and not each.versions]
        names = [each.document_id for each in quiet]
        return Page(
            ids[-1] if ids else None,
            quiet,
            stored(connection, space, names),
            failed(connection, space, names),
            sum(bool(each.versions) for each in found),
            _filling(connection, space),
        )

    return _in_snapshot(engine, read)


def _fitting(connection: Connection, space: Space, ids: Sequence[str]) -> Sequence[str]:
    """As many of the first ids as are read at once; one at least."""
    sizes = source.sizes(connection, space, ids)
    total = 0
    for number, id in enumerate(ids):
        total += sizes.get(id, 0)
        if number and total > tasks.READ_BYTES:
            return ids[:number]
    return ids


def _filling(connection: Connection, space: Space) -> bool:
    under_way = select(backfills.c.started_at).where(
        backfills.c.collection_id == space.collection_id, backfills.c.finished_at.is_(None)
    )
    return space.attachment is not None and connection.execute(under_way).first() is not None


def stored(connection: Connection, space: Space, ids: Sequence[str]) -> dict[str, list[Stored]]:
    """The chunks of these documents, by ordinal."""
    c = table(space).c
    norm = NORM[space.vector_type](c.embedding)
    usable = (func.vector_dims(c.embedding) == space.dimensions) & (norm > 0) & (norm < float("inf"))
    columns = (c.ordinal, c.start, c.end, c.hash, c.heading, c.text, c.metadata, usable)
    statement = select(c.document_id, *columns).where(c.document_id == any_of(ids)).order_by(c.document_id, c.ordinal)
    there: dict[str, list[Stored]] = {}
    for id, *values in connection.execute(statement):
        there.setdefault(id, []).append(Stored(*values))
    return there


def failed(connection: Connection, space: Space, ids: Sequence[str]) -> frozenset[str]:
    """Those of the documents that were given up."""
    f = failures_table.c
    rows = connection.execute(
        select(f.document_id).where(f.collection_id == space.collection_id, f.document_id == any_of(ids))
    )
    return frozenset(rows.scalars())


def orphans(engine: Engine, space: Space, after: str | None) -> tuple[str | None, int, list[str]]:
    """Of the next documents that have chunks: the last, how many they are, and which have neither source nor task."""
    c, t = table(space).c, tasks_table.c
    some = select(c.document_id).distinct().order_by(c.document_id).limit(PAGE)
    some = some if after is None else some.where(c.document_id > after)

    def read(connection: Connection) -> tuple[str | None, int, list[str]]:
        ids = list(connection.execute(some).scalars())
        there = source.sizes(connection, space, ids)
        without = [id for id in ids if id not in there]
        busy = select(t.document_id).where(t.collection_id == space.collection_id, t.document_id == any_of(without))
        waiting = set(connection.execute(busy).scalars()) if without else set()
        return ids[-1] if ids else None, len(ids), [id for id in without if id not in waiting]

    return _in_snapshot(engine, read)


# Nothing for a collection that has been dropped, which it cannot be until this is committed.
ENQUEUE = """
INSERT INTO semsearch.tasks (collection_id, document_id, lane)
SELECT c.id, u.id, 1
FROM (SELECT id FROM semsearch.collections WHERE id = :collection_id FOR KEY SHARE) AS c
CROSS JOIN unnest(:ids) AS u (id)
"""
DISTRUST = """
UPDATE semsearch.{table} c SET hash = '\\x'
FROM unnest(:ids, :ordinals, :hashes) AS u (id, ordinal, hash)
WHERE c.document_id = u.id AND c.ordinal = u.ordinal AND c.hash = u.hash
"""


def enqueue(
    connection: Connection, space: Space, ids: Sequence[str], distrusted: Sequence[tuple[str, int, bytes]] = ()
) -> None:
    """Have documents brought up to date; the embeddings of distrusted chunks (document, ordinal, hash) are not kept.

    Without its hash a chunk is not found by the worker that looks for embeddings to keep. One that has another hash by
    now was stored since it was looked at, maybe with an embedding of its own.
    """
    connection.execute(text(ENQUEUE).bindparams(tasks.ids(ids)), {"collection_id": space.collection_id})
    if distrusted:
        ids, ordinals, hashes = (list(column) for column in zip(*distrusted, strict=True))
        chunks = bindparam("ordinals", ordinals, type_=ARRAY(INTEGER)), bindparam("hashes", hashes, type_=ARRAY(BYTEA))
        statement = text(DISTRUST.format(table=f"chunks_{space.id:d}"))
        connection.execute(statement.bindparams(tasks.ids(ids), *chunks))
