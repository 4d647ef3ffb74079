"""A worker whose database cannot be written for a while, or whose provider has become another: it waits or blocks.

Faults E8, P9 and P10 at the worker's own door; nothing is charged, and it goes on by itself.
"""

from __future__ import annotations

import logging
from typing import Any

import psycopg
import pytest
from sqlalchemy import ExceptionContext, event

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.worker import supervisor
from tests.faults import stored
from tests.faults.full_disk import Disk
from tests.faults.stored import read_only
from tests.faults.waiting import until
from tests.integration.test_worker import running
from tests.provider import Provider

Sql = psycopg.Connection[Any]


def test_a_database_that_may_only_be_read_is_waited_for(model_db: Database, notes: Collection, sql: Sql) -> None:
    texts = stored.texts(10)
    refused: list[bool] = []

    def look(context: ExceptionContext) -> None:
        if isinstance(context.original_exception, psycopg.errors.ReadOnlySqlTransaction):
            refused.append(True)

    event.listen(model_db.pools.writing, "handle_error", look)
    with running(model_db):
        until(lambda: sql.execute("SELECT FROM semsearch.workers").rowcount == 1)
        with read_only(sql):  # the primary became a replica, and those who were connected were cut off
            sql.execute(CUT)
            for id, text in texts.items():
                sql.execute(INSERT, (id, text))
            until(lambda: refused)
            stored.check_waiting(notes, texts)
        until(lambda: stored.searchable(notes).keys() == texts.keys())
    event.remove(model_db.pools.writing, "handle_error", look)
    stored.check(notes, texts)
    stored.check_waiting(notes, ())


CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name LIKE 'semsearch%' AND datname = current_database()"
)
INSERT = (
    "INSERT INTO semsearch.documents (collection_id, id, text)"
    " SELECT id, %s, %s FROM semsearch.collections WHERE name = 'notes'"
)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    return " ".join(str(record.__dict__) for record in caplog.records)


def test_a_full_disk_is_waited_for(
    disk: Disk, disk_db: Database, disk_notes: Collection, caplog: pytest.LogCaptureFixture
) -> None:
    disk_notes.put(stored.documents(stored.texts(300)))  # tables and indexes have some pages to spare after this
    disk_notes.delete_all()
    texts = stored.large(200)
    disk_notes.put(stored.documents(texts), wait=False)
    disk.fill()
    with caplog.at_level(logging.INFO, "semsearch"), running(disk_db):
        until(lambda: "disk is full" in logged(caplog))
        assert disk_notes.status().failed == 0
        assert all(attempt <= 1 for attempt in stored.attempts(disk_notes).values())
        disk.free()
        until(lambda: stored.searchable(disk_notes).keys() == texts.keys())
    stored.check(disk_notes, texts)
    stored.check_waiting(disk_notes, ())


def test_a_provider_that_changes_its_model_blocks_within_a_batch(
    model_db: Database, notes: Collection, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semsearch.embedders.openai.PROBE_AGE", 0.0)
    monkeypatch.setattr(supervisor, "BLOCKED_FOR", 1.0)
    texts = stored.texts(5)
    notes.put(stored.documents(texts), wait=False)
    with running(model_db):
        until(lambda: notes.status().backlog == 0)
        provider.rules(seed="another model")
        notes.put([Document("later", "one more")], wait=False)
        until(lambda: notes.status().state == "blocked")
        assert "is not what it was" in (notes.status().reason or "")
        stored.check(notes, texts)
        provider.rules()  # the old one is back
        until(lambda: notes.status().backlog == 0)
    stored.check(notes, {**texts, "later": "one more"})
