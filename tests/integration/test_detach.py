"""Detaching: whatever became of the table, nothing of ours is left."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import CollectionChanged, NotFound
from semsearch.store import blocking, spaces
from semsearch.worker.trouble import meaning
from tests.integration.attaching import ARTICLES, attach, tasks
from tests.integration.hands import MODEL, searchable

Sql = psycopg.Connection[Any]

# Everything that a schema, a table, a function, a trigger or a right could show itself by.
CATALOG = """
SELECT 'relation', c.oid::regclass::text || c.relacl::text || c.relhastriggers FROM pg_class c
WHERE c.relnamespace::regnamespace::text IN ('shop', 'semsearch', 'collections')
UNION ALL SELECT 'function', oid::regprocedure::text FROM pg_proc WHERE pronamespace::regnamespace::text = 'semsearch'
UNION ALL SELECT 'trigger', tgname || ' on ' || tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'row', 'collection ' || c::text FROM semsearch.collections c
UNION ALL SELECT 'row', 'backfill ' || b::text FROM semsearch.backfills b
UNION ALL SELECT 'row', 'task ' || t::text FROM semsearch.tasks t
UNION ALL SELECT 'row', 'lease ' || l::text FROM semsearch.leases l
UNION ALL SELECT 'row', 'failure ' || f::text FROM semsearch.failures f
UNION ALL SELECT 'comment', d::text FROM pg_description d WHERE d.classoid = 'pg_proc'::regclass
ORDER BY 1, 2
"""


def catalog(sql: Sql) -> list[Any]:
    return sql.execute(CATALOG).fetchall()


PARTITIONED = """
CREATE TABLE shop.articles (id bigint PRIMARY KEY, body text) PARTITION BY RANGE (id);
CREATE TABLE shop.articles_1 PARTITION OF shop.articles FOR VALUES FROM (0) TO (100);
"""


@pytest.mark.parametrize("definition", [ARTICLES, PARTITIONED])
def test_detaching_leaves_no_trace(model_db: Database, shop: Sql, definition: str) -> None:
    shop.execute(definition)
    model_db.create_collection("handbook", model=MODEL, chunk_size=0)
    before = catalog(shop)
    model_db.attach("handbook", "shop.articles", text="body")
    shop.execute("INSERT INTO shop.articles (id, body) VALUES (1, 'one')")
    model_db.collection("handbook").work()
    shop.execute("UPDATE shop.articles SET body = 'two'")
    assert len(catalog(shop)) > len(before)
    model_db.detach("handbook")
    assert catalog(shop) == before
    assert searchable(model_db.collection("handbook")) == {}


def test_dropping_the_collection_detaches_it(model_db: Database, articles: Sql) -> None:
    before = catalog(articles)
    attach(model_db)
    model_db.drop_collection("handbook")
    assert catalog(articles) == before
    articles.execute("DELETE FROM shop.articles")


@pytest.mark.parametrize(
    "fate",
    [
        "DROP TABLE shop.articles",
        "ALTER TABLE shop.articles RENAME TO posts",
        "ALTER TABLE shop.articles DROP COLUMN body, DROP COLUMN id",
        "DROP TABLE shop.articles; CREATE VIEW shop.articles AS SELECT 1 AS id",
    ],
)
def test_whatever_became_of_the_table(model_db: Database, articles: Sql, fate: str) -> None:
    attach(model_db)
    articles.execute(fate)
    model_db.detach("handbook")
    assert articles.execute("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'semsearch%'").fetchone() == (0,)
    functions = "SELECT count(*) FROM pg_proc WHERE proname ~ '_[0-9]+$' AND pronamespace = 'semsearch'::regnamespace"
    assert articles.execute(functions).fetchone() == (0,)


@pytest.fixture
def owner(model_db: Database, articles: Sql) -> Iterator[str]:
    """No superuser, who owns what attach makes and has no right to the table; gone with the transaction."""
    attach(model_db)
    name = f"owner_{os.getpid()}"
    with articles.transaction(force_rollback=True):
        articles.execute(f"CREATE ROLE {name} IN ROLE semsearch_admin")
        articles.execute(f"ALTER SCHEMA semsearch_attached OWNER TO {name}")
        articles.execute(f"SET LOCAL ROLE {name}")
        yield name


def test_an_owner_detaches_a_table_that_he_may_not_use(articles: Sql, owner: str) -> None:
    before = articles.execute("SHOW lock_timeout").fetchone()
    articles.execute("SELECT semsearch.detach('handbook')")
    assert articles.execute("SHOW lock_timeout").fetchone() == before
    assert articles.execute("SELECT FROM pg_trigger WHERE tgname LIKE 'semsearch_enqueue%'").rowcount == 0


def test_such_an_owner_waits_for_no_transaction_that_does_not_end(articles: Sql, other_sql: Sql, owner: str) -> None:
    with other_sql.transaction(force_rollback=True):
        other_sql.execute("SELECT FROM shop.articles")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            articles.execute("SELECT semsearch.detach('handbook')")


def test_a_detached_collection_can_be_attached_anew_or_take_documents(model_db: Database, articles: Sql) -> None:
    attach(model_db)
    model_db.detach("handbook")
    handbook = model_db.collection("handbook")
    handbook.put([Document("a", "mine")])
    assert searchable(handbook) == {"a": ["mine"]}
    handbook.delete_all()
    again = model_db.attach("handbook", "shop.articles", text="title", wait=True)
    assert searchable(again) == {"1": ["One"], "2": ["Two"], "3": ["Three"]}


def test_a_worker_that_holds_documents_of_the_table_stores_none(model_db: Database, articles: Sql, hands: Any) -> None:
    handbook = attach(model_db)
    articles.execute("UPDATE shop.articles SET body = 'changed'")
    worker = hands(handbook)
    worker.claim()
    worker.prepare()
    model_db.detach("handbook")
    with pytest.raises(CollectionChanged):
        worker.finish()
    assert searchable(handbook) == {}
    assert tasks(articles) == []


@pytest.mark.parametrize("action", [Collection.work, Collection.verify])
def test_a_handle_from_before_says_that_it_is_out_of_date(
    model_db: Database, articles: Sql, action: Callable[[Collection], Any]
) -> None:
    handbook = attach(model_db)
    model_db.detach("handbook")
    with pytest.raises(CollectionChanged, match="open it again"):
        action(handbook)
    assert handbook.status().stored_documents == 0
    model_db.drop_collection("handbook")
    with pytest.raises(NotFound, match="dropped"):
        action(handbook)
    with pytest.raises(NotFound, match="dropped"):
        handbook.status()


def test_a_collection_that_was_detached_or_dropped_has_no_problem_with_its_table(
    model_db: Database, articles: Sql
) -> None:
    handbook = attach(model_db)
    asked = "SELECT semsearch.attachment_problem(%s)"
    model_db.detach("handbook")
    assert articles.execute(asked, (handbook.space.collection_id,)).fetchone() == (None,)
    model_db.drop_collection("handbook")
    with pytest.raises(psycopg.errors.NoDataFound, match="the collection has been dropped"):
        articles.execute(asked, (handbook.space.collection_id,))


def test_a_worker_that_meets_a_collection_that_was_dropped_knows_it(model_db: Database, articles: Sql) -> None:
    handbook = attach(model_db)
    model_db.drop_collection("handbook")
    engine = model_db.pools.writing
    with pytest.raises(DBAPIError) as met, engine.connect() as connection:
        connection.execute(select(spaces.table(handbook.space).c.ordinal))
    assert isinstance(meaning(met.value, engine, handbook.space), NotFound)


def test_what_is_wrong_with_the_table_before_does_not_block_what_comes_after(model_db: Database, articles: Sql) -> None:
    handbook = attach(model_db)
    model_db.detach("handbook")
    for _ in ("detached", "attached to other columns"):
        with model_db.pools.writing.begin() as connection:
            assert not blocking.block(connection, handbook.space, "shop.articles has no column body")
        assert model_db.collection("handbook").status().state == "active"
        model_db.attach("handbook", "shop.articles", text="title")
    now = model_db.collection("handbook")
    with model_db.pools.writing.begin() as connection:
        assert blocking.block(connection, now.space, "shop.articles has no column title")
    assert now.status().state == "blocked"
