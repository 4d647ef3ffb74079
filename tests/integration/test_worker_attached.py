"""The worker and attached tables: existing rows are filled in; a table that is changed blocks its collection only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from semsearch import Document
from semsearch.database import Database
from semsearch.store import backfill
from semsearch.worker import supervisor
from tests.integration.hands import MODEL, searchable
from tests.integration.working import run, running, until
from tests.provider import Provider

Sql = psycopg.Connection[Any]


@pytest.fixture
def articles(model_db: Database, sql: Sql, provider: Provider) -> Iterator[None]:
    sql.execute("CREATE TABLE public.articles (id bigint PRIMARY KEY, body text, views integer NOT NULL DEFAULT 0)")
    sql.execute("INSERT INTO public.articles SELECT n, 'article ' || n FROM generate_series(1, 30) n")
    yield
    sql.execute("DROP TABLE IF EXISTS public.articles CASCADE")


def test_rows_that_were_there_are_filled_in_by_pages(
    model_db: Database, articles: None, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semsearch.store.backfill.PAGE", 7)
    attached = model_db.attach("articles", "public.articles", text="body", model=MODEL)
    run(model_db)
    assert len(searchable(attached)) == 30
    sql.execute("INSERT INTO public.articles VALUES (31, 'one more')")
    sql.execute("UPDATE public.articles SET views = views + 1")
    run(model_db)
    assert searchable(attached)["31"] == ["one more"]


def test_an_attachment_that_nobody_foresaw_blocks_its_collection_only(
    model_db: Database, articles: None, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    attached = model_db.attach("articles", "public.articles", text="body", model=MODEL)
    other = model_db.create_collection("other", model=MODEL)
    other.put([Document("a", "one")], wait=False)

    def step(*_: Any) -> bool:
        raise TypeError

    monkeypatch.setattr(backfill, "step", step)
    run(model_db)
    assert searchable(other) == {"a": ["one"]}
    assert (attached.status().state, attached.status().reason) == ("blocked", "unexpected TypeError: see the log.")


def test_a_column_without_a_name_blocks_its_collection_only(model_db: Database, articles: None, sql: Sql) -> None:
    """Attached before that was refused."""
    model_db.attach("articles", "public.articles", text="body", model=MODEL)
    other = model_db.create_collection("other", model=MODEL)
    other.put([Document("a", "one")], wait=False)
    sql.execute("UPDATE semsearch.collections SET attachment = jsonb_set(attachment, '{texts}', '[\"body\", null]')")
    run(model_db)
    assert searchable(other) == {"a": ["one"]}
    status = model_db.collection("articles").status()
    assert (status.state, (status.reason or "")[:27]) == ("blocked", "a name of a column is NULL:")
    model_db.detach("articles")
    assert sql.execute("SELECT FROM pg_trigger WHERE tgname LIKE 'semsearch_enqueue%'").rowcount == 0


def test_a_column_that_is_dropped_blocks_its_collection_only(
    model_db: Database, articles: None, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "SHORTEST", 0.01)
    attached = model_db.attach("articles", "public.articles", text="body", model=MODEL)
    other = model_db.create_collection("other", model=MODEL)
    run(model_db)
    sql.execute("ALTER TABLE public.articles RENAME COLUMN body TO content")
    with running(model_db):
        until(lambda: attached.status().state == "blocked")
        assert "body" in (attached.status().reason or "")
        other.put([Document("a", "one")], wait=False)
        until(lambda: other.status().backlog == 0)
    assert len(searchable(attached)) == 30  # not taken for a deletion of everything
    sql.execute("ALTER TABLE public.articles RENAME COLUMN content TO body")
    sql.execute("UPDATE public.articles SET body = 'changed' WHERE id = 1")
    run(model_db)
    assert (attached.status().state, searchable(attached)["1"]) == ("active", ["changed"])
