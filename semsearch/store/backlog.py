"""How much waits in each collection, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

MEASURE = text("""
SELECT c.name, count(DISTINCT t.document_id) AS documents,
       coalesce(greatest(extract(epoch FROM now() - min(t.enqueued_at)), 0), 0)::float AS lag
FROM semsearch.collections c LEFT JOIN semsearch.tasks t ON t.collection_id = c.id
GROUP BY c.name
""")


@dataclass(frozen=True)
class Backlog:
    """`documents` of the collection wait, the oldest for `lag` seconds."""

    name: str
    documents: int
    lag: float


def measure(connection: Connection) -> list[Backlog]:
    """Of every collection; reads all tasks."""
    return [Backlog(*row) for row in connection.execute(MEASURE)]
