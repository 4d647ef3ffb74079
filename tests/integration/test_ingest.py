"""Sources brought in and pruned, with a real provider on the other end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from semsearch import Document, Progress
from semsearch.collection import Collection
from semsearch.errors import InvalidInput
from tests.integration.hands import Meanwhile, searchable

# Sentences of seven tokens each: two make a chunk of 16 tokens at most.
SENTENCES = [f"Sentence {number} is short enough." for number in range(20)]
DOWN = {"fault": "status", "status": 503, "headers": {"Retry-After": "100"}}  # asks for longer than anybody waits


def test_a_folder_is_ingested_and_pruned(notes: Collection, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.txt").write_text(f"text of {name}")
    assert notes.ingest(folder).added == 3
    notes.put([Document("mine", "put by hand")])
    (folder / "a.txt").unlink()
    (folder / "b.txt").write_text("another text of b")
    report = notes.ingest(folder, prune=True)
    assert (report.added, report.changed, report.unchanged, report.deleted) == (0, 1, 1, 1)
    assert sorted(texts[0] for texts in searchable(notes).values()) == ["another text of b", "put by hand", "text of c"]
    # and once more on the same pooled connection, whose temporary table is still there
    assert notes.ingest(folder, prune=True).deleted == 0


def test_no_transaction_is_open_while_the_model_runs(
    notes: Collection, tmp_path: Path, sql: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("one text")
    idle: list[int] = []

    def look() -> None:
        for _ in range(500):  # what is read and stored meanwhile takes a moment each
            idle.append(
                sql.execute(
                    "SELECT pid FROM pg_stat_activity "
                    "WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
                ).rowcount
            )
            if not idle[-1]:
                return
            time.sleep(0.01)

    embedder = Meanwhile(notes._embedder(), look)
    monkeypatch.setattr(notes, "_embedder", lambda: embedder)
    assert notes.ingest(tmp_path, prune=True).embedded == 1
    assert idle[-1] == 0


def test_broken_items_are_reported_and_keep_their_documents(notes: Collection, tmp_path: Path) -> None:
    source = tmp_path / "texts.jsonl"
    source.write_text('{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n')
    assert notes.ingest(source).added == 2
    long = "x" * 2000
    source.write_text(
        f'{{"id": "a", "text": "one"}}\n{{"id": "b\\u0000", "text": "two"}}\n{{"id": "{long}", "text": ""}}\n'
    )
    seen: list[Progress] = []
    report = notes.ingest(source, prune=True, on_progress=seen.append)
    assert len(report.broken) == 2
    assert report.deleted == 1  # 'b' is not there any more; what cannot be an id is none of our documents
    assert searchable(notes) == {"a": ["one"]}
    assert seen[-1].done == 3


def test_nothing_is_pruned_while_broken_items_have_no_id(notes: Collection, tmp_path: Path) -> None:
    source = tmp_path / "texts.jsonl"
    source.write_text('{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n')
    notes.ingest(source)
    source.write_text('{"id": "a", "text": "one"}\n{"id": "b", "te\n')
    report = notes.ingest(source, prune=True)
    assert report.deleted == 0
    assert any("not pruned" in broken.reason for broken in report.broken)
    assert notes.status().documents == 2


def test_an_empty_source_prunes_nothing(notes: Collection, tmp_path: Path) -> None:
    source = tmp_path / "texts.jsonl"
    source.write_text('{"id": "a", "text": "one"}\n')
    notes.ingest(source)
    source.write_text("")
    with pytest.raises(InvalidInput):
        notes.ingest(source, prune=True)
    assert notes.status().documents == 1


def test_progress_counts_every_document_once(notes: Collection, tmp_path: Path) -> None:
    source = tmp_path / "texts.jsonl"
    source.write_text('{"id": "a", "text": "one"}\n{"id": "a", "text": "two"}\n{"id": "b", "text": "three"}\n')
    seen: list[Progress] = []
    notes.ingest(source, on_progress=seen.append)
    assert seen[-1].done == 3
