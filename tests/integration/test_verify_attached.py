"""Attached tables compared with their chunks: what went around their triggers is found and repaired."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.store import backfill, verification
from semsearch.store.triggers import Wrong
from tests.integration.attaching import articles, attach, shop
from tests.integration.hands import kinds, searchable

__all__ = ["articles", "shop"]

Sql = psycopg.Connection[Any]


@pytest.fixture
def handbook(model_db: Database, articles: Sql) -> Collection:
    """Thirteen articles, of which the third has no text."""
    articles.execute(
        "INSERT INTO shop.articles (id, title, body) SELECT n, 'T', 'body ' || n FROM generate_series(4, 13) n"
    )
    return attach(model_db, title="title", metadata="author")


@pytest.fixture
def behind(handbook: Collection, articles: Sql) -> Iterator[Sql]:
    """A connection whose writes no trigger sees."""
    articles.execute("SET session_replication_role = replica")
    yield articles
    articles.execute("RESET session_replication_role")


def repaired(collection: Collection, **options: Any) -> None:
    assert collection.verify(repair=True, **options).healed
    collection.work()
    again = collection.verify()
    assert kinds(again) == {}
    assert again.clean


def test_an_attached_table_is_compared(handbook: Collection) -> None:
    found = handbook.verify()
    assert found.clean
    assert found.documents == 13


PAST = {
    "insert": ("INSERT INTO shop.articles (id, body) VALUES (20, 'new'), (21, '')", {"missing": (1, ["20"])}),
    "update of a text": ("UPDATE shop.articles SET body = 'other' WHERE id IN (1, 10)", {"stale": (2, ["1", "10"])}),
    "a text that is gone": ("UPDATE shop.articles SET body = NULL WHERE id = 1", {"stale": (1, ["1"])}),
    "update of the title": ("UPDATE shop.articles SET title = 'other' WHERE id = 2", {"stale": (1, ["2"])}),
    "update of metadata": ("UPDATE shop.articles SET author = 'eve' WHERE id = 2", {"metadata": (1, ["2"])}),
    "update of what nobody asked for": ("UPDATE shop.articles SET views = views + 1", {}),
    "delete": ("DELETE FROM shop.articles WHERE id IN (1, 10)", {"orphaned": (2, ["1", "10"])}),
    "another key": (
        "UPDATE shop.articles SET id = 100 WHERE id = 1",
        {"missing": (1, ["100"]), "orphaned": (1, ["1"])},
    ),
}


@pytest.mark.parametrize(("statement", "kind"), PAST.values(), ids=PAST)
def test_a_write_past_the_triggers_is_found_and_repaired(
    handbook: Collection, behind: Sql, statement: str, kind: dict[str, Any]
) -> None:
    behind.execute(statement.encode())
    assert kinds(handbook.verify()) == kind
    repaired(handbook)


def test_truncate_past_the_triggers_is_repaired_by_force_only(handbook: Collection, behind: Sql) -> None:
    behind.execute("TRUNCATE shop.articles")
    refused = handbook.verify(repair=True)
    assert refused.differences["orphaned"].count == 12
    assert refused.refused
    assert refused.enqueued == 0
    repaired(handbook, force=True)
    assert searchable(handbook) == {}


def test_chunks_of_an_id_that_no_row_can_have_are_orphaned(handbook: Collection, sql: Sql) -> None:
    sql.execute(f"UPDATE semsearch.{handbook._space.table_name} SET document_id = 'no number' WHERE document_id = '2'")
    assert kinds(handbook.verify()) == {"missing": (1, ["2"]), "orphaned": (1, ["no number"])}
    repaired(handbook)


def test_however_small_the_pages_everything_is_found(
    handbook: Collection, behind: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "PAGE", 2)
    behind.execute("UPDATE shop.articles SET body = 'other' WHERE id IN (1, 9, 10, 13)")
    behind.execute("DELETE FROM shop.articles WHERE id = 5")
    assert kinds(handbook.verify()) == {"stale": (4, ["1", "9", "10", "13"]), "orphaned": (1, ["5"])}
    repaired(handbook)


def test_rows_that_the_backfill_has_not_reached_are_left_out(model_db: Database, articles: Sql) -> None:
    handbook = attach(model_db, wait=False)
    found = handbook.verify()
    assert found.clean
    assert (found.documents, found.waiting) == (1, 2)  # the third has no text, so nothing is missing
    with handbook._pools.writing.begin() as connection:
        while backfill.step(connection, handbook._space):
            pass
    articles.execute("DELETE FROM semsearch.tasks")
    assert kinds(handbook.verify()) == {"missing": (2, ["1", "2"])}


def test_a_table_that_cannot_be_read_as_attached_is_not_compared(handbook: Collection, articles: Sql) -> None:
    articles.execute("ALTER TABLE shop.articles RENAME COLUMN body TO content")
    found = handbook.verify(repair=True, force=True)
    assert found.blocked
    assert "body" in found.blocked
    assert kinds(found) == {}
    assert found.enqueued == 0
    assert not found.clean
    assert not found.healed
    assert len(searchable(handbook)) == 12


@pytest.fixture
def parts(shop: Sql) -> Sql:
    """The user's connection, with a partitioned table shop.parts of twelve rows."""
    shop.execute("CREATE TABLE shop.parts (id int PRIMARY KEY, body text) PARTITION BY RANGE (id)")
    shop.execute("CREATE TABLE shop.first PARTITION OF shop.parts FOR VALUES FROM (0) TO (10)")
    shop.execute("CREATE TABLE shop.second PARTITION OF shop.parts FOR VALUES FROM (10) TO (20)")
    shop.execute("INSERT INTO shop.parts SELECT n, 'body ' || n FROM generate_series(0, 11) n")
    return shop


