"""How much waits in each collection, and for how long, as the view says it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

MEASURE = text("SELECT name, backlog, lag_seconds FROM semsearch.status")


@dataclass(frozen=True)
class Backlog:
    """`documents` of the collection wait, the oldest for `lag` seconds."""

    name: str
    documents: int
    lag: float


def measure(connection: Connection) -> list[Backlog]:
    """Of every collection; reads all tasks, and of what else the view tells as little as it can."""
    return [Backlog(*row) for row in connection.execute(MEASURE)]
