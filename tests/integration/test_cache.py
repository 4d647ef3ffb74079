"""Embeddings are paid for once: what is stored is kept, what was embedded before is found again."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import DatabaseUnavailable, InvalidInput
from semsearch.store import embedding_cache
from tests.integration.hands import MODEL, inputs, searchable
from tests.provider import Provider, vector

Sql = psycopg.Connection[Any]

USAGE = "SELECT sum(documents), sum(chunks), sum(embedded), sum(cached) FROM semsearch.usage"
THREE = [Document("a", "one"), Document("b", "two"), Document("c", "three")]


@pytest.fixture
def cached(model_db: Database, provider: Provider) -> Collection:
    """A collection with a cache; what was asked so far is forgotten."""
    return create(model_db, provider)


def create(db: Database, provider: Provider, name: str = "kept", **settings: Any) -> Collection:
    settings = {"model": MODEL, "chunk_size": 16, "chunk_overlap": 0, "cache": True} | settings
    collection = db.create_collection(name, **settings)
    provider.reset()
    return collection


def stored(collection: Collection, sql: Sql) -> list[tuple[Any, ...]]:
    """Every chunk with its embedding, bit for bit."""
    value = f"{collection.vector_type}_send(embedding)"
    table = f"semsearch.{collection._space.table_name}"
    return sql.execute(f"SELECT document_id, ordinal, {value} FROM {table} ORDER BY 1, 2").fetchall()


def test_a_chunk_keeps_its_embedding_while_its_neighbours_change(notes: Collection, provider: Provider) -> None:
    sentences = [f"Sentence {number} is short enough to be half a chunk of its own." for number in range(3)]
    notes.put([Document("a", "\n\n".join(sentences))])
    before = searchable(notes)["a"]
    assert before == sentences
    provider.reset()
    report = notes.put(
        [Document("a", "\n\n".join([sentences[0], "Something else is said in the middle now.", sentences[2]]))]
    )
    assert inputs(provider) == ["Something else is said in the middle now."]
    assert (report.chunks, report.embedded) == (3, 1)


def test_a_text_in_ten_thousand_documents_is_embedded_once(cached: Collection, provider: Provider) -> None:
    report = cached.put(Document(f"d{number}", "the same") for number in range(10_000))
    assert inputs(provider) == ["the same"]
    assert (report.chunks, report.embedded) == (10_000, 1)
    assert report.cached > 0
    hits = cached.search(embedding=vector("the same"), top_k=3)
    assert [hit.distance for hit in hits] == pytest.approx([0, 0, 0], abs=1e-6)


def test_without_a_cache_a_text_is_embedded_once_in_each_portion(notes: Collection, provider: Provider) -> None:
    notes.put(Document(f"d{number}", "the same") for number in range(1000))
    calls = [call["inputs"] for call in provider.calls]
    assert set(map(tuple, calls)) == {("the same",)}
    assert len(calls) <= 4  # portions of 256 documents


@pytest.mark.parametrize("vector_type", ["vector", "halfvec"])
def test_a_collection_made_anew_costs_nothing_and_is_the_same_to_the_bit(
    vector_type: str, model_db: Database, provider: Provider, sql: Sql
) -> None:
    first = create(model_db, provider, vector_type=vector_type)
    first.put(THREE)
    before = stored(first, sql)
    model_db.drop_collection("kept")
    again = create(model_db, provider, vector_type=vector_type)
    report = again.put(THREE)
    assert inputs(provider) == []
    assert (report.embedded, report.cached) == (0, 3)
    assert stored(again, sql) == before


def test_collections_share_what_the_same_model_made(model_db: Database, provider: Provider, cached: Collection) -> None:
    cached.put(THREE)
    other = create(model_db, provider, "other", chunk_size=8)
    other.put([*THREE, Document("d", "four")])
    assert inputs(provider) == ["four"]
    another = create(model_db, provider, "another", model="openai:another-model")
    another.put(THREE)
    assert sorted(inputs(provider)) == ["one", "three", "two"]


def test_a_collection_without_a_cache_neither_reads_nor_fills_it(
    notes: Collection, cached: Collection, provider: Provider, sql: Sql
) -> None:
    notes.put(THREE)
    assert sql.execute("SELECT count(*) FROM semsearch.document_embeddings").fetchone() == (0,)
    cached.put(THREE)
    provider.reset()
    notes.put([Document("d", "one")])
    assert inputs(provider) == ["one"]


def test_what_was_paid_for_survives_the_death_of_the_worker(cached: Collection, hands: Any, provider: Provider) -> None:
    cached.put(THREE, wait=False)
    dead = hands(cached)
    dead.claim()
    dead.prepare()
    dead.worker.close()  # before anything was stored
    assert sorted(inputs(provider)) == ["one", "three", "two"]
    provider.reset()
    cached.work()
    assert inputs(provider) == []
    assert searchable(cached) == {"a": ["one"], "b": ["two"], "c": ["three"]}


def test_answers_before_the_one_that_failed_are_kept(
    cached: Collection, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semsearch.embedding.SLICE", 2)
    provider.script({"fault": "none"}, {"fault": "status", "status": 401})
    with pytest.raises(Exception, match="key"):
        cached.put(THREE)
    assert inputs(provider) == ["one", "two", "three"]
    provider.reset()
    cached.work()
    assert inputs(provider) == ["three"]


def test_usage_tells_what_was_embedded_and_what_was_not(cached: Collection, sql: Sql) -> None:
    cached.put(THREE)
    cached.put([Document("d", "one"), Document("e", "five")])
    assert sql.execute(USAGE).fetchone() == (5, 5, 4, 1)
    assert cached.status().hit_rate == pytest.approx(1 / 5)


def test_a_cache_that_cannot_be_written_stops_nobody(
    cached: Collection, sql: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    sql.execute("ALTER TABLE semsearch.document_embeddings ADD CONSTRAINT full_up CHECK (false) NOT VALID")
    try:
        with caplog.at_level(logging.WARNING):
            report = cached.put(THREE)
    finally:
        sql.execute("ALTER TABLE semsearch.document_embeddings DROP CONSTRAINT full_up")
    assert (report.chunks, report.embedded, report.failed) == (3, 3, {})
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), psycopg.OperationalError("the connection is lost")])
def test_what_was_paid_for_is_stored_though_the_cache_has_lost_its_database(
    cached: Collection, provider: Provider, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def lose(*_: object) -> None:
        raise error

    monkeypatch.setattr(embedding_cache, "_patiently", lose)
    monkeypatch.setattr(embedding_cache, "get", lambda *_: {})
    assert cached.put(THREE).chunks == 3
    assert len(provider.calls) == 1


def test_nobody_waits_for_a_cache_that_is_locked(cached: Collection, other_sql: Sql) -> None:
    with other_sql.transaction():
        other_sql.execute("LOCK TABLE semsearch.document_embeddings")
        assert cached.put(THREE).embedded == 3


def test_a_cut_connection_is_replaced(cached: Collection, sql: Sql) -> None:
    cached.put(THREE)
    engine = cached._pools.writing
    with engine.connect():  # one that the pool takes for sound
        pass
    sql.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'semsearch%'"
    )
    found = embedding_cache.get(engine, cached._space.fingerprint or "", ["one", "nothing"])
    assert {text: value.tolist() for text, value in found.items()} == {"one": vector("one").tolist()}


def test_an_embedding_that_half_precision_cannot_hold_is_made_anew(
    model_db: Database, provider: Provider, sql: Sql
) -> None:
    half = create(model_db, provider, vector_type="halfvec")
    too_large = np.full(half.dimensions, 1e6, np.float32)
    embedding_cache.put(half._pools.writing, half._space.fingerprint or "", {"one": too_large})
    half.put(THREE)
    assert sorted(inputs(provider)) == ["one", "three", "two"]


def test_what_is_old_can_be_cleared(cached: Collection, model_db: Database, provider: Provider, sql: Sql) -> None:
    cached.put(THREE)
    sql.execute(
        "UPDATE semsearch.document_embeddings SET created_at = now() - interval '91 days' WHERE hash = sha256('one')"
    )
    (held,) = model_db.cache()
    assert (held.fingerprint, held.embeddings) == (cached._space.fingerprint, 3)
    assert held.bytes >= 3 * 4 * cached.dimensions
    assert model_db.clear_cache(timedelta(days=90)) == 1
    assert model_db.clear_cache(timedelta(days=90)) == 0
    assert model_db.clear_cache() == 2
    assert model_db.cache() == []
    assert len(searchable(cached)) == 3


def test_only_a_model_has_a_cache(model_db: Database) -> None:
    with pytest.raises(InvalidInput, match="with a model"):
        model_db.create_collection("given", dimensions=3, cache=True)
