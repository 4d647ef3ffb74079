"""Attached tables: a user's transaction is never failed, blocked or deadlocked by us, at any isolation level."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from semsearch.collection import Collection
from semsearch.database import Database
from tests.integration.attaching import attach, tasks
from tests.integration.hands import searchable

Sql = psycopg.Connection[Any]

LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


@pytest.fixture
def handbook(model_db: Database, articles: Sql) -> Collection:
    return attach(model_db)


@pytest.fixture
def impatient(articles: Sql, other_sql: Sql) -> Iterator[None]:
    """Nobody waits here: a statement that would have to fails."""
    for sql in (articles, other_sql):
        sql.execute("SET lock_timeout = '500ms'")
    yield
    for sql in (articles, other_sql):
        sql.execute("RESET lock_timeout")


def begin(sql: Sql, level: str) -> None:
    """A transaction that has its snapshot."""
    sql.execute(f"BEGIN ISOLATION LEVEL {level}")
    sql.execute("SELECT count(*) FROM shop.articles")


def true(collection: Collection, sql: Sql) -> bool:
    """Whether, once all tasks are done, the chunks are those of the rows."""
    collection.work()
    rows = sql.execute("SELECT id::text, body FROM shop.articles WHERE body <> ''").fetchall()
    return searchable(collection) == {id: [body] for id, body in sorted(rows)}


CHANGES = [
    "DELETE FROM shop.articles WHERE id = 1",
    "UPDATE shop.articles SET id = 9 WHERE id = 1",
    "UPDATE shop.articles SET body = 'by the user' WHERE id = 1",
    "DELETE FROM shop.articles; INSERT INTO shop.articles (id, body) VALUES (1, 'again')",
]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_worker_that_stored_since_the_users_snapshot_does_not_fail_him(
    handbook: Collection, articles: Sql, other_sql: Sql, level: str, change: str
) -> None:
    other_sql.execute("UPDATE shop.articles SET body = 'changed' WHERE id = 1")
    begin(articles, level)
    handbook.work()  # rewrites the chunks that the user's snapshot sees as they were
    articles.execute(change)
    articles.execute("COMMIT")
    assert true(handbook, articles)


@pytest.mark.parametrize("level", LEVELS)
def test_a_delete_while_a_worker_finishes_waits_for_no_model_and_leaves_nothing(
    handbook: Collection, articles: Sql, other_sql: Sql, hands: Any, level: str, impatient: None
) -> None:
    other_sql.execute("UPDATE shop.articles SET body = 'changed' WHERE id = 1")
    worker = hands(handbook)
    worker.claim()
    begin(articles, level)
    worker.prepare()  # the model has answered
    articles.execute("DELETE FROM shop.articles WHERE id = 1")
    assert worker.finish() == []  # the row is locked: left out at once, nothing waits
    articles.execute("COMMIT")
    assert true(handbook, articles)


@pytest.mark.parametrize("level", LEVELS)
def test_a_delete_that_commits_after_the_worker_stored(
    handbook: Collection, articles: Sql, other_sql: Sql, hands: Any, level: str
) -> None:
    other_sql.execute("UPDATE shop.articles SET body = 'changed' WHERE id = 1")
    worker = hands(handbook)
    worker.claim()
    worker.prepare()
    begin(articles, level)
    assert worker.finish() == ["1"]
    articles.execute("DELETE FROM shop.articles WHERE id = 1")
    articles.execute("COMMIT")
    if level == "READ COMMITTED":
        assert "1" not in searchable(handbook)
    assert true(handbook, articles)


def test_two_serializable_transactions_that_delete_different_rows_both_commit(
    model_db: Database, articles: Sql, other_sql: Sql
) -> None:
    """As they do without us. Three chunks of a document make PostgreSQL watch their whole page, also the others'."""
    articles.execute("INSERT INTO shop.articles (id) VALUES (4)")
    articles.execute("UPDATE shop.articles SET body = %s || id", ["This sentence is short enough.\n\n" * 10])
    handbook = attach(model_db, chunk_size=16, chunk_overlap=0)
    for sql in (articles, other_sql):
        sql.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        sql.execute("SET LOCAL enable_seqscan = off")  # or they meet in the user's own table of four rows
    for sql, id in ((articles, 1), (other_sql, 2), (articles, 3), (other_sql, 4)):
        sql.execute(f"DELETE FROM shop.articles WHERE id = {id}")
    articles.execute("COMMIT")
    other_sql.execute("COMMIT")
    handbook.work()
    assert searchable(handbook) == {}


