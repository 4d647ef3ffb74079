"""The worker in this process: whom it serves when, what it tells, and when it ends."""

from __future__ import annotations

import json
import threading
import urllib.request
from typing import Any

import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import NotFound, SchemaMismatch
from semsearch.worker import metrics, supervisor, upkeep
from tests.integration.hands import inputs, searchable
from tests.integration.working import put, run, running, until
from tests.provider import Provider

Sql = psycopg.Connection[Any]


# Whom it serves


def test_every_collection_is_served_until_nothing_waits(
    model_db: Database, two: tuple[Collection, Collection], sql: Sql
) -> None:
    for collection in two:
        put(collection, 5)
    run(model_db)
    assert [len(searchable(collection)) for collection in two] == [5, 5]
    for table in ("tasks", "leases", "workers"):
        assert sql.execute(f"SELECT count(*) FROM semsearch.{table}").fetchone() == (0,)
    counted = sql.execute(
        "SELECT sum(documents), sum(chunks), sum(embedded) FROM semsearch.usage WHERE collection_id = ANY(%s)",
        ([collection.space.collection_id for collection in two],),
    )
    assert counted.fetchone() == (10, 10, 10)


def test_a_large_backlog_does_not_starve_a_small_one(
    model_db: Database, two: tuple[Collection, Collection], provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semsearch.work.CLAIM", 4)
    large, small = two
    put(large, 40)
    put(small, 8)
    run(model_db)
    whose = [text.split()[0] for text in inputs(provider)]
    # a claim each in turn: large, small, large, small
    assert whose[:16] == [*["large"] * 4, *["small"] * 4] * 2
    assert len(whose) == 48


def test_a_collection_that_gets_work_meanwhile_is_served_in_turn(
    model_db: Database, two: tuple[Collection, Collection], provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semsearch.work.CLAIM", 4)
    monkeypatch.setattr(supervisor, "LONGEST", 0.05)
    large, small = two
    put(large, 80)
    provider.rules(always={"fault": "slow", "seconds": 0.5})  # a little, twenty times: there is time for what comes
    with running(model_db):
        until(lambda: len(provider.calls) >= 2)
        put(small, 4)
        until(lambda: small.status().backlog == 0)
        provider.rules()
        until(lambda: large.status().backlog == 0)
    assert len(searchable(small)) == 4
    whose = "".join(text[0] for text in inputs(provider))
    assert whose.index("s") < whose.rindex("l")


def test_only_the_collections_named_are_served(model_db: Database, two: tuple[Collection, Collection]) -> None:
    for collection in two:
        put(collection, 3)
    run(model_db, collections=("small",))
    assert [len(searchable(collection)) for collection in two] == [0, 3]
    with pytest.raises(NotFound, match="smal"):
        run(model_db, collections=("smal",))


def test_once_is_one_claim_for_each_collection(
    model_db: Database, two: tuple[Collection, Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semsearch.work.CLAIM", 4)
    for collection in two:
        put(collection, 10)
    run(model_db, once=True, until_idle=False, concurrency=None)
    assert [len(searchable(collection)) for collection in two] == [4, 4]


def test_several_pipelines_embed_each_document_once(
    model_db: Database, two: tuple[Collection, Collection], provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semsearch.work.CLAIM", 8)
    for collection in two:
        put(collection, 100)
    run(model_db, concurrency=4)
    assert [len(searchable(collection)) for collection in two] == [100, 100]
    assert len(inputs(provider)) == len(set(inputs(provider))) == 200


def test_a_collection_that_is_dropped_meanwhile_stops_nothing(
    model_db: Database, two: tuple[Collection, Collection], provider: Provider
) -> None:
    large, small = two
    put(large, 3)
    # Answered late, not left hanging: a thread that asks again would meet the next test's provider.
    provider.script({"fault": "none"}, {"fault": "slow", "seconds": 1})
    with running(model_db):
        until(lambda: bool(provider.calls))
        model_db.drop_collection("large")
        put(small, 3)
        until(lambda: small.status().backlog == 0)


# What it tells


def test_a_collection_that_is_dropped_while_it_is_tended_is_no_news(
    model_db: Database, notes: Collection, caplog: pytest.LogCaptureFixture
) -> None:
    model_db.drop_collection("notes")
    stop = threading.Event()
    tending = upkeep.Upkeep(stop)
    tending.note(notes, 10_000)
    until(tending.is_done)
    stop.set()
    tending.close()
    assert caplog.records == []


def test_metrics_are_served_on_the_loopback_address(
    model_db: Database, two: tuple[Collection, Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[metrics.Metrics] = []
    original = metrics.Metrics.__init__
    monkeypatch.setattr(metrics.Metrics, "__init__", lambda self, port: (original(self, port), served.append(self))[0])
    monkeypatch.setattr(supervisor, "LONGEST", 0.05)
    put(two[0], 3)
    with running(model_db, metrics_port=0):
        until(lambda: two[0].status().backlog == 0)
        # It is counted a moment after it is stored, one figure after the other.
        until(lambda: all(figure in page(served[0]) for figure in FIGURES))
    assert served[0]._server.server_address[0] == "127.0.0.1"


FIGURES = (
    'semsearch_documents_total{collection="large"} 3.0',
    'semsearch_attempts_total{collection="large"} 3.0',
    'semsearch_backlog_documents{collection="small"} 0.0',
)


def page(served: metrics.Metrics) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics", timeout=60) as answer:
        found: str = answer.read().decode()
        return found


def test_a_schema_that_is_upgraded_meanwhile_ends_it(
    model_db: Database, two: tuple[Collection, Collection], sql: Sql
) -> None:
    (before,) = sql.execute("SELECT version_num FROM semsearch.alembic_version").fetchone() or ("",)
    put(two[0], 3)
    sql.execute("UPDATE semsearch.alembic_version SET version_num = '9999'")
    try:
        with pytest.raises(SchemaMismatch, match="newer than this semsearch"):
            run(model_db)
    finally:
        sql.execute("UPDATE semsearch.alembic_version SET version_num = %s", (before,))


def test_nothing_that_is_logged_holds_a_text(
    model_db: Database, two: tuple[Collection, Collection], caplog: pytest.LogCaptureFixture
) -> None:
    two[0].put([Document("a", "canary in a coal mine")], wait=False)
    with caplog.at_level("DEBUG", logger="semsearch"):
        run(model_db)
    told = [(record.getMessage(), getattr(record, "fields", {})) for record in caplog.records]
    assert "canary" not in json.dumps(told, default=str)
    events = [event for event, _ in told if event in ("working", "stored", "stopped")]
    assert events == ["working", "stored", "stopped"]
