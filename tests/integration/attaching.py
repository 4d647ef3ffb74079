"""For tests of attached tables: a schema of the test's own, and what a table of articles looks like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from semsearch.collection import Collection
from semsearch.database import Database
from tests.integration.hands import MODEL

Sql = psycopg.Connection[Any]

ARTICLES = """
CREATE TABLE shop.articles (
    id bigint PRIMARY KEY,
    title text,
    body text,
    author text,
    published_at timestamptz,
    views integer NOT NULL DEFAULT 0
)
"""


@pytest.fixture
def shop(sql: Sql) -> Iterator[Sql]:
    """The user's connection, and a schema `shop` that goes when the test ends."""
    sql.execute("CREATE SCHEMA shop")
    yield sql
    if sql.info.transaction_status != TransactionStatus.IDLE:  # the test failed in it
        sql.execute("ROLLBACK")
    sql.execute("DROP SCHEMA shop CASCADE")


@pytest.fixture
def articles(shop: Sql) -> Sql:
    """The user's connection, with a table shop.articles of three rows."""
    shop.execute(ARTICLES)
    shop.execute(
        "INSERT INTO shop.articles VALUES "
        "(1, 'One', 'the first', 'ann', '2024-05-01 12:00+02', 0), (2, 'Two', 'the second', 'bob', NULL, 0),"
        "(3, 'Three', NULL, NULL, NULL, 0)"
    )
    return shop


def attach(
    db: Database, table: str = "shop.articles", *, text: Any = "body", wait: bool = True, **how: Any
) -> Collection:
    """A collection `handbook` that embeds by the provider, a document a chunk, attached to the table."""
    return db.attach("handbook", table, text=text, wait=wait, **{"model": MODEL, "chunk_size": 0, **how})


def tasks(sql: Sql) -> list[str]:
    """The ids of the documents that wait, one for each task."""
    return [id for (id,) in sql.execute("SELECT document_id FROM semsearch.tasks ORDER BY version").fetchall()]
