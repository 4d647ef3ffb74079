"""A table that somebody keeps locked, as VACUUM FULL does: its collection waits, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import Conflict
from semsearch.worker import group
from tests.integration.attaching import attach
from tests.integration.hands import MODEL, searchable
from tests.integration.working import put, run, running, until

Sql = psycopg.Connection[Any]


@contextmanager
def locked(sql: Sql) -> Iterator[None]:
    with sql.transaction():
        sql.execute("LOCK TABLE shop.articles IN ACCESS EXCLUSIVE MODE")
        yield


@pytest.fixture
def handbook(model_db: Database, articles: Sql) -> Collection:
    """Attached, but its rows are not filled in."""
    return attach(model_db, wait=False)


@pytest.fixture
def other(model_db: Database) -> Collection:
    """Served after `handbook`."""
    return model_db.create_collection("other", model=MODEL)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "ASIDE", 0.5)
    monkeypatch.setattr("semsearch.worker.supervisor.ASIDE", 0.5)


def check_that_others_go_on(db: Database, handbook: Collection, other: Collection, locker: Sql, texts: int) -> None:
    with running(db):
        with locked(locker):
            for number in range(3):  # also after the locked table has had its turn
                put(other, 3, prefix=f"p{number}")
                until(lambda number=number: len(searchable(other)) == 3 * (number + 1))  # type: ignore[misc]
        until(lambda: len(searchable(handbook)) == texts and handbook.status().backlog == 0)
    assert (handbook.status().state, handbook.status().failed) == ("active", 0)


def test_others_go_on_while_a_table_that_is_being_filled_in_is_locked(
    model_db: Database, handbook: Collection, other: Collection, other_sql: Sql
) -> None:
    check_that_others_go_on(model_db, handbook, other, other_sql, 2)  # one of the three rows has no text


def test_others_go_on_while_a_table_with_tasks_is_locked(
    model_db: Database, handbook: Collection, other: Collection, articles: Sql, other_sql: Sql
) -> None:
    run(model_db)
    articles.execute("UPDATE shop.articles SET body = 'changed ' || id")
    check_that_others_go_on(model_db, handbook, other, other_sql, 3)
    assert searchable(handbook)["1"] == ["changed 1"]


def test_nothing_is_charged_while_a_table_is_locked(
    model_db: Database, handbook: Collection, articles: Sql, other_sql: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    run(model_db)
    articles.execute("UPDATE shop.articles SET body = 'changed ' || id")
    with caplog.at_level("INFO", logger="semsearch.worker"), running(model_db):
        with locked(other_sql):
            until(lambda: [record.getMessage() for record in caplog.records].count("set_aside") >= 2)
        until(lambda: handbook.status().backlog == 0)
    assert articles.execute("SELECT FROM semsearch.leases").rowcount == 0
    assert articles.execute("SELECT FROM semsearch.failures").rowcount == 0


def test_once_does_not_wait_for_a_table_that_is_locked(
    model_db: Database, handbook: Collection, other: Collection, articles: Sql, other_sql: Sql
) -> None:
    run(model_db)
    articles.execute("UPDATE shop.articles SET body = 'changed ' || id")
    put(other, 3)
    with locked(other_sql):
        run(model_db, once=True, until_idle=False)
    assert (len(searchable(other)), handbook.status().backlog) == (3, 3)


def test_who_waits_for_one_collection_waits_for_its_table(
    model_db: Database, handbook: Collection, articles: Sql, other_sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(model_db)
    articles.execute("UPDATE shop.articles SET body = 'changed ' || id")
    tries: list[int] = []
    monkeypatch.setattr("semsearch.store.transactions.CONFLICT_TRIES", 2)
    monkeypatch.setattr("semsearch.store.transactions.time.sleep", tries.append)
    with locked(other_sql), pytest.raises(Conflict, match="keeps the table locked"):
        handbook.work()
    assert len(tries) == 2


def test_the_status_of_a_locked_table_is_an_estimate(
    model_db: Database, handbook: Collection, articles: Sql, other_sql: Sql
) -> None:
    articles.execute("SELECT pg_stat_force_next_flush()")  # rows that are told of after ANALYZE would count twice
    articles.execute("ANALYZE shop.articles")
    with locked(other_sql):
        assert [status.name for status in model_db.collections()] == ["handbook"]
        status = handbook.status()
    assert (status.state, status.documents) == ("active", 3)