@pytest.mark.parametrize("how", ["ALTER TABLE shop.parts DETACH PARTITION shop.second", "DROP TABLE shop.second"])
def test_rows_that_leave_with_their_partition_are_orphaned(model_db: Database, parts: Sql, how: str) -> None:
    handbook = attach(model_db, "shop.parts")
    parts.execute(how.encode())
    assert kinds(handbook.verify()) == {"orphaned": (2, ["10", "11"])}
    repaired(handbook)
    assert len(searchable(handbook)) == 10


# Triggers


@pytest.mark.parametrize("name", ["semsearch_enqueue_{}", "semsearch_enqueue_all_{}"])
def test_a_disabled_trigger_is_named_with_its_command(handbook: Collection, articles: Sql, name: str) -> None:
    name = name.format(handbook._space.collection_id)
    articles.execute(f"ALTER TABLE shop.articles DISABLE TRIGGER {name}".encode())
    (trigger,) = handbook.verify().triggers
    assert trigger == Wrong(name, "shop.articles", "disabled", f"ALTER TABLE shop.articles ENABLE TRIGGER {name}")
    articles.execute(trigger.command.encode())
    assert handbook.verify().clean


def test_each_partition_must_fire(model_db: Database, parts: Sql) -> None:
    handbook = attach(model_db, "shop.parts")
    assert handbook.verify().clean
    parts.execute("CREATE TABLE shop.third PARTITION OF shop.parts FOR VALUES FROM (20) TO (30)")
    parts.execute("INSERT INTO shop.parts VALUES (21, 'body')")
    handbook.work()
    row, truncate = (f"semsearch_enqueue{middle}_{handbook._space.collection_id}" for middle in ("", "_all"))
    parts.execute(f"ALTER TABLE shop.first DISABLE TRIGGER {row}".encode())
    disabled, missing = handbook.verify().triggers
    assert (disabled.name, disabled.table, disabled.state) == (row, "shop.first", "disabled")
    assert (missing.name, missing.table, missing.state) == (truncate, "shop.third", "missing")
    for trigger in (disabled, missing):
        parts.execute(trigger.command.encode())
    assert handbook.verify().clean
