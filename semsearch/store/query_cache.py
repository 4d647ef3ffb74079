"""Embeddings of queries asked before, so that asking again needs no model."""

from __future__ import annotations

import hashlib
import random

from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from semsearch.records import Embedding
from semsearch.store.queries import array
from semsearch.store.schema import query_embeddings

KEEP = 10_000  # embeddings; the oldest go
TIDY = 0.01  # share of the writes after which the oldest are removed


def get(engine: Engine, fingerprint: str, query: str) -> Embedding | None:
    """The cached embedding of this query by this model, or None."""
    found = select(query_embeddings.c.embedding).where(
        query_embeddings.c.fingerprint == fingerprint, query_embeddings.c.hash == _hash(query)
    )
    with engine.connect() as connection:
        value = connection.execute(found).scalar()
    return None if value is None else array(value)


def put(engine: Engine, fingerprint: str, query: str, embedding: Embedding) -> None:
    """Remember it; a role that may only read searches all the same."""
    try:
        with engine.begin() as connection:
            connection.execute(
                text("""
                INSERT INTO semsearch.query_embeddings (fingerprint, hash, embedding)
                VALUES (:fingerprint, :hash, CAST(:embedding AS vector))
                ON CONFLICT DO NOTHING
                """),
                {"fingerprint": fingerprint, "hash": _hash(query), "embedding": str(embedding.tolist())},
            )
            if random.random() < TIDY:  # noqa: S311
                _tidy(engine)
    except DBAPIError:
        return


def _tidy(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("""
            DELETE FROM semsearch.query_embeddings
            WHERE created_at < (SELECT created_at FROM semsearch.query_embeddings
                                ORDER BY created_at DESC OFFSET :keep LIMIT 1)
            """),
            {"keep": KEEP},
        )


def _hash(query: str) -> bytes:
    return hashlib.sha256(query.encode("utf-8", "replace")).digest()
