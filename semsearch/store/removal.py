"""Removes documents with everything stored for them, so that no task is left for a worker."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select, text

from semsearch.store import chunks, documents, tasks
from semsearch.store.schema import documents as table
from semsearch.store.spaces import Space

BATCH = 5000  # documents removed in one transaction


def remove(connection: Connection, space: Space, ids: Sequence[str]) -> int:
    """Delete documents, then their chunks and tasks; returns how many documents there were.

    In this order: the first statement waits for a worker that is just storing one of them, the others see what it
    stored. A worker that comes later finds neither document nor task, and stores nothing. Tasks before chunks, as the
    workers do it, or the two could deadlock.
    """
    connection.execute(text("SET LOCAL semsearch.bulk = 'on'"))
    gone = delete(table).where(table.c.collection_id == space.collection_id, table.c.id == documents.any_of(ids))
    count = connection.execute(gone).rowcount
    tasks.discard(connection, space, ids)
    chunks.remove(connection, space, ids)
    tasks.forgive(connection, space, ids)
    return count


def remove_all(connection: Connection, space: Space) -> int:
    """Delete every document of the collection, in batches of a transaction each; returns how many there were."""
    batch = select(table.c.id).where(table.c.collection_id == space.collection_id).limit(BATCH)
    count = 0
    while ids := list(connection.execute(batch).scalars()):
        count += remove(connection, space, ids)
        connection.commit()
    return count


def prune(connection: Connection, space: Space, source: str) -> int:
    """Delete the documents of this source that are not in `seen_documents` (documents.Seen); returns how many."""
    # Not NOT IN: what does not fit work_mem (8 MB, about 100,000 ids) would be read anew for each document.
    batch = text("""
        SELECT d.id FROM semsearch.documents d WHERE d.collection_id = :collection_id AND d.source = :source
        EXCEPT
        SELECT s.id FROM seen_documents s
        LIMIT :batch
    """)
    values = {"collection_id": space.collection_id, "source": source, "batch": BATCH}
    connection.execute(text("ANALYZE seen_documents"))
    count = 0
    while ids := list(connection.execute(batch, values).scalars()):
        count += remove(connection, space, ids)
        connection.commit()
    return count
