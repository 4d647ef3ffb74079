"""Removal: what goes together, in which order, and how much at once."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from semsearch import Document
from semsearch.collection import Collection
from semsearch.store import documents, removal
from tests.integration.hands import searchable

Sql = psycopg.Connection[Any]


def test_removing_waits_for_a_worker_that_is_just_storing(notes: Collection, hands: Any) -> None:
    notes.put([Document("a", "one")], wait=False)
    worker = hands(notes)
    worker.claim()
    worker.prepare()
    with worker.engine.begin() as storing:
        assert worker.finish_in(storing) == ["a"]
        with notes._pools.writing.connect() as removing:
            removing.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
            with pytest.raises(Exception, match="lock timeout"):
                removal.remove(removing, notes._space, ["a"])
    assert notes.delete(["a"]) == 1
    assert searchable(notes) == {}


def test_a_document_put_while_its_id_is_removed_loses_nothing(notes: Collection) -> None:
    """It was not there when the removal looked for it: its task is none of the removal's."""
    put = []

    def meanwhile(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE FROM semsearch.documents") and not put:
            put.append(notes.put([Document("a", "one")], wait=False))

    event.listen(notes._pools.writing, "after_cursor_execute", meanwhile)
    try:
        assert notes.delete(["a"]) == 0
    finally:
        event.remove(notes._pools.writing, "after_cursor_execute", meanwhile)
    assert put
    notes.work()
    assert searchable(notes) == {"a": ["one"]}


def test_removing_writes_no_tasks(notes: Collection, sql: Sql) -> None:
    notes.put([Document("a", "one"), Document("b", "two")])
    notes.delete(["a", "b"])
    assert sql.execute("SELECT count(*) FROM semsearch.tasks").fetchone() == (0,)


def test_other_collections_keep_documents_of_the_same_id(model_db: Any, notes: Collection) -> None:
    other = model_db.create_collection("other", dimensions=2)
    other.put([Document("a", "theirs", embedding=[1, 2])])
    notes.put([Document("a", "ours")])
    notes.delete(["a"])
    assert searchable(other) == {"a": ["theirs"]}
    assert notes.delete_all() == 0
    assert other.status().documents == 1


def test_pruning_takes_what_was_not_seen_of_that_source_only(
    notes: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "BATCH", 3)
    space, engine = notes._space, notes._pools.writing
    with engine.begin() as connection:
        for source in ("here", "there", None):
            rows = [documents.encode(Document(f"{source} {number}", "x"), source) for number in range(10)]
            documents.put(connection, space, rows)
    with documents.Seen() as seen, engine.connect() as connection:
        seen.add(["here 1", "here 2"])
        seen.add(["here 2", "there 1", "nowhere"])
        assert removal.prune(engine, space, "here", seen) == 8
        assert removal.prune(engine, space, "here", seen) == 0
        left = documents.existing(
            connection, space, [f"{source} {n}" for source in ("here", "there", None) for n in range(10)]
        )
    assert len(left) == 22
    assert {id for id in left if id.startswith("here")} == {"here 1", "here 2"}
