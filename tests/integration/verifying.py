"""For tests of verify: a filled collection, connections that no trigger sees, and what a repair must come to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.verify import Verification
from tests.integration.hands import kinds, searchable
from tests.provider import Provider, vector

Sql = psycopg.Connection[Any]

LONG = " ".join(f"Sentence number {number} has a handful of words." for number in range(12))  # several chunks of 16


@pytest.fixture
def filled(notes: Collection, provider: Provider) -> Collection:
    """Ten documents: the fifth is long, the others are one chunk each."""
    texts = {f"d{number}": f"text {number}" for number in range(10)} | {"d5": LONG}
    notes.put([Document(id, text, {"number": 1}) for id, text in texts.items()])
    assert len(searchable(notes)["d5"]) >= 4
    provider.reset()
    return notes


@pytest.fixture
def behind(filled: Collection, sql: Sql) -> Iterator[Sql]:
    """A connection whose writes no trigger sees, as those of logical replication or pg_restore."""
    sql.execute("SET session_replication_role = replica")
    yield sql
    sql.execute("RESET session_replication_role")


@pytest.fixture
def chunks(filled: Collection) -> str:
    return f"semsearch.{filled._space.table_name}"


def is_true(collection: Collection, sql: Sql) -> None:
    """Chunks are those of the source, embeddings those of the chunks."""
    texts = dict(
        sql.execute(
            "SELECT id, text FROM semsearch.documents WHERE collection_id = %s", (collection._space.collection_id,)
        ).fetchall()
    )
    found = searchable(collection)
    assert set(found) == {id for id, text in texts.items() if text.strip()}
    for id, pieces in found.items():
        at = 0
        for piece in pieces:
            at = texts[id].index(piece, at)
        assert texts[id].startswith(pieces[0])
        assert texts[id].endswith(pieces[-1])
    stored = sql.execute(f"SELECT heading, text, embedding::text FROM collections.{collection.name}")
    for heading, text, embedding in stored:
        expected = vector(f"{heading}\n{text}" if heading else text)
        np.testing.assert_allclose(np.fromstring(embedding.strip("[]"), sep=","), expected, rtol=1e-5)


def repaired(collection: Collection, sql: Sql, **options: Any) -> Verification:
    """Repair, let a worker do it, and see that nothing is left to find."""
    done = collection.verify(repair=True, **options)
    assert done.healed
    collection.work()
    again = collection.verify()
    assert kinds(again) == {}
    assert again.clean
    is_true(collection, sql)
    return done
