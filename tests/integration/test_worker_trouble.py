"""What keeps a worker from some documents: wrong settings, a busy provider, too little memory; others go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from semsearch import Document, work
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import Conflict, ProviderBusy
from semsearch.store import leases
from semsearch.worker import group, supervisor
from semsearch.worker.trouble import meaning
from tests.integration.hands import MODEL, searchable
from tests.integration.working import put, run, running, until
from tests.provider import Provider, vector

Sql = psycopg.Connection[Any]


def test_a_collection_whose_model_has_changed_is_blocked_and_others_go_on(
    model_db: Database, two: tuple[Collection, Collection], sql: Sql
) -> None:
    large, small = two
    put(large, 3)
    put(small, 3)
    sql.execute(
        "UPDATE semsearch.spaces SET fingerprint = 'another' WHERE collection_id = %s", (large.space.collection_id,)
    )
    run(model_db)
    assert [len(searchable(collection)) for collection in two] == [0, 3]
    status = large.status()
    assert (status.state, status.backlog) == ("blocked", 3)
    assert "is not what it was" in (status.reason or "")
    sql.execute(
        "UPDATE semsearch.spaces SET fingerprint = %s WHERE collection_id = %s",
        (small.space.fingerprint, large.space.collection_id),
    )
    run(model_db)  # a worker that starts tries again
    assert (large.status().state, large.status().reason, len(searchable(large))) == ("active", None, 3)


def test_a_wrong_key_is_sent_seldom(
    model_db: Database, two: tuple[Collection, Collection], provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semsearch import embedders

    monkeypatch.setattr(embedders, "_loaded", {})
    for collection in two:
        put(collection, 300)
    provider.script(*[{"fault": "status", "status": 401}] * 100)
    run(model_db, concurrency=4)
    assert len(provider.calls) == 1
    assert [collection.status().state for collection in two] == ["blocked", "blocked"]
    assert "OPENAI_API_KEY" in (two[0].status().reason or "")


def test_a_key_that_is_taken_away_blocks(
    model_db: Database, two: tuple[Collection, Collection], provider: Provider
) -> None:
    for collection in two:
        put(collection, 300)
    provider.script(*[{"fault": "status", "status": 403}] * 100)
    run(model_db, concurrency=4)
    assert len(provider.calls) <= 4  # those that were sent at the same time
    assert [collection.status().state for collection in two] == ["blocked", "blocked"]


def test_a_blocked_collection_is_tried_again_after_a_while(
    model_db: Database, two: tuple[Collection, Collection], sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "BLOCKED_FOR", 1.0)
    _, small = two
    with running(model_db):
        until(lambda: sql.execute("SELECT FROM semsearch.workers").rowcount == 1)
        sql.execute("UPDATE semsearch.collections SET state = 'blocked', reason = 'a test', blocked_at = now()")
        put(small, 3)
        until(lambda: small.status().backlog == 0)
    assert (small.status().state, small.status().reason) == ("active", None)


def test_a_busy_provider_is_left_alone_and_nothing_is_charged(
    model_db: Database, two: tuple[Collection, Collection], provider: Provider, sql: Sql
) -> None:
    _, small = two
    put(small, 3)
    provider.script({"fault": "status", "status": 429, "headers": {"Retry-After": "3600"}})
    with running(model_db):
        until(lambda: bool(provider.calls))
        until(lambda: sql.execute("SELECT FROM semsearch.leases").rowcount == 0)
    assert len(provider.calls) == 1
    assert (small.status().state, small.status().failed) == ("active", 0)
    run(model_db)
    assert len(searchable(small)) == 3


def test_a_text_to_which_the_provider_answers_with_an_error_holds_up_no_other(
    model_db: Database,
    two: tuple[Collection, Collection],
    provider: Provider,
    sql: Sql,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The claims shrink until it is sent alone; then it steps aside, and is charged once others were answered."""
    monkeypatch.setattr("semsearch.work.CLAIM", 8)
    monkeypatch.setattr(group, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr("semsearch.pipeline.BUSY_PAUSE", 5.0)
    monkeypatch.setattr(supervisor, "LEASED", 0.05)
    refused = Refusing("bad")
    for collection in two:
        monkeypatch.setattr(collection, "_embedder", lambda: refused)
    monkeypatch.setattr(supervisor, "Collection", lambda pools, settings, space: two[space.name == "small"])
    _, small = two
    small.put([Document("0", "a bad one"), *(Document(f"{n}", f"text {n}") for n in range(1, 20))], wait=False)
    with running(model_db):
        until(lambda: len(searchable(small)) == 19)
        until(lambda: sql.execute("SELECT FROM semsearch.leases WHERE reason IS NOT NULL").rowcount == 1)
    assert (small.status().backlog, small.status().failed) == (1, 0)


class Refusing:
    """A model of a provider that fails whenever it is sent a certain word."""

    model, dimensions, max_tokens, fingerprint = MODEL, 8, 8191, "test"

    def __init__(self, word: str, error: Callable[[], Exception] = lambda: ProviderBusy("scripted")) -> None:
        self._word, self._error = word, error
        self.calls: list[list[str]] = []

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def splitter(self, capacity: int, overlap: int, *, markdown: bool = False) -> Any:
        raise AssertionError("documents are one chunk each here")

    def embed_documents(self, texts: Sequence[str], **options: Any) -> Any:
        self.calls.append(list(texts))
        if any(self._word in text for text in texts):
            raise self._error()
        return np.array([vector(text) for text in texts])


def test_a_text_that_lacks_memory_is_tried_again_later_and_its_siblings_are_stored(
    model_db: Database, two: tuple[Collection, Collection], sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, small = two
    greedy = Refusing("large text", MemoryError)
    monkeypatch.setattr(small, "_embedder", lambda: greedy)
    monkeypatch.setattr(supervisor, "Collection", lambda *_: small)
    monkeypatch.setattr(leases.random, "uniform", lambda _, most: most)  # or it might be tried again at once
    small.put([Document("0", "a large text"), *(Document(f"{n}", f"text {n}") for n in range(1, 8))], wait=False)
    with running(model_db, collections=("small",)):
        until(lambda: len(searchable(small)) == 7)
    assert [len(call) for call in greedy.calls[:4]] == [8, 4, 2, 1]
    (lease,) = sql.execute("SELECT document_id, attempt, not_before > '-infinity', reason FROM semsearch.leases")
    assert lease == ("0", 1, True, "there is not enough memory to embed it")
    sql.execute("UPDATE semsearch.leases SET attempt = %s, not_before = now()", (work.MAX_ATTEMPTS - 1,))
    run(model_db, collections=("small",))
    assert sql.execute("SELECT document_id, reason, attempts FROM semsearch.failures").fetchall() == [
        ("0", "there is not enough memory to embed it", work.MAX_ATTEMPTS)
    ]


def test_data_that_the_database_refuses_are_not_waited_for(
    model_db: Database, two: tuple[Collection, Collection]
) -> None:
    engine = model_db.pools.writing
    with pytest.raises(DBAPIError) as met, engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1 / 0")
    assert isinstance(meaning(met.value, engine, two[0].space), Conflict)


@pytest.mark.model
def test_a_busy_provider_pauses_no_other(
    model_db: Database, two: tuple[Collection, Collection], provider: Provider, model_name: str
) -> None:
    local = model_db.create_collection("local", model=model_name)
    put(two[0], 3)
    put(local, 3)
    provider.script(*[{"fault": "status", "status": 429, "headers": {"Retry-After": "3600"}}] * 10)
    with running(model_db):
        until(lambda: local.status().backlog == 0)
        until(lambda: bool(provider.calls))
        assert two[0].status().backlog == 3
    assert len(provider.calls) == 1
