"""TRUNCATE, which takes the rows of every snapshot: nothing of them stays to be found, whatever its transaction saw."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import IngestError
from semsearch.store import backfill
from tests.integration.attaching import attach, tasks
from tests.integration.hands import searchable
from tests.integration.working import run
from tests.provider import Provider

Sql = psycopg.Connection[Any]

LEVELS = ["READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
OLD = ["REPEATABLE READ", "SERIALIZABLE"]  # whose snapshot is that of their first statement


@pytest.fixture
def handbook(model_db: Database, articles: Sql) -> Collection:
    return attach(model_db)


def truncate(collection: Collection, sql: Sql, other_sql: Sql, level: str) -> None:
    """By a transaction that began before a row was embedded."""
    sql.execute(f"BEGIN ISOLATION LEVEL {level}")
    sql.execute("SELECT 1")
    other_sql.execute("INSERT INTO shop.articles (id, body) VALUES (7, 'seven')")
    collection.work()
    assert "7" in searchable(collection)
    sql.execute("TRUNCATE shop.articles")
    sql.execute("COMMIT")


@pytest.mark.parametrize("level", LEVELS)
def test_what_was_stored_since_the_users_snapshot_goes_too(
    handbook: Collection, articles: Sql, other_sql: Sql, level: str
) -> None:
    truncate(handbook, articles, other_sql, level)
    handbook.work()
    assert searchable(handbook) == {}
    assert tasks(articles) == []
    assert handbook.verify().clean


@pytest.mark.parametrize("level", OLD)
def test_a_worker_finds_it_too(
    model_db: Database, handbook: Collection, articles: Sql, other_sql: Sql, level: str
) -> None:
    truncate(handbook, articles, other_sql, level)
    run(model_db)
    assert searchable(handbook) == {}
    assert tasks(articles) == []


def test_a_backfill_under_way_loses_no_row(
    model_db: Database, shop: Sql, other_sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a table with two partitions, one is truncated while the rows of the other are being gone through."""
    shop.execute("CREATE TABLE shop.t (id int PRIMARY KEY, body text) PARTITION BY RANGE (id)")
    for name, first in (("low", 1), ("high", 100)):
        shop.execute(f"CREATE TABLE shop.{name} PARTITION OF shop.t FOR VALUES FROM ({first}) TO ({first + 99})")
    shop.execute("INSERT INTO shop.t SELECT i, 'text ' || i FROM generate_series(1, 20) i")
    monkeypatch.setattr(backfill, "PAGE", 5)
    handbook = attach(model_db, "shop.t", wait=False)
    with handbook._pools.writing.begin() as connection:
        assert backfill.step(connection, handbook._space)
    shop.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    shop.execute("SELECT 1")
    other_sql.execute("INSERT INTO shop.t VALUES (100, 'one hundred')")
    with handbook._pools.writing.begin() as connection:
        backfill.sweep(connection, handbook._space)
    shop.execute("TRUNCATE shop.high")
    shop.execute("COMMIT")
    handbook.work()
    assert sorted(map(int, searchable(handbook))) == list(range(1, 21))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("NULL", {"orphans": True, "among_chunks": True}),  # there was none, or it was done
        ("'{}'", {"orphans": True}),
        ('\'{"after": "3"}\'', {"after": "3", "orphans": True}),
        ('\'{"orphans": true, "among_chunks": true, "after": "3"}\'', {"orphans": True, "among_chunks": True}),
    ],
)
def test_another_look_comes_behind_the_rows_still_to_be_gone_through(
    handbook: Collection, articles: Sql, before: str, after: Any
) -> None:
    finished = "now()" if before == "NULL" else "NULL"
    articles.execute(f"UPDATE semsearch.backfills SET position = {before}, finished_at = {finished}")
    with handbook._pools.writing.begin() as connection:
        backfill.sweep(connection, handbook._space)
    assert articles.execute("SELECT position, finished_at FROM semsearch.backfills").fetchall() == [(after, None)]


def test_a_table_that_was_detached_meanwhile_gets_no_backfill(
    model_db: Database, handbook: Collection, articles: Sql
) -> None:
    model_db.detach("handbook")
    with handbook._pools.writing.begin() as connection:
        backfill.sweep(connection, handbook._space)
    assert articles.execute("SELECT count(*) FROM semsearch.backfills").fetchone() == (0,)


# Documents that were given up: they have no chunks by which to find them


@pytest.fixture
def failed(handbook: Collection, articles: Sql, provider: Provider) -> Collection:
    """One document of the table was given up."""
    provider.rules(poison="bad")
    articles.execute("INSERT INTO shop.articles (id, body) VALUES (8, 'bad text')")
    handbook.work()
    provider.rules()
    assert [failure.document_id for failure in handbook.failures()] == ["8"]
    return handbook


def test_what_was_given_up_is_forgotten_with_its_row(failed: Collection, articles: Sql) -> None:
    articles.execute("TRUNCATE shop.articles")
    failed.work()
    assert failed.failures() == []
    assert failed.status().failed == 0


def test_also_by_the_look_among_the_chunks(failed: Collection, articles: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "PAGE", 1)
    articles.execute("BEGIN")
    articles.execute("SET LOCAL semsearch.bulk = 'on'")
    articles.execute("DELETE FROM shop.articles WHERE id IN (1, 8)")
    articles.execute("COMMIT")
    with failed._pools.writing.begin() as connection:
        backfill.sweep(connection, failed._space)
    failed.work()
    assert failed.failures() == []
    assert searchable(failed) == {"2": ["the second"]}


def test_a_failure_whose_id_is_no_key_does_not_fail_the_user(failed: Collection, articles: Sql) -> None:
    articles.execute("UPDATE semsearch.failures SET document_id = 'of a document that was put'")
    articles.execute("TRUNCATE shop.articles")
    failed.work()
    assert failed.failures() == []
    assert searchable(failed) == {}


# semsearch.documents


@pytest.mark.parametrize("level", LEVELS)
def test_truncating_the_documents_empties_every_collection(
    model_db: Database, notes: Collection, handbook: Collection, articles: Sql, provider: Provider, level: str
) -> None:
    articles.execute(f"BEGIN ISOLATION LEVEL {level}")
    articles.execute("SELECT 1")
    provider.rules(poison="bad")
    with pytest.raises(IngestError):
        notes.put([Document("a", "one"), Document("b", "bad")])
    articles.execute("TRUNCATE semsearch.documents")
    articles.execute("COMMIT")
    if level.startswith("READ"):
        assert searchable(notes) == {}
    notes.work()
    assert searchable(notes) == {}
    if level.startswith("READ"):
        assert notes.failures() == []
    handbook.work()
    assert searchable(handbook) == {"1": ["the first"], "2": ["the second"]}
