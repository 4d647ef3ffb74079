"""What goes around the triggers is found, named by its kind, repaired; then nothing is found any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.store import tasks, verification
from tests.integration.hands import inputs, kinds, searchable
from tests.integration.verifying import behind, chunks, filled, repaired
from tests.provider import Provider

__all__ = ["behind", "chunks", "filled"]

Sql = psycopg.Connection[Any]


def test_what_is_as_it_should_be_is_found_so_and_no_model_is_called(filled: Collection, provider: Provider) -> None:
    found = filled.verify()
    assert found.clean
    assert (found.documents, found.waiting, found.failed) == (10, 0, 0)
    assert kinds(found) == {}
    assert provider.calls == []


# Writes past the triggers: the statement, and what must be found

INSERT = "INSERT INTO semsearch.documents (collection_id, id, text) SELECT {id}, 'new' || n, 'new ' || n FROM "
PAST: dict[str, tuple[str, dict[str, tuple[int, list[str]]]]] = {
    "insert": (
        INSERT + "generate_series(1, 12) n",
        {"missing": (12, [f"new{n}" for n in (1, 10, 11, 12, *range(2, 8))])},
    ),
    "insert of a blank text": ("INSERT INTO semsearch.documents (collection_id, id, text) VALUES ({id}, 'b', ' ')", {}),
    "update of a text": (
        "UPDATE semsearch.documents SET text = 'other' WHERE id IN ('d1', 'd5')",
        {"stale": (2, ["d1", "d5"])},
    ),
    "a text made blank": ("UPDATE semsearch.documents SET text = '' WHERE id = 'd5'", {"stale": (1, ["d5"])}),
    "a new title": ("UPDATE semsearch.documents SET title = 'T' WHERE id = 'd1'", {"stale": (1, ["d1"])}),
    "update of metadata": (
        """UPDATE semsearch.documents SET metadata = '{{"number": true}}' WHERE id = 'd5'""",
        {"metadata": (1, ["d5"])},
    ),
    "delete": ("DELETE FROM semsearch.documents WHERE id IN ('d1', 'd5')", {"orphaned": (2, ["d1", "d5"])}),
    "another id": (
        "UPDATE semsearch.documents SET id = 'e1' WHERE id = 'd1'",
        {"missing": (1, ["e1"]), "orphaned": (1, ["d1"])},
    ),
}


@pytest.mark.parametrize(("statement", "kind"), PAST.values(), ids=PAST)
def test_a_write_past_the_triggers_is_found_and_repaired(
    filled: Collection, behind: Sql, statement: str, kind: dict[str, Any]
) -> None:
    behind.execute(statement.format(id=filled._space.collection_id).encode())
    assert kinds(filled.verify()) == kind
    repaired(filled, behind)


# Hands in the chunks

HANDS: dict[str, tuple[str, str, list[str]]] = {
    "all of a document gone": ("DELETE FROM {chunks} WHERE document_id IN ('d1', 'd5')", "missing", ["d1", "d5"]),
    "the first gone": ("DELETE FROM {chunks} WHERE document_id = 'd5' AND ordinal = 0", "gaps", ["d5"]),
    "one in the middle gone": ("DELETE FROM {chunks} WHERE document_id = 'd5' AND ordinal = 1", "gaps", ["d5"]),
    "all but the first gone": ("DELETE FROM {chunks} WHERE ordinal > 0", "stale", ["d5"]),
    "another text": ("UPDATE {chunks} SET text = 'wrong' WHERE document_id = 'd2'", "stale", ["d2"]),
    "another text and embedding": (
        "UPDATE {chunks} SET text = 'wrong', embedding = '[1,2,3,4,5,6,7,8]' WHERE document_id = 'd2'",
        "stale",
        ["d2"],
    ),
    "embeddings of zero": (
        "UPDATE {chunks} SET embedding = '[0,0,0,0,0,0,0,0]' WHERE document_id IN ('d3', 'd5')",
        "unusable",
        ["d3", "d5"],
    ),
    "other metadata": ("UPDATE {chunks} SET metadata = '{{}}' WHERE ordinal = 2", "metadata", ["d5"]),
    "one too many": (
        'INSERT INTO {chunks} SELECT document_id, 1, start, "end", hash, heading, embedding, text, metadata '
        "FROM {chunks} WHERE document_id = 'd1'",
        "stale",
        ["d1"],
    ),
    "those of a document that never was": (
        "INSERT INTO {chunks} SELECT 'ghost', 3, start, \"end\", hash, heading, embedding, text, metadata "
        "FROM {chunks} WHERE document_id = 'd1'",
        "orphaned",
        ["ghost"],
    ),
}


@pytest.mark.parametrize(("statement", "kind", "ids"), HANDS.values(), ids=HANDS)
def test_a_hand_in_the_chunks_is_found_and_repaired(
    filled: Collection, sql: Sql, chunks: str, statement: str, kind: str, ids: list[str]
) -> None:
    sql.execute(statement.format(chunks=chunks).encode())
    assert kinds(filled.verify()) == {kind: (len(ids), ids)}
    repaired(filled, sql)


def test_chunks_of_an_old_backup_are_found_and_repaired(filled: Collection, sql: Sql, chunks: str) -> None:
    sql.execute(f"CREATE TABLE backup AS SELECT * FROM {chunks}")
    sql.execute("ALTER TABLE backup DROP COLUMN terms")
    filled.put([Document("d1", "newer"), Document("d5", "shorter now"), Document("d6", "text 6", {"number": 2})])
    filled.delete(["d2"])
    sql.execute(f"TRUNCATE {chunks}")
    columns = 'document_id, ordinal, start, "end", hash, heading, embedding, text, metadata'
    sql.execute(f"INSERT INTO {chunks} ({columns}) SELECT {columns} FROM backup")
    sql.execute("DROP TABLE backup")
    found = filled.verify()
    assert kinds(found) == {"stale": (2, ["d1", "d5"]), "metadata": (1, ["d6"]), "orphaned": (1, ["d2"])}
    repaired(filled, sql)


def test_metadata_is_repaired_without_a_model(filled: Collection, sql: Sql, chunks: str, provider: Provider) -> None:
    sql.execute(f"UPDATE {chunks} SET metadata = '{{}}'")
    done = repaired(filled, sql)
    assert done.enqueued == 10
    assert inputs(provider) == []


# Nothing is removed in bulk by mistake


def test_more_than_a_fifth_is_removed_only_by_force(filled: Collection, behind: Sql) -> None:
    behind.execute("DELETE FROM semsearch.documents WHERE id IN ('d1', 'd2', 'd3')")
    behind.execute("UPDATE semsearch.documents SET text = 'other' WHERE id = 'd9'")
    refused = filled.verify(repair=True)
    assert kinds(refused) == {"stale": (1, ["d9"]), "orphaned": (3, ["d1", "d2", "d3"])}
    assert refused.refused
    assert "3 of 10 documents" in refused.refused
    assert refused.enqueued == 1  # the stale one: it was not refused
    assert not refused.healed
    filled.work()
    assert len(searchable(filled)) == 10
    repaired(filled, behind, force=True)
    assert len(searchable(filled)) == 7


def test_after_truncate_past_the_triggers_all_is_orphaned(filled: Collection, behind: Sql) -> None:
    behind.execute("TRUNCATE semsearch.documents")
    found = filled.verify(repair=True)
    assert found.differences["orphaned"].count == 10
    assert found.refused
    assert found.enqueued == 0
    repaired(filled, behind, force=True)
    assert searchable(filled) == {}


# What is not looked at


def test_documents_that_wait_for_a_worker_are_left_out(filled: Collection, sql: Sql) -> None:
    filled.put([Document("d1", "changed"), Document("new", "new")], wait=False)
    sql.execute("DELETE FROM semsearch.documents WHERE id = 'd2'")
    found = filled.verify(repair=True)
    assert found.clean
    assert (found.documents, found.waiting, found.enqueued) == (8, 2, 0)


def test_documents_that_failed_are_counted_and_left_to_failures(filled: Collection, provider: Provider) -> None:
    provider.rules(poison="POISON")
    with pytest.raises(Exception, match="could not be embedded"):
        filled.put([Document("d1", "POISON")])
    found = filled.verify(repair=True)
    assert found.clean
    assert (found.documents, found.failed, found.enqueued) == (9, 1, 0)


# Pages


@pytest.mark.parametrize(("documents", "bytes"), [(1, 10**6), (3, 10**6), (500, 1)])
def test_however_small_the_pages_everything_is_found(
    filled: Collection, behind: Sql, chunks: str, monkeypatch: pytest.MonkeyPatch, documents: int, bytes: int
) -> None:
    monkeypatch.setattr(verification, "PAGE", documents)
    monkeypatch.setattr(tasks, "READ_BYTES", bytes)
    behind.execute("UPDATE semsearch.documents SET text = 'other' WHERE id IN ('d0', 'd9')")
    behind.execute("DELETE FROM semsearch.documents WHERE id = 'd4'")
    behind.execute(f"DELETE FROM {chunks} WHERE document_id IN ('d3', 'd5')")
    found = filled.verify()
    assert kinds(found) == {"stale": (2, ["d0", "d9"]), "missing": (2, ["d3", "d5"]), "orphaned": (1, ["d4"])}
    assert found.documents == 9
    repaired(filled, behind)


def test_progress_is_told(filled: Collection) -> None:
    told: list[Any] = []
    filled.verify(on_progress=told.append)
    assert (told[-1].stage, told[-1].done, told[-1].total) == ("verify", 10, 10)


def test_no_transaction_is_open_while_documents_are_chunked(
    filled: Collection, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semsearch import embedding

    real: Callable[..., Any] = embedding.estimate
    idle: list[Any] = []

    def watched(*arguments: Any, **options: Any) -> Any:
        idle.append(
            sql.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND xact_start IS NOT NULL"
            ).fetchone()
        )
        return real(*arguments, **options)

    monkeypatch.setattr(embedding, "estimate", watched)
    filled.verify()
    assert idle == [(0,)]


def test_a_connection_that_is_cut_is_replaced(filled: Collection, behind: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    from semsearch import embedding

    monkeypatch.setattr(verification, "PAGE", 4)
    behind.execute("UPDATE semsearch.documents SET text = 'other' WHERE id = 'd9'")
    real: Callable[..., Any] = embedding.estimate

    def cut(*arguments: Any, **options: Any) -> Any:
        behind.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return real(*arguments, **options)

    monkeypatch.setattr(embedding, "estimate", cut)
    found = filled.verify()
    assert kinds(found) == {"stale": (1, ["d9"])}
    assert found.documents == 10
