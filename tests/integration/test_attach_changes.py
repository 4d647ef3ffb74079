"""Attached tables: what becomes of each kind of change, and what it costs."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from semsearch.collection import Collection
from semsearch.database import Database
from tests.integration.attaching import attach, tasks
from tests.integration.hands import inputs, searchable
from tests.provider import Provider

Sql = psycopg.Connection[Any]


@pytest.fixture
def handbook(model_db: Database, articles: Sql, provider: Provider) -> Collection:
    """Attached to shop.articles, all rows embedded; what the provider was asked so far is forgotten."""
    made = attach(model_db, metadata=["author"])
    provider.reset()
    return made


def test_an_inserted_row_becomes_searchable(handbook: Collection, articles: Sql) -> None:
    articles.execute("INSERT INTO shop.articles (id, body) VALUES (4, 'the fourth')")
    handbook.work()
    assert searchable(handbook)["4"] == ["the fourth"]


def test_a_changed_row_is_embedded_again(handbook: Collection, articles: Sql, provider: Provider) -> None:
    articles.execute("UPDATE shop.articles SET body = 'changed' WHERE id = 1")
    handbook.work()
    assert searchable(handbook)["1"] == ["changed"]
    assert inputs(provider) == ["changed"]


def test_a_deleted_row_is_not_searchable_when_the_delete_commits(handbook: Collection, articles: Sql) -> None:
    articles.execute("DELETE FROM shop.articles WHERE id = 1")
    assert list(searchable(handbook)) == ["2"]
    handbook.work()
    assert (list(searchable(handbook)), tasks(articles)) == (["2"], [])


def test_a_transaction_that_is_rolled_back_leaves_nothing(handbook: Collection, articles: Sql) -> None:
    with articles.transaction(force_rollback=True):
        articles.execute("DELETE FROM shop.articles WHERE id = 1")
        articles.execute("UPDATE shop.articles SET body = 'changed'")
    assert tasks(articles) == []
    assert list(searchable(handbook)) == ["1", "2"]


def test_a_key_that_changes_takes_its_document_along(handbook: Collection, articles: Sql) -> None:
    articles.execute("UPDATE shop.articles SET id = 9 WHERE id = 1")
    assert list(searchable(handbook)) == ["2"]
    handbook.work()
    assert searchable(handbook) == {"2": ["the second"], "9": ["the first"]}


def test_rows_that_swap_their_keys_swap_their_texts(model_db: Database, shop: Sql, provider: Provider) -> None:
    shop.execute("CREATE TABLE shop.t (id int PRIMARY KEY DEFERRABLE, body text)")
    shop.execute("CREATE UNIQUE INDEX ON shop.t (id, body)")
    shop.execute("INSERT INTO shop.t VALUES (1, 'one'), (2, 'two')")
    handbook = attach(model_db, "shop.t")
    shop.execute("UPDATE shop.t SET id = 3 - id")
    # Both keys still exist: their chunks wait for the worker as after any change of text.
    assert searchable(handbook) == {"1": ["one"], "2": ["two"]}
    handbook.work()
    assert searchable(handbook) == {"1": ["two"], "2": ["one"]}


def test_a_row_deleted_and_inserted_again_is_the_new_one(handbook: Collection, articles: Sql) -> None:
    with articles.transaction():
        articles.execute("DELETE FROM shop.articles WHERE id = 1")
        articles.execute("INSERT INTO shop.articles (id, body) VALUES (1, 'reborn')")
    handbook.work()
    assert searchable(handbook)["1"] == ["reborn"]


def test_an_upsert_a_copy_and_a_merge_are_seen(handbook: Collection, articles: Sql) -> None:
    articles.execute(
        "INSERT INTO shop.articles (id, body) VALUES (1, 'upserted') "
        "ON CONFLICT (id) DO UPDATE SET body = excluded.body"
    )
    with articles.cursor().copy("COPY shop.articles (id, body) FROM STDIN") as copy:
        copy.write_row((5, "copied"))
    articles.execute(
        "MERGE INTO shop.articles a USING (VALUES (2, 'merged')) v (id, body) ON a.id = v.id "
        "WHEN MATCHED THEN UPDATE SET body = v.body"
    )
    handbook.work()
    assert searchable(handbook) == {"1": ["upserted"], "2": ["merged"], "5": ["copied"]}


def test_truncate_empties_the_collection_at_once(handbook: Collection, articles: Sql) -> None:
    articles.execute("TRUNCATE shop.articles")
    assert searchable(handbook) == {}
    assert sorted(tasks(articles)) == ["1", "2"]
    handbook.work()
    articles.execute("INSERT INTO shop.articles (id, body) VALUES (1, 'again')")
    handbook.work()
    assert searchable(handbook) == {"1": ["again"]}


def test_a_truncate_that_is_rolled_back_leaves_nothing(handbook: Collection, articles: Sql) -> None:
    with articles.transaction(force_rollback=True):
        articles.execute("TRUNCATE shop.articles")
    assert (list(searchable(handbook)), tasks(articles)) == (["1", "2"], [])


def test_bulk_loads_that_say_so_write_no_tasks(handbook: Collection, articles: Sql) -> None:
    with articles.transaction():
        articles.execute("SET LOCAL semsearch.bulk = 'on'")
        articles.execute("UPDATE shop.articles SET body = 'quietly'")
        articles.execute("TRUNCATE shop.articles")
    assert (list(searchable(handbook)), tasks(articles)) == (["1", "2"], [])


def test_new_metadata_is_searchable_without_a_call_to_the_model(
    handbook: Collection, articles: Sql, provider: Provider
) -> None:
    articles.execute("UPDATE shop.articles SET author = 'eve' WHERE id = 1")
    handbook.work()
    found = handbook.search(document_id="2", filter={"author": "eve"})
    assert [(hit.document_id, hit.metadata) for hit in found] == [("1", {"author": "eve"})]
    assert provider.calls == []


def test_ten_thousand_changes_of_other_columns_cost_nothing(model_db: Database, shop: Sql, provider: Provider) -> None:
    others = ", ".join(f"other_{number} text" for number in range(20))
    shop.execute(f"CREATE TABLE shop.wide (id bigint PRIMARY KEY, title text, body text, views int, {others})")
    shop.execute("INSERT INTO shop.wide (id, body, views) SELECT i, 'text ' || i, 0 FROM generate_series(1, 100) i")
    handbook = attach(model_db, "shop.wide", text=["title", "body"], metadata=["title"])
    provider.reset()
    for _ in range(100):
        shop.execute("UPDATE shop.wide SET views = views + 1, other_7 = now()::text, other_19 = 'x'")
    assert tasks(shop) == []
    handbook.work()
    assert provider.calls == []
    assert shop.execute("SELECT sum(views) FROM shop.wide").fetchone() == (10000,)


# Partitioned tables

PARTITIONED = """
CREATE TABLE shop.p (id int, region text, body text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE shop.p_north PARTITION OF shop.p FOR VALUES IN ('n');
CREATE TABLE shop.p_south PARTITION OF shop.p FOR VALUES IN ('s') PARTITION BY RANGE (id);
CREATE TABLE shop.p_south_1 PARTITION OF shop.p_south FOR VALUES FROM (0) TO (100);
INSERT INTO shop.p VALUES (1, 'n', 'one'), (2, 's', 'two');
"""


def test_a_partitioned_table_is_one_source(model_db: Database, shop: Sql) -> None:
    shop.execute(PARTITIONED)
    handbook = attach(model_db, "shop.p")
    assert searchable(handbook) == {'["1", "n"]': ["one"], '["2", "s"]': ["two"]}
    shop.execute("CREATE TABLE shop.p_west PARTITION OF shop.p FOR VALUES IN ('w')")
    shop.execute("INSERT INTO shop.p VALUES (3, 'w', 'three')")
    shop.execute("INSERT INTO shop.p_north VALUES (4, 'n', 'four')")
    shop.execute("UPDATE shop.p_south_1 SET body = 'deux'")
    handbook.work()
    assert sorted(texts[0] for texts in searchable(handbook).values()) == ["deux", "four", "one", "three"]
    shop.execute("DELETE FROM shop.p WHERE id < 3")
    assert sorted(texts[0] for texts in searchable(handbook).values()) == ["four", "three"]


def test_a_partitioned_table_can_be_attached_again(model_db: Database, shop: Sql, provider: Provider) -> None:
    shop.execute(PARTITIONED)
    handbook = attach(model_db, "shop.p")
    shop.execute("CREATE TABLE shop.p_west PARTITION OF shop.p FOR VALUES IN ('w')")
    provider.reset()
    model_db.attach("handbook", "shop.p", text="body", wait=True)
    assert provider.calls == []
    shop.execute("INSERT INTO shop.p VALUES (3, 'w', 'three')")
    handbook.work()
    shop.execute("TRUNCATE shop.p_west")
    assert sorted(texts[0] for texts in searchable(handbook).values()) == ["one", "two"]


def test_truncating_a_partition_removes_what_was_in_it(model_db: Database, shop: Sql) -> None:
    shop.execute(PARTITIONED)
    handbook = attach(model_db, "shop.p")
    shop.execute("TRUNCATE shop.p_south")
    assert searchable(handbook) == {'["1", "n"]': ["one"]}
    assert tasks(shop) == ['["2", "s"]'] * len(tasks(shop))
    shop.execute("TRUNCATE shop.p")
    assert searchable(handbook) == {}


def test_a_row_that_moves_to_another_partition_moves_its_document(model_db: Database, shop: Sql) -> None:
    shop.execute(PARTITIONED)
    handbook = attach(model_db, "shop.p")
    # A unique key of a partitioned table holds what it is partitioned by, so that the document id changes, too.
    shop.execute("UPDATE shop.p SET region = 's' WHERE id = 1")
    assert searchable(handbook) == {'["2", "s"]': ["two"]}
    handbook.work()
    assert searchable(handbook) == {'["1", "s"]': ["one"], '["2", "s"]': ["two"]}
