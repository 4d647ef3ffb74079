"""Embeddings of texts embedded before, so that to embed them again costs nothing; for collections that ask for it.

The key is the model's fingerprint and sha256 of the text: no collection, no document, no metadata. Nothing here may
stop an ingest: what cannot be read is embedded again, what cannot be written is logged and forgotten. Only when the
connection is lost before the model is asked is that raised: to ask costs nothing yet.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import psycopg
from pgvector import Vector
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from semsearch.errors import DatabaseUnavailable
from semsearch.records import Embedding
from semsearch.store.complaints import is_lost, reason
from semsearch.store.connection import driver
from semsearch.store.nearest import array
from semsearch.store.transactions import again_when_lost

T = TypeVar("T")

log = logging.getLogger(__name__)

# Nobody waits longer for the cache, whatever holds its table.
PATIENCE = "SET LOCAL lock_timeout = '1s'"

# In the order of the keys, so that two writers that share some cannot deadlock.
PUT = """
INSERT INTO semsearch.document_embeddings (fingerprint, hash, embedding)
SELECT %s, u.hash, u.embedding FROM unnest(%b::bytea[], %b::vector[]) AS u (hash, embedding)
ORDER BY u.hash
ON CONFLICT DO NOTHING
"""
GET = "SELECT hash, embedding FROM semsearch.document_embeddings WHERE fingerprint = %s AND hash = ANY(%b)"
THERE = "SELECT hash FROM semsearch.document_embeddings WHERE fingerprint = %s AND hash = ANY(%b)"


def get(engine: Engine, fingerprint: str, texts: Sequence[str]) -> dict[str, Embedding]:
    """The embeddings that are known, by text."""
    by_key = {key(text): text for text in texts}

    def read(connection: Connection) -> dict[str, Embedding]:
        with driver(connection).cursor(binary=True) as cursor:
            rows = cursor.execute(GET, (fingerprint, list(by_key))).fetchall()
        return {by_key[hash]: array(embedding) for hash, embedding in rows}

    try:
        return again_when_lost(engine, lambda: _patiently(engine, read))
    except (psycopg.Error, DBAPIError) as error:
        if is_lost(error):
            raise
        _tell("read", error)
        return {}


def put(engine: Engine, fingerprint: str, embeddings: Mapping[str, Embedding]) -> None:
    """Remember embeddings by text, in a transaction of its own: what follows may fail, this was paid for."""
    keys = [key(text) for text in embeddings]
    values = [Vector(embedding) for embedding in embeddings.values()]

    def write(connection: Connection) -> None:
        driver(connection).execute(PUT, (fingerprint, keys, values))

    try:
        if keys:
            again_when_lost(engine, lambda: _patiently(engine, write))
    except (psycopg.Error, DBAPIError, DatabaseUnavailable) as error:
        _tell("written", error)  # and go on to store what was embedded, which waits for a database that is away


def there(connection: Connection, fingerprint: str, texts: Sequence[str]) -> set[str]:
    """Which of the texts are known."""
    by_key = {key(text): text for text in texts}
    with driver(connection).cursor(binary=True) as cursor:
        return {by_key[hash] for (hash,) in cursor.execute(THERE, (fingerprint, list(by_key)))}


def key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _patiently(engine: Engine, action: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        connection.exec_driver_sql(PATIENCE)
        return action(connection)


def _tell(what: str, error: Exception) -> None:
    log.warning("The cache of document embeddings cannot be %s: %s", what, reason(error))


@dataclass(frozen=True)
class Stored:
    """What the cache holds of one model: how many embeddings, of how many bytes, from when to when."""

    fingerprint: str
    embeddings: int
    bytes: int
    oldest: datetime
    newest: datetime


EVERY = text("""
SELECT fingerprint, count(*) AS embeddings, sum(pg_column_size(embedding))::bigint AS bytes,
       min(created_at) AS oldest, max(created_at) AS newest
FROM semsearch.document_embeddings GROUP BY fingerprint ORDER BY fingerprint
""")

CLEAR = text("""
DELETE FROM semsearch.document_embeddings
WHERE created_at <= now() - CAST(:age AS interval)
""")


def every(connection: Connection) -> list[Stored]:
    """What is there, by model; reads the whole cache."""
    return [Stored(**row._mapping) for row in connection.execute(EVERY)]


def clear(connection: Connection, older_than: timedelta) -> int:
    """Forget what was embedded so long ago or longer; returns how many embeddings."""
    return connection.execute(CLEAR, {"age": older_than}).rowcount