@pytest.mark.parametrize("level", LEVELS)
def test_a_worker_that_is_storing_holds_up_nobody_but_who_deletes(
    handbook: Collection, articles: Sql, other_sql: Sql, hands: Any, level: str, impatient: None
) -> None:
    other_sql.execute("UPDATE shop.articles SET body = 'changed' WHERE id = 1")
    worker = hands(handbook)
    worker.claim()
    worker.prepare()
    with worker.engine.begin() as storing:
        assert worker.finish_in(storing) == ["1"]
        begin(articles, level)
        articles.execute("UPDATE shop.articles SET body = 'by the user', views = 7 WHERE id = 1")
        articles.execute("INSERT INTO shop.articles (id, body) VALUES (4, 'new')")
        articles.execute("DELETE FROM shop.articles WHERE id = 2")
        articles.execute("COMMIT")
    assert true(handbook, articles)


def test_users_are_served_while_a_worker_claims_and_embeds(
    handbook: Collection, articles: Sql, other_sql: Sql, hands: Any, impatient: None
) -> None:
    other_sql.execute("UPDATE shop.articles SET body = 'changed'")
    worker = hands(handbook)

    def meanwhile() -> None:
        articles.execute("UPDATE shop.articles SET body = 'by the user' WHERE id = 1")
        articles.execute("DELETE FROM shop.articles WHERE id = 2")
        articles.execute("TRUNCATE shop.articles")
        articles.execute("INSERT INTO shop.articles (id, body) VALUES (1, 'after the truncate')")

    worker.meanwhile(meanwhile)
    worker.step()
    assert "2" not in searchable(handbook)
    assert true(handbook, articles)


@pytest.mark.parametrize("level", LEVELS)
def test_a_truncate_at_any_level_is_not_failed(handbook: Collection, articles: Sql, other_sql: Sql, level: str) -> None:
    other_sql.execute("UPDATE shop.articles SET body = 'changed' WHERE id = 1")
    articles.execute(f"BEGIN ISOLATION LEVEL {level}")
    articles.execute("SELECT 1 FROM semsearch.collections")
    handbook.work()
    articles.execute("TRUNCATE shop.articles")
    articles.execute("COMMIT")
    assert true(handbook, articles)
    assert searchable(handbook) == {}


def test_a_writer_that_began_before_the_triggers_is_waited_for(
    model_db: Database, articles: Sql, other_sql: Sql
) -> None:
    """Else its rows would be seen neither by a trigger nor by the first page of the backfill."""
    other_sql.execute("BEGIN")
    other_sql.execute("INSERT INTO shop.articles (id, body) VALUES (4, 'the fourth')")
    with ThreadPoolExecutor() as pool:
        attaching = pool.submit(attach, model_db)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'shop.articles'::regclass"
        while articles.execute(waiting).fetchone() == (0,):
            assert not attaching.done()
        other_sql.execute("COMMIT")
        assert true(attaching.result(), articles)


def test_a_user_without_rights_to_semsearch_can_write_to_the_table(handbook: Collection, articles: Sql) -> None:
    with articles.transaction():
        articles.execute("CREATE ROLE nobody_in_particular")
        articles.execute("GRANT USAGE ON SCHEMA shop TO nobody_in_particular")
        articles.execute("GRANT ALL ON shop.articles TO nobody_in_particular")
        articles.execute("SET LOCAL ROLE nobody_in_particular")
        articles.execute("SET LOCAL search_path = shop")
        articles.execute("UPDATE articles SET body = 'changed' WHERE id = 1")
        articles.execute("DELETE FROM articles WHERE id = 2")
        articles.execute("RESET ROLE")
        articles.execute("DROP OWNED BY nobody_in_particular")
        articles.execute("DROP ROLE nobody_in_particular")
    assert tasks(articles) == ["1", "2"]
    assert true(handbook, articles)
