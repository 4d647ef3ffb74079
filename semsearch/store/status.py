"""How far a collection is, as the view semsearch.status tells it, with what is too dear for a view."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from semsearch.errors import NotFound
from semsearch.store import complaints, source, spaces, usage
from semsearch.store.spaces import Space


@dataclass(frozen=True)
class Status:
    """A collection at a glance.

    `backlog` documents wait to be embedded, the oldest for `lag_seconds`; `leased` ones are being worked on. `rate` is
    documents a second over the last five minutes (None: nothing was done). `coverage` is the share of the documents
    that have chunks (None: there are no documents); texts that are blank have none. `bytes` counts chunks and indexes.
    `hit_rate` is the share of texts that the cache of embeddings had (None: no cache, or nothing asked of it yet).
    `tokens_today` are those of this day (UTC), of which `token_budget` is the limit.

    What was used is None for a role that may not see it; so is, in a collection with tenants, what is about all of
    them, and its `documents` are those that the role sees.
    """

    name: str
    model: str | None
    dimensions: int
    distance: str
    vector_type: str
    documents: int
    stored_documents: int
    coverage: float | None
    chunks: int
    backlog: int | None
    leased: int | None
    lag_seconds: float | None
    rate: float | None
    estimated_finish: datetime | None
    hit_rate: float | None
    tokens_today: int | None
    token_budget: int | None
    failed: int | None
    index: str | None
    bytes: int | None
    state: str
    reason: str | None


# Columns of the view that are fields of the same name.
SAME = (
    *("name", "model", "stored_documents", "leased", "lag_seconds", "rate", "estimated_finish", "failed"),
    *("index", "bytes", "state", "reason"),
)
VIEW = text("""
SELECT *, has_table_privilege('semsearch.usage', 'SELECT') AS sees_usage FROM semsearch.status WHERE name = :name
""")


def read(connection: Connection, space: Space) -> Status:
    """The status, every count exact, but for an attached table that is locked or that the role may not read.

    Raises NotFound when it was dropped.
    """
    row = connection.execute(VIEW, {"name": space.name}).one_or_none()
    if row is None:
        raise NotFound(f"collection {space.name!r} has been dropped.")
    seen = row._mapping
    documents, stored, sees_all = seen["documents"], seen["stored_documents"], seen["backlog"] is not None
    if not sees_all:
        documents = stored
    elif space.attachment is not None:
        counted = _count(connection, space)
        documents = documents if counted is None else counted
    return Status(
        dimensions=space.dimensions,
        distance=space.distance,
        vector_type=space.vector_type,
        documents=documents or 0,
        coverage=min(stored * 10000 // documents / 10000, 1.0) if documents and sees_all else None,
        chunks=spaces.count(connection, space),
        backlog=seen["backlog"],
        hit_rate=usage.hit_rate(connection, space) if space.cached and seen["sees_usage"] else None,
        tokens_today=usage.today(connection, space) if seen["sees_usage"] else None,
        token_budget=usage.budget(connection, space),
        **{name: seen[name] for name in SAME},
    )


def _count(connection: Connection, space: Space) -> int | None:
    """Documents in the source; None when its table is locked or not to be read: the view's estimate serves then."""
    try:
        with connection.begin_nested():
            return None if source.check(connection, space) else source.count(connection, space)
    except DBAPIError as error:
        if not (source.is_locked(error) or complaints.refusal(error)):
            raise
        return None


def live_workers(connection: Connection) -> int:
    """Workers that were heard of within the last minute."""
    return int(connection.execute(text("SELECT count(*) FROM semsearch.live_workers")).scalar_one())
