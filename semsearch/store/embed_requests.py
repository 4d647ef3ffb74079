"""Requests for embeddings of queries, written by CALL semsearch.embed: heard of, claimed, answered, removed.

A claim is a short transaction of its own, and none is open while a model runs. Whoever has claimed a request may die:
a little later others claim it again, by the clock of the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine, LargeBinary, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from semsearch.records import Embedding
from semsearch.store import query_cache
from semsearch.store.connection import Address

AGAIN = 5.0  # seconds after which a request that was claimed may be claimed again
LIFE = 60.0  # seconds after which one is removed: a CALL that still waits for it asks anew
BATCH = 64  # requests of a claim: one call of the model

OUTSTANDING = """
SELECT DISTINCT r.collection_id
FROM semsearch.embed_requests r JOIN semsearch.collections c ON c.id = r.collection_id
WHERE r.problem IS NULL AND (r.claimed_at IS NULL OR r.claimed_at < now() - make_interval(secs => %s))
  AND (%s::text[] = '{}' OR c.name = ANY (%s))
"""
CLAIM = text("""
UPDATE semsearch.embed_requests r SET claimed_at = now()
FROM (
    SELECT q.collection_id, q.hash, s.id AS space_id
    FROM semsearch.embed_requests q
    JOIN semsearch.spaces s ON s.collection_id = q.collection_id AND s.state = 'live'
    WHERE q.collection_id = :collection_id AND q.problem IS NULL
      AND (q.claimed_at IS NULL OR q.claimed_at < now() - make_interval(secs => :again))
    ORDER BY q.requested_at LIMIT :batch
    FOR UPDATE OF q SKIP LOCKED
) free
WHERE r.collection_id = free.collection_id AND r.hash = free.hash
RETURNING r.hash, r.query, r.claimed_at, free.space_id
""")
REMOVE = text("DELETE FROM semsearch.embed_requests WHERE collection_id = :collection_id AND hash = ANY(:hashes)")
REFUSE = text("""
UPDATE semsearch.embed_requests SET problem = :problem
WHERE collection_id = :collection_id AND hash = ANY(:hashes) AND claimed_at = :claimed_at
""")
TIDY = text("DELETE FROM semsearch.embed_requests WHERE requested_at < now() - make_interval(secs => :life)")


@dataclass(frozen=True)
class Request:
    """A query that is ours to embed, for the space that was live when it was claimed."""

    hash: bytes
    query: str
    claimed_at: datetime
    space_id: int


class Listener:
    """A connection of its own, on which the server tells of requests when they are committed.

    Behind a pooler it cannot: `hears` is False, and nothing but looking tells. Raises DatabaseUnavailable, and what the
    driver raises.
    """

    def __init__(self, address: Address) -> None:
        self.hears = not address.pooled
        self._connection = address.connect(vectors=False, autocommit=True)
        try:
            if self.hears:
                self._connection.execute("LISTEN semsearch_embed")
        except BaseException:
            self._connection.close()
            raise

    def outstanding(self, names: Sequence[str]) -> list[int]:
        """The numbers of the collections that have requests to be claimed; only of these names, if any are given."""
        rows = self._connection.execute(OUTSTANDING, (AGAIN, list(names), list(names)))
        return [collection_id for (collection_id,) in rows]

    def told(self, seconds: float) -> bool:
        """Wait so long, or until the server tells of a request; whether it did."""
        return bool(list(self._connection.notifies(timeout=seconds, stop_after=1)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._connection.close()


def claim(engine: Engine, collection_id: int) -> list[Request]:
    """Claim what waits, the oldest first, BATCH at most."""
    values = {"collection_id": collection_id, "again": AGAIN, "batch": BATCH}
    with engine.begin() as connection:
        rows = connection.execute(CLAIM, values).all()
    return [Request(bytes(row.hash), row.query, row.claimed_at, row.space_id) for row in rows]


def answer(
    engine: Engine,
    collection_id: int,
    fingerprint: str,
    embeddings: Mapping[str, Embedding],
    requests: Sequence[Request],
) -> None:
    """Cache the embeddings and remove their requests, in one transaction."""
    with engine.begin() as connection:
        query_cache.write(connection, fingerprint, embeddings)
        connection.execute(_of(REMOVE, requests), {"collection_id": collection_id})


def refuse(engine: Engine, collection_id: int, requests: Sequence[Request], problem: str) -> None:
    """Tell those who wait why there will be no answer; not where somebody else has claimed the request since."""
    with engine.begin() as connection:
        for claimed_at in {request.claimed_at for request in requests}:
            values = {"collection_id": collection_id, "problem": problem, "claimed_at": claimed_at}
            connection.execute(_of(REFUSE, requests), values)


def tidy(connection: Connection) -> None:
    """Remove requests that nobody waits for any more."""
    connection.execute(TIDY, {"life": LIFE})


def _of(statement: TextClause, requests: Sequence[Request]) -> TextClause:
    hashes = [request.hash for request in requests]
    return statement.bindparams(bindparam("hashes", hashes, type_=ARRAY(LargeBinary)))
