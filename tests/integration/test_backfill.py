"""The backfill: every row that a table has already becomes a task, in pages, while the table is in use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.store import backfill, backlog, source
from tests.integration.attaching import attach, tasks
from tests.integration.hands import searchable

Sql = psycopg.Connection[Any]


@pytest.fixture
def table(shop: Sql, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sql]:
    """Twenty-three rows, pages of five, and no more than ten tasks at a time."""
    shop.execute("CREATE TABLE shop.t (id int PRIMARY KEY, body text)")
    shop.execute("INSERT INTO shop.t SELECT i, 'text ' || i FROM generate_series(1, 23) i")
    monkeypatch.setattr(backfill, "PAGE", 5)
    monkeypatch.setattr(backfill, "BACKLOG", 10)
    yield shop


def step(collection: Collection) -> bool:
    with collection._pools.writing.begin() as connection:
        return backfill.step(connection, collection._space)


def is_done(collection: Collection) -> bool:
    with collection._pools.writing.begin() as connection:
        return backfill.is_done(connection, collection._space)


def test_attaching_returns_before_any_row_is_read(model_db: Database, table: Sql) -> None:
    handbook = attach(model_db, "shop.t", wait=False)
    assert tasks(table) == []
    assert not is_done(handbook)


def test_pages_follow_the_key_while_few_tasks_wait(model_db: Database, table: Sql) -> None:
    handbook = attach(model_db, "shop.t", wait=False)
    assert [step(handbook) for _ in range(4)] == [True, True, False, False]
    assert tasks(table) == [str(number) for number in range(1, 11)]
    assert table.execute("SELECT DISTINCT lane FROM semsearch.tasks").fetchall() == [(1,)]
    table.execute("DELETE FROM semsearch.tasks")
    assert [step(handbook) for _ in range(3)] == [True, True, False]
    assert tasks(table)[-1] == "20"
    table.execute("DELETE FROM semsearch.tasks")
    assert [step(handbook) for _ in range(3)] == [True, True, False]
    assert tasks(table) == ["21", "22", "23"]
    assert is_done(handbook)
    assert table.execute("SELECT enqueued, finished_at IS NOT NULL FROM semsearch.backfills").fetchall() == [(23, True)]


def test_whoever_works_goes_through_all_of_it(model_db: Database, table: Sql) -> None:
    handbook = attach(model_db, "shop.t", wait=False)
    report = handbook.work()
    assert len(searchable(handbook)) == 23
    assert (report.embedded, is_done(handbook), tasks(table)) == (23, True, [])


def test_what_changes_before_and_behind_the_page_is_not_missed(model_db: Database, table: Sql) -> None:
    handbook = attach(model_db, "shop.t", wait=False)
    step(handbook)
    for row in (2, 22):
        table.execute(f"UPDATE shop.t SET body = 'changed' WHERE id = {row}")
    table.execute("DELETE FROM shop.t WHERE id IN (3, 21)")
    table.execute("INSERT INTO shop.t VALUES (0, 'early'), (99, 'late')")
    table.execute("UPDATE shop.t SET id = -1 WHERE id = 20")
    handbook.work()
    rows = table.execute("SELECT id::text, body FROM shop.t").fetchall()
    assert searchable(handbook) == {id: [body] for id, body in sorted(rows)}


def test_two_workers_do_not_read_the_same_page(model_db: Database, table: Sql) -> None:
    handbook = attach(model_db, "shop.t", wait=False)
    with handbook._pools.writing.begin() as one, handbook._pools.writing.begin() as other:
        assert backfill.step(one, handbook._space)
        assert not backfill.step(other, handbook._space)  # at once: it does not wait
        assert not backfill.is_done(other, handbook._space)
    assert tasks(table) == ["1", "2", "3", "4", "5"]


def test_a_page_whose_transaction_fails_is_read_again(model_db: Database, table: Sql) -> None:
    handbook = attach(model_db, "shop.t", wait=False)
    with handbook._pools.writing.connect() as connection:
        backfill.step(connection, handbook._space)
        connection.rollback()
    assert tasks(table) == []
    handbook.work()
    assert len(searchable(handbook)) == 23


def test_begun_anew_it_also_finds_chunks_whose_rows_are_gone(model_db: Database, table: Sql) -> None:
    handbook = attach(model_db, "shop.t")
    table.execute("SET session_replication_role = replica")  # as logical replication applies changes: no trigger fires
    table.execute("DELETE FROM shop.t WHERE id > 4")
    table.execute("UPDATE shop.t SET body = 'changed' WHERE id = 1")
    table.execute("RESET session_replication_role")
    assert tasks(table) == []
    with handbook._pools.writing.begin() as connection:
        backfill.restart(connection, handbook._space)
    handbook.work()
    assert searchable(handbook) == {"1": ["changed"], "2": ["text 2"], "3": ["text 3"], "4": ["text 4"]}


def test_keys_of_several_columns_are_paged_in_their_order(model_db: Database, table: Sql) -> None:
    table.execute("CREATE TABLE shop.two (a int, b text, body text, PRIMARY KEY (a, b))")
    table.execute("INSERT INTO shop.two SELECT i / 4, 'k' || i, 'text ' || i FROM generate_series(1, 23) i")
    handbook = attach(model_db, "shop.two")
    assert len(searchable(handbook)) == 23


@pytest.mark.parametrize("keys", ["a int, b text, PRIMARY KEY (a, b)", "b varchar(20) PRIMARY KEY, a int"])
def test_pages_and_documents_are_found_by_the_index_of_the_key(model_db: Database, shop: Sql, keys: str) -> None:
    shop.execute(f"CREATE TABLE shop.t ({keys}, body text)")
    shop.execute(
        "INSERT INTO shop.t (a, b, body) SELECT i / 100, 'k' || i, repeat('x', 200) FROM generate_series(1, 9000) i"
    )
    shop.execute("ANALYZE shop.t")
    space = attach(model_db, "shop.t", wait=False).space
    with model_db.pools.writing.begin() as connection:
        first = source.page(connection, space, None, 5)
        found = source.read(connection, space, source.page(connection, space, first[-1], 5))
        assert len({*first, *(one.document_id for one in found if one.document)}) == 10
        scans = "SELECT seq_scan, idx_scan > 0 FROM pg_stat_xact_user_tables WHERE relid = 'shop.t'::regclass"
        assert connection.exec_driver_sql(scans).one() == (0, True)


def test_rows_that_are_no_tasks_yet_wait_too(model_db: Database, table: Sql) -> None:
    table.execute("ANALYZE shop.t")
    collection = attach(model_db, "shop.t", wait=False)
    assert step(collection)
    assert len(tasks(table)) == 5
    assert collection.status().backlog == 23
    with model_db.pools.writing.connect() as connection:
        assert [one.documents for one in backlog.measure(connection)] == [23]
    collection.work()
    assert collection.status().backlog == 0
    # Another look among the chunks: that more rows came by triggers than by the backfill is no backlog.
    among_chunks = '{"orphans": true, "among_chunks": true}'
    table.execute("UPDATE semsearch.backfills SET finished_at = NULL, enqueued = 0, position = %s", (among_chunks,))
    assert collection.status().backlog == 0
