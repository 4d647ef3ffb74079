"""Looks into the database, for the tests of faults: what is searchable, and what is left of the work."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg

from semsearch import Document
from semsearch.collection import Collection
from tests.provider import vector


def texts(count: int, word: str = "text") -> dict[str, str]:
    """Short texts by document id, each different and one chunk long."""
    return {f"d{number:03}": f"{word} {number}" for number in range(count)}


def documents(texts: Mapping[str, str]) -> list[Document]:
    return [Document(id, text) for id, text in texts.items()]


def check(collection: Collection, texts: Mapping[str, str]) -> None:
    """Exactly these documents can be found: a chunk each, beside the embedding the provider makes of that text."""
    with collection._pools.writing.connect() as connection:
        rows = connection.exec_driver_sql(
            f"SELECT document_id, text, embedding::text FROM collections.{collection.name}"
        )
        found = {id: (text, np.array(json.loads(embedding), np.float32)) for id, text, embedding in rows}
    assert {id: text for id, (text, _) in found.items()} == dict(texts)
    for text, embedding in found.values():
        np.testing.assert_allclose(embedding, vector(text), rtol=1e-6)


def attempts(collection: Collection) -> dict[str, int]:
    """The attempts charged so far, of documents that have a lease."""
    with collection._pools.writing.connect() as connection:
        rows = connection.exec_driver_sql("SELECT document_id, attempt FROM semsearch.leases")
        return {row.document_id: row.attempt for row in rows}


def check_waiting(collection: Collection, ids: Iterable[str]) -> None:
    """These wait to be embedded and nothing is held against them: no lease, no attempt, no failure."""
    with collection._pools.writing.connect() as connection:
        waiting = connection.exec_driver_sql("SELECT DISTINCT document_id FROM semsearch.tasks").scalars().all()
    assert set(waiting) == set(ids)
    assert attempts(collection) == {}
    assert collection.status().failed == 0


def searchable(collection: Collection) -> dict[str, str]:
    """The texts that can be found, by document."""
    with collection._pools.writing.connect() as connection:
        rows = connection.exec_driver_sql(f"SELECT document_id, text FROM collections.{collection.name}")
        return {row.document_id: row.text for row in rows}


def large(count: int, word: str = "text") -> dict[str, str]:
    """Documents of 6 kB that do not compress, one chunk each."""
    return {id: f"{text} {os.urandom(3000).hex()}" for id, text in texts(count, word).items()}


@contextmanager
def read_only(sql: psycopg.Connection[Any]) -> Iterator[None]:
    """Who connects from now on may only read, as on a replica."""
    name = sql.info.dbname
    sql.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    try:
        yield
    finally:
        sql.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
