"""Embeddings of queries asked before, so that asking again needs no model. As many are kept, and as long, as is set."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, Engine, LargeBinary, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError

from semsearch.records import Embedding
from semsearch.store.nearest import array
from semsearch.store.schema import query_embeddings

TIDY = 0.01  # share of the writes after which those beyond the limits are removed


@dataclass(frozen=True)
class Limits:
    """How many embeddings are kept, and for how many days after they were made, or last asked for (to a day)."""

    size: int = 10_000
    days: int = 30


# Nothing is lost with them but a call of the model, so nobody waits for the disk: the setting holds for the transaction
# that the statement is in, be it its own.
WRITE = text("""
WITH hurry AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS mode)
INSERT INTO semsearch.query_embeddings (fingerprint, hash, embedding)
SELECT :fingerprint, u.hash, CAST(u.embedding AS vector)
FROM unnest(CAST(:hashes AS bytea[]), CAST(:vectors AS text[])) AS u (hash, embedding), hurry
WHERE hurry.mode = 'off'
ORDER BY u.hash
ON CONFLICT DO NOTHING
""")
KEEP = text("""
UPDATE semsearch.query_embeddings e SET created_at = now()
FROM (
    SELECT k.fingerprint, k.hash FROM semsearch.query_embeddings k
    WHERE k.fingerprint = :fingerprint AND k.hash = ANY(CAST(:hashes AS bytea[]))
    FOR UPDATE SKIP LOCKED
) asked
WHERE e.fingerprint = asked.fingerprint AND e.hash = asked.hash
""")
TIDY_UP = text("""
DELETE FROM semsearch.query_embeddings e
USING (
    SELECT k.fingerprint, k.hash
    FROM semsearch.query_embeddings k
    LEFT JOIN (
        SELECT fingerprint, hash FROM semsearch.query_embeddings
        ORDER BY created_at DESC, fingerprint, hash OFFSET :size
    ) beyond ON beyond.fingerprint = k.fingerprint AND beyond.hash = k.hash
    WHERE beyond.hash IS NOT NULL OR k.created_at < now() - make_interval(days => :days)
    FOR UPDATE OF k SKIP LOCKED
) old
WHERE e.fingerprint = old.fingerprint AND e.hash = old.hash
""")


def get(engine: Engine, fingerprint: str, query: str) -> Embedding | None:
    """The cached embedding of this query by this model, or None."""
    return several(engine, fingerprint, [query]).get(query)


def several(engine: Engine, fingerprint: str, queries: Sequence[str]) -> dict[str, Embedding]:
    """Those of these queries that are cached, with their embeddings; in one statement.

    One that was not asked for a day lives longer for it.
    """
    by_hash = {_hash(query): query for query in queries}
    hashes = bindparam(None, list(by_hash), type_=ARRAY(LargeBinary))
    is_old = query_embeddings.c.created_at < func.now() - text("interval '1 day'")
    found = select(query_embeddings.c.hash, query_embeddings.c.embedding, is_old.label("is_old")).where(
        query_embeddings.c.fingerprint == fingerprint, query_embeddings.c.hash == func.any(hashes)
    )
    try:
        with engine.connect() as connection:
            rows = connection.execute(found).all()
    except DBAPIError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        return {}
    if old := [bytes(row.hash) for row in rows if row.is_old]:
        with suppress(DBAPIError), engine.begin() as connection:
            connection.execute(KEEP, {"fingerprint": fingerprint, "hashes": old})
    return {by_hash[bytes(row.hash)]: array(row.embedding) for row in rows}


def put(engine: Engine, fingerprint: str, query: str, embedding: Embedding, limits: Limits | None = None) -> None:
    """Remember it; a role that may only read searches all the same."""
    put_several(engine, fingerprint, {query: embedding}, limits)


def put_several(
    engine: Engine, fingerprint: str, embeddings: Mapping[str, Embedding], limits: Limits | None = None
) -> None:
    """Remember embeddings by query. Now and then those beyond the limits go."""
    with suppress(DBAPIError), engine.begin() as connection:
        write(connection, fingerprint, embeddings)
        if random.random() < TIDY:  # noqa: S311
            tidy(connection, limits or Limits())


def write(connection: Connection, fingerprint: str, embeddings: Mapping[str, Embedding]) -> None:
    """Cache embeddings in one statement, in the order of the keys: two writers cannot deadlock."""
    by_hash = {_hash(query): str(embedding.tolist()) for query, embedding in embeddings.items()}
    connection.execute(WRITE, {"fingerprint": fingerprint, "hashes": [*by_hash], "vectors": [*by_hash.values()]})


def tidy(connection: Connection, limits: Limits) -> None:
    """Remove what is older than the limits allow, and of more than they allow the oldest."""
    connection.execute(TIDY_UP, {"size": limits.size, "days": limits.days})


def _hash(query: str) -> bytes:
    return hashlib.sha256(query.encode("utf-8", "replace")).digest()
