"""Removal: what goes together, in which order, and how much at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from semsearch import Document
from semsearch.collection import Collection
from semsearch.store import documents, removal, tasks
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
        begun = tasks.now(connection)
        seen.add(["here 1", "here 2"])
        seen.add(["here 2", "there 1", "nowhere"])
        assert removal.prune(engine, space, "here", seen, begun) == 8
        assert removal.prune(engine, space, "here", seen, begun) == 0
        left = documents.existing(
            connection, space, [f"{source} {n}" for source in ("here", "there", None) for n in range(10)]
        )
    assert len(left) == 22
    assert {id for id in left if id.startswith("here")} == {"here 1", "here 2"}


@pytest.fixture
def folder(tmp_path: Path, notes: Collection) -> Path:
    """Two documents came from it; one of them is not there any more."""
    made = tmp_path / "folder"
    made.mkdir()
    for name in ("a", "b"):
        (made / f"{name}.txt").write_text(f"text of {name}")
    notes.ingest(made)
    (made / "b.txt").unlink()
    return made


def before_pruning(monkeypatch: pytest.MonkeyPatch, happens: Any) -> None:
    """Let something happen once the documents of the source have been found, and before they are removed."""
    pages = removal._pages

    def found(*arguments: Any) -> Any:
        for ids in pages(*arguments):
            happens()
            yield ids

    monkeypatch.setattr(removal, "_pages", found)


def test_pruning_leaves_what_has_come_from_elsewhere_meanwhile(
    notes: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_pruning(monkeypatch, lambda: notes.put([Document("folder/b.txt", "put by hand")]))
    assert notes.ingest(folder, prune=True).deleted == 0
    assert searchable(notes)["folder/b.txt"] == ["put by hand"]


def test_pruning_leaves_what_was_brought_in_since_it_began(
    notes: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another run, which saw the file that has come back."""

    def again() -> None:
        (folder / "b.txt").write_text("it is back")
        notes.ingest(folder)

    before_pruning(monkeypatch, again)
    assert notes.ingest(folder, prune=True).deleted == 0
    assert searchable(notes)["folder/b.txt"] == ["it is back"]


def test_pruning_removes_what_is_gone(notes: Collection, folder: Path) -> None:
    assert notes.ingest(folder, prune=True).deleted == 1
    assert list(searchable(notes)) == ["folder/a.txt"]
