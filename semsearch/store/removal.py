"""Removes documents with everything stored for them, so that no task is left for a worker."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, delete, select, text, true

from semsearch.store import chunks, documents, tasks
from semsearch.store.guards import hold
from semsearch.store.schema import documents as table
from semsearch.store.spaces import Space
from semsearch.store.transactions import in_transaction

BATCH = 5000  # documents removed in one transaction


def remove(connection: Connection, space: Space, ids: Sequence[str], only: ColumnElement[bool] | None = None) -> int:
    """Delete documents, `only` those of which that holds, then their chunks and tasks; returns how many there were.

    In this order: the first statement waits for a worker that is just storing one of them, the others see what it
    stored. A worker that comes later finds neither document nor task, and stores nothing. Tasks before chunks, as the
    workers do it, or the two could deadlock. What was no document then is left alone: somebody may put it meanwhile,
    and the task that goes would be the one of the new text.
    """
    hold(connection, space)
    connection.execute(text("SET LOCAL semsearch.bulk = 'on'"))
    there = delete(table).where(table.c.collection_id == space.collection_id, table.c.id == documents.any_of(ids))
    there = there if only is None else there.where(only)
    gone = list(connection.execute(there.returning(table.c.id)).scalars())
    if gone:
        tasks.discard(connection, space, gone)
        chunks.remove(connection, space, gone)
        tasks.forgive(connection, space, gone)
    return len(gone)


def remove_all(connection: Connection, space: Space) -> int:
    """Delete every document of the collection, in batches of a transaction each; returns how many there were."""
    batch = select(table.c.id).where(table.c.collection_id == space.collection_id).limit(BATCH)
    count = 0
    while ids := list(connection.execute(batch).scalars()):
        count += remove(connection, space, ids)
        connection.commit()
    return count


def prune(engine: Engine, space: Space, source: str, seen: documents.Seen, begun: datetime) -> int:
    """Delete the documents of this source that are not among the ids seen; returns how many.

    What was put since `begun`, before the source was read, stays, and so does what has come from elsewhere meanwhile.
    """
    still = (table.c.source == source) & (table.c.updated_at < begun)
    count = 0
    for ids in _pages(engine, space, source):
        if gone := seen.lacks(ids):
            count += in_transaction(engine, functools.partial(remove, space=space, ids=gone, only=still))
    return count


def _pages(engine: Engine, space: Space, source: str) -> Iterator[list[str]]:
    """The ids of the source's documents, BATCH at a time; no transaction stays open between two pages."""
    every = select(table.c.id).where(table.c.collection_id == space.collection_id, table.c.source == source)
    after: ColumnElement[bool] = true()
    while ids := in_transaction(engine, functools.partial(_ids, every.where(after))):
        yield ids
        after = table.c.id > ids[-1]


def _ids(found: Select[Any], connection: Connection) -> list[str]:
    return list(connection.execute(found.order_by(table.c.id).limit(BATCH)).scalars())
