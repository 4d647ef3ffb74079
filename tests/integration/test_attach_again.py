"""A collection whose documents come from elsewhere since it was opened: what was read before answers for nothing."""

from __future__ import annotations

from typing import Any

import pytest

from semsearch.database import Database
from semsearch.errors import CollectionChanged
from semsearch.store import backfill
from tests.faults.waiting import until
from tests.integration.attaching import Sql, attach, tasks
from tests.integration.hands import MODEL, searchable
from tests.integration.working import running
from tests.provider import Provider

BODIES = {"1": ["the first"], "2": ["the second"]}
TITLES = {"1": ["One"], "2": ["Two"], "3": ["Three"]}


def test_a_handle_from_before_a_table_was_attached_does_no_work(model_db: Database, articles: Sql) -> None:
    before = model_db.create_collection("handbook", model=MODEL, chunk_size=0)
    now = model_db.attach("handbook", "shop.articles", text="body", wait=True)
    articles.execute("UPDATE shop.articles SET body = body || '!'")
    waiting = tasks(articles)
    with pytest.raises(CollectionChanged, match="open it again"):
        before.work()
    assert tasks(articles) == waiting
    now.work()
    assert searchable(now) == {id: [f"{text}!"] for id, (text,) in BODIES.items()}


def test_a_text_read_from_another_column_is_not_stored(model_db: Database, articles: Sql, hands: Any) -> None:
    collection = attach(model_db)
    articles.execute("UPDATE shop.articles SET body = body || '!', title = title || '!'")
    worker = hands(collection)
    worker.claim()
    worker.prepare()
    now = model_db.attach("handbook", "shop.articles", text="title")
    with pytest.raises(CollectionChanged):
        worker.finish()
    worker.worker.close()
    now.work()
    assert searchable(now) == {id: [f"{text}!"] for id, (text,) in TITLES.items()}


def test_a_backfill_of_the_table_before_does_not_move_that_of_this_one(model_db: Database, articles: Sql) -> None:
    old = attach(model_db)
    articles.execute(
        "CREATE TABLE shop.others (id bigint PRIMARY KEY, body text); INSERT INTO shop.others VALUES (1, 'x')"
    )
    with articles.transaction():
        articles.execute("SELECT semsearch.detach('handbook')")
        articles.execute("SELECT semsearch.attach('handbook', 'shop.others', text => '{body}')")
    with pytest.raises(CollectionChanged), model_db.pools.writing.begin() as connection:
        backfill.step(connection, old.space)
    now = model_db.collection("handbook")
    now.work()
    assert searchable(now) == {"1": ["x"]}


def test_a_worker_goes_on_with_what_the_collection_has_become(
    model_db: Database, articles: Sql, provider: Provider
) -> None:
    """It holds the collection as it was while the provider is slow."""
    collection = attach(model_db)
    provider.rules(always={"fault": "slow", "seconds": 1})
    articles.execute("UPDATE shop.articles SET body = body || '!', title = title || '!'")
    asked = len(provider.calls)
    with running(model_db):
        until(lambda: len(provider.calls) > asked)
        model_db.attach("handbook", "shop.articles", text="title")
        until(lambda: searchable(collection) == {id: [f"{text}!"] for id, (text,) in TITLES.items()})
    assert model_db.collection("handbook").status().state == "active"
