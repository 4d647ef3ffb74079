"""Attached tables that change their shape: the user may, nothing of his is taken for deleted, nothing is missed."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import Conflict
from semsearch.store import blocking, source
from tests.integration.attaching import attach, tasks
from tests.integration.hands import inputs, searchable
from tests.provider import Provider

Sql = psycopg.Connection[Any]


@pytest.fixture
def handbook(model_db: Database, articles: Sql, provider: Provider) -> Collection:
    made = attach(model_db, title="title", metadata=["author"])
    provider.reset()
    return made


def problem(collection: Collection) -> str | None:
    with collection._pools.writing.connect() as connection:
        return source.check(connection, collection._space)


def block(collection: Collection) -> None:
    """What a worker does when it meets the problem."""
    with collection._pools.writing.begin() as connection:
        assert blocking.block(connection, collection._space, problem(collection) or "")


def unblock(collection: Collection) -> None:
    with collection._pools.writing.begin() as connection:
        assert blocking.unblock(connection, [collection.name]) == [collection.name]


def test_a_sound_table_has_no_problem(handbook: Collection) -> None:
    assert problem(handbook) is None


DRIFTS = [
    ("ALTER TABLE shop.articles DROP COLUMN body", r"^shop\.articles has no column body: it has id, title, author"),
    ("ALTER TABLE shop.articles RENAME COLUMN author TO writer", r"^shop\.articles has no column author"),
    ("ALTER TABLE shop.articles RENAME COLUMN id TO number", r"^shop\.articles has no column id"),
    ("ALTER TABLE shop.articles DROP CONSTRAINT articles_pkey", r"^shop\.articles \(id\) is not unique"),
    ("ALTER TABLE shop.articles ALTER id TYPE numeric", r"^column id of shop\.articles cannot identify documents"),
    (
        "ALTER TABLE shop.articles ALTER id TYPE text",
        r"^the key of shop\.articles is of another type now: attach it aga",
    ),
    ("DROP TABLE shop.articles", r"^shop\.articles does not exist any more: bring it back"),
    ("ALTER TABLE shop.articles RENAME TO posts", r"^shop\.articles is called shop\.posts now: give it its name back"),
    ("ALTER TABLE shop.articles SET SCHEMA public", r"^shop\.articles is called public\.articles now"),
    ("DROP TRIGGER semsearch_enqueue_{} ON shop.articles", r"^shop\.articles has lost its triggers"),
    ("DROP FUNCTION semsearch_attached.lock_{}", r"^shop\.articles has lost its functions"),
    (
        "ALTER TABLE shop.articles RENAME TO old; CREATE TABLE shop.articles (LIKE shop.old INCLUDING ALL)",
        r"^shop\.articles has lost its triggers, as a table that was replaced has: attach it again",
    ),
    ("DROP TABLE shop.articles; CREATE VIEW shop.articles AS SELECT 1 AS id", r"^shop\.articles is a view"),
]


@pytest.mark.parametrize(("change", "said"), DRIFTS)
def test_any_change_of_shape_is_allowed_and_told_in_a_sentence(
    handbook: Collection, articles: Sql, change: str, said: str
) -> None:
    articles.execute(change.format(handbook._space.collection_id))
    assert problem(handbook) is not None
    with pytest.raises(Conflict, match=said):
        handbook.work()
    assert list(searchable(handbook)) == ["1", "2"]  # no mass deletion
    articles.execute("DROP TABLE IF EXISTS public.articles")


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE shop.articles ADD COLUMN extra text",
        "ALTER TABLE shop.articles DROP COLUMN views",
        "ALTER TABLE shop.articles ALTER body TYPE varchar(100)",
        "ALTER TABLE shop.articles ALTER author TYPE jsonb USING to_jsonb(author)",
        "ALTER TABLE shop.articles ALTER author TYPE json USING to_json(author)",
    ],
)
def test_other_changes_are_no_problem_also_for_sessions_that_were_there_before(
    handbook: Collection, articles: Sql, other_sql: Sql, change: str
) -> None:
    articles.execute("UPDATE shop.articles SET body = body || '!'")  # this session has its plans now
    handbook.work()
    other_sql.execute(change)
    assert problem(handbook) is None
    articles.execute("UPDATE shop.articles SET body = 'changed' WHERE id = 1")
    articles.execute("UPDATE shop.articles SET title = title")
    articles.execute("INSERT INTO shop.articles (id, body) VALUES (4, 'new')")
    assert tasks(articles) == ["1", "4"]
    articles.execute("DELETE FROM shop.articles WHERE id = 2")
    handbook.work()
    assert searchable(handbook) == {"1": ["changed"], "4": ["new"]}


def test_an_integer_key_may_become_bigint(model_db: Database, shop: Sql, other_sql: Sql, provider: Provider) -> None:
    shop.execute("CREATE TABLE shop.t (id integer PRIMARY KEY, body text)")
    shop.execute("INSERT INTO shop.t VALUES (1, 'one')")
    handbook = attach(model_db, "shop.t")
    shop.execute("UPDATE shop.t SET body = 'uno'")
    other_sql.execute("ALTER TABLE shop.t ALTER id TYPE bigint")
    shop.execute("INSERT INTO shop.t VALUES (9000000000, 'big')")
    assert problem(handbook) is None
    handbook.work()
    assert searchable(handbook) == {"1": ["uno"], "9000000000": ["big"]}


def test_the_user_can_go_on_writing_to_a_table_that_has_lost_a_column(
    handbook: Collection, articles: Sql, other_sql: Sql
) -> None:
    articles.execute("UPDATE shop.articles SET author = 'x'")
    for column in ("body", "title", "author", "id"):
        other_sql.execute(f"ALTER TABLE shop.articles DROP COLUMN {column}")
        articles.execute("INSERT INTO shop.articles (views) VALUES (7)") if column == "id" else None
        articles.execute("UPDATE shop.articles SET views = views + 1")
    articles.execute("DELETE FROM shop.articles")
    articles.execute("TRUNCATE shop.articles")


def test_json_that_jsonb_cannot_hold_does_not_fail_the_user(model_db: Database, shop: Sql, other_sql: Sql) -> None:
    shop.execute("CREATE TABLE shop.t (id int PRIMARY KEY, body text, raw json)")
    attach(model_db, "shop.t")
    shop.execute("INSERT INTO shop.t VALUES (1, 'one', '{\"a\": \"\\u0000\"}')")
    other_sql.execute("ALTER TABLE shop.t RENAME body TO content")
    shop.execute('UPDATE shop.t SET raw = \'{"b": "\\u0000"}\'')


def test_what_changed_while_a_column_was_away_is_seen_when_it_is_back(
    handbook: Collection, articles: Sql, provider: Provider
) -> None:
    articles.execute("ALTER TABLE shop.articles RENAME COLUMN body TO content")
    articles.execute("UPDATE shop.articles SET content = 'changed' WHERE id = 1")
    articles.execute("DELETE FROM shop.articles WHERE id = 2")
    for _ in range(3):
        articles.execute("UPDATE shop.articles SET views = views + 1")
    assert sorted(tasks(articles)) == ["1", "2", "3"]  # one each: nobody knows what has changed, and nobody may look
    articles.execute("ALTER TABLE shop.articles RENAME COLUMN content TO body")
    handbook.work()
    assert searchable(handbook) == {"1": ["changed"]}
    assert inputs(provider) == ["One\nchanged"]


def test_after_a_key_was_away_rows_are_compared_in_both_directions(
    handbook: Collection, articles: Sql, provider: Provider
) -> None:
    articles.execute("ALTER TABLE shop.articles RENAME COLUMN id TO number")
    block(handbook)
    articles.execute("DELETE FROM shop.articles WHERE number = 1")
    articles.execute("UPDATE shop.articles SET body = 'changed' WHERE number = 2")
    articles.execute("INSERT INTO shop.articles (number, body) VALUES (4, 'new')")
    assert tasks(articles) == []
    articles.execute("ALTER TABLE shop.articles RENAME COLUMN number TO id")
    unblock(handbook)
    handbook.work()
    assert searchable(handbook) == {"2": ["changed"], "4": ["new"]}


def test_attached_again_a_table_that_was_replaced_is_followed(
    model_db: Database, handbook: Collection, articles: Sql, provider: Provider
) -> None:
    articles.execute("ALTER TABLE shop.articles RENAME TO old")
    articles.execute("CREATE TABLE shop.articles (LIKE shop.old INCLUDING ALL)")
    articles.execute("INSERT INTO shop.articles (id, title, body) VALUES (1, 'One', 'the first'), (7, '', 'seventh')")
    model_db.attach("handbook", "shop.articles", text="body", title="title", wait=True)
    assert searchable(handbook) == {"1": ["the first"], "7": ["seventh"]}
    assert inputs(provider) == ["seventh"]
    assert problem(handbook) is None


def test_a_table_that_is_locked_for_long_is_told(
    handbook: Collection, articles: Sql, other_sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "READING", source.READING.replace("'1s'", "'10ms'"))
    articles.execute("UPDATE shop.articles SET body = 'changed' WHERE id = 1")
    with other_sql.transaction(force_rollback=True):
        other_sql.execute("TRUNCATE shop.articles")
        with pytest.raises(Conflict, match="another transaction keeps the table locked"):
            handbook.work()
    handbook.work()
    assert searchable(handbook) == {"1": ["changed"], "2": ["the second"]}
