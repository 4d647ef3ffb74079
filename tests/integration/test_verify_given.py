"""Given embeddings compared with their texts: what no model can make again is never thrown away."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.store import verification
from tests.integration.hands import kinds, searchable

Sql = psycopg.Connection[Any]


@pytest.fixture
def given(model_db: Database, sql: Sql) -> Collection:
    collection = model_db.create_collection("given", dimensions=2)
    collection.put([Document(f"g{number}", f"given {number}", embedding=[1, number]) for number in range(10)])
    return collection


def test_given_embeddings_are_compared_by_their_text(given: Collection, sql: Sql) -> None:
    assert given.verify().clean
    sql.execute("SET session_replication_role = replica")
    sql.execute("UPDATE semsearch.documents SET text = 'other' WHERE id = 'g3'")
    sql.execute("RESET session_replication_role")
    assert kinds(given.verify(repair=True)) == {"stale": (1, ["g3"])}
    given.work()
    found = given.verify()
    assert found.clean
    assert found.failed == 1
    assert "given embeddings only" in given.failures()[0].reason
    assert "g3" not in searchable(given)


def test_a_wrong_text_beside_a_given_embedding_is_set_right_and_the_embedding_kept(given: Collection, sql: Sql) -> None:
    sql.execute(f"UPDATE semsearch.{given._space.table_name} SET text = 'wrong' WHERE document_id = 'g3'")
    assert kinds(given.verify(repair=True)) == {"stale": (1, ["g3"])}
    given.work()
    assert given.verify().clean
    found = sql.execute("SELECT text, embedding::text FROM collections.given WHERE document_id = 'g3'").fetchone()
    assert found == ("given 3", "[1,3]")


def test_a_given_embedding_that_is_unusable_can_only_be_put_again(given: Collection, sql: Sql) -> None:
    sql.execute(f"UPDATE semsearch.{given._space.table_name} SET embedding = '[0,0]' WHERE document_id = 'g3'")
    done = given.verify(repair=True)
    assert kinds(done) == {"unusable": (1, ["g3"])}
    assert done.enqueued == 0
    assert not done.healed
    given.put([Document("g3", "given 3", embedding=[1, 3])])
    assert given.verify().clean


@pytest.mark.parametrize("vector_type", ["vector", "halfvec"])
def test_an_embedding_of_zero_is_unusable_in_either_type(model_db: Database, sql: Sql, vector_type: str) -> None:
    typed = model_db.create_collection("typed", dimensions=2, vector_type=vector_type)
    typed.put([Document("a", "a", embedding=[6e-8, 0]), Document("b", "b", embedding=[1, 2])])  # the smallest halfvec
    assert typed.verify().clean
    sql.execute(f"UPDATE semsearch.{typed._space.table_name} SET embedding = '[0,0]' WHERE document_id = 'b'")
    assert kinds(typed.verify()) == {"unusable": (1, ["b"])}


def test_an_embedding_given_since_it_was_looked_at_is_kept(
    notes: Collection, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunk that was found wrong was one of the model's."""
    notes.put([Document("a", "one")])
    sql.execute(f"UPDATE semsearch.{notes._space.table_name} SET text = 'wrong'")
    enqueue = verification.enqueue

    def late(*arguments: Any) -> None:
        notes.put([Document("a", "one", embedding=[0.0, 1.0] + [0.0] * 6)])
        enqueue(*arguments)

    monkeypatch.setattr(verification, "enqueue", late)
    assert kinds(notes.verify(repair=True)) == {"stale": (1, ["a"])}
    notes.work()
    assert sql.execute("SELECT text, embedding::text FROM collections.notes").fetchall() == [
        ("one", "[0,1,0,0,0,0,0,0]")
    ]
    assert notes.verify().clean
