"""How far collections are: the view, Python, the command line, and what the doctor makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from tests.integration.command_line import Cli, answer
from tests.integration.hands import MODEL

Sql = psycopg.Connection[Any]


def row(sql: Sql, columns: str, name: str = "notes") -> Any:
    return sql.execute(f"SELECT {columns} FROM semsearch.status WHERE name = %s".encode(), (name,)).fetchone()


def test_an_empty_collection_is_neither_covered_nor_uncovered(notes: Collection, sql: Sql) -> None:
    columns = "model, state, reason, documents, stored_documents, coverage, backlog, lag_seconds, leased, failed, rate"
    assert row(sql, columns) == (MODEL, "active", None, 0, 0, None, 0, 0, 0, 0, None)
    assert row(sql, "estimated_finish, index, bytes > 0") == (None, None, True)


def test_the_view_counts_what_waits_what_is_stored_and_what_is_leased(notes: Collection, hands: Any, sql: Sql) -> None:
    notes.put([Document(f"d{number}", "one two three four five six seven eight " * 5) for number in range(4)])
    notes.put([Document("d0", "changed"), Document("new", "new")], wait=False)
    sql.execute("UPDATE semsearch.tasks SET enqueued_at = now() - interval '90 seconds' WHERE document_id = 'new'")
    hands(notes).claim(1)
    assert row(sql, "documents, stored_documents, coverage, backlog, leased, failed") == (5, 4, 0.8, 2, 1, 0)
    assert row(sql, "lag_seconds BETWEEN 90 AND 600") == (True,)
    status = notes.status()
    assert (status.documents, status.stored_documents, status.coverage) == (5, 4, 0.8)
    assert (status.backlog, status.leased, status.failed) == (2, 1, 0)
    assert status.chunks > 4
    assert 90 <= status.lag_seconds < 600


def test_nearly_all_is_not_all(notes: Collection, sql: Sql) -> None:
    sql.execute(
        "INSERT INTO semsearch.documents (collection_id, id, text) SELECT %s, n, n FROM generate_series(1, 20001) n",
        (notes._space.collection_id,),
    )
    sql.execute(
        f"INSERT INTO semsearch.{notes._space.table_name} "
        "SELECT n, 0, 0, 1, '', '', '[1,2,3,4,5,6,7,8]', n, '{}' FROM generate_series(1, 20000) n"
    )
    assert row(sql, "coverage") == (0.9999,)
    assert notes.status().coverage == 0.9999


def test_the_rate_is_that_of_the_last_minutes_and_tells_when_all_will_be_done(notes: Collection, sql: Sql) -> None:
    notes.put([Document(f"d{number}", "text") for number in range(10)], wait=False)
    sql.execute("DELETE FROM semsearch.usage")
    usage = (
        "INSERT INTO semsearch.usage (collection_id, minute, worker, documents) "
        "VALUES (%s, now() - %s::interval, %s, %s)"
    )
    for ago, worker, documents in (("4 min", 1, 400), ("2 min", 1, 500), ("2 min", 2, 300), ("6 min", 1, 10**6)):
        sql.execute(usage, (notes._space.collection_id, ago, worker, documents))
    # 1,200 documents in 240 s, and the moment this takes; then 10 more take 2 s.
    assert row(sql, "rate BETWEEN 4 AND 5, estimated_finish - now() BETWEEN '2 s' AND '2.5 s'") == (True, True)
    status = notes.status()
    assert status.rate is not None
    assert 4 <= status.rate <= 5
    assert status.estimated_finish is not None


def test_the_index_is_named_when_it_is_valid(notes: Collection, sql: Sql) -> None:
    notes.put([Document("a", "a")])
    notes.create_index()
    assert row(sql, "index") == ("hnsw",)
    index = f"semsearch.{notes._space.table_name}_embedding"
    sql.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", (index,))
    assert row(sql, "index") == (None,)
    assert notes.status().index is None


def test_workers_are_shown_as_long_as_they_are_heard_of(notes: Collection, hands: Any, sql: Sql) -> None:
    notes.put([Document("a", "a")], wait=False)
    sql.execute("DELETE FROM semsearch.workers")
    sql.execute(
        "INSERT INTO semsearch.workers (number, host, process_id, version, seen_at) "
        "VALUES (900001, 'here', 1, '0.1.0', now()), (900002, 'there', 2, '0.1.0', now() - interval '61 seconds')"
    )
    hands(notes).claim()
    sql.execute("UPDATE semsearch.leases SET worker = 900001")
    assert sql.execute("SELECT number, host, leased FROM semsearch.live_workers WHERE number > 900000").fetchall() == [
        (900001, "here", 1)
    ]
    sql.execute("DELETE FROM semsearch.workers")


def test_a_collection_dropped_meanwhile_is_not_found(notes: Collection, model_db: Database) -> None:
    from semsearch.errors import NotFound

    model_db.drop_collection("notes")
    with pytest.raises(NotFound):
        notes.status()


# On the command line


@pytest.fixture
def sql_here(database_url: str) -> Iterator[Sql]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def points(db: Any) -> Any:
    collection = db.create_collection("points", dimensions=2)
    collection.put([Document(id, id, embedding=[1, 2]) for id in "abcd"])
    return collection


def test_status_tells_of_one_and_of_all(cli: Cli, points: Any, sql_here: Sql) -> None:
    sql_here.execute("UPDATE semsearch.documents SET text = 'other' WHERE id = 'a'")
    sql_here.execute(f"DELETE FROM semsearch.{points._space.table_name} WHERE document_id = 'a'")
    one = answer(cli("status", "points", "--json"))
    assert (one["documents"], one["stored_documents"], one["coverage"], one["backlog"]) == (4, 3, 0.75, 1)
    shown = cli("status", "points").out
    assert "3 (75.0 %), 3 chunks" in shown
    assert "Nobody works on points. Next: semsearch worker" in shown
    (line,) = [line for line in cli("status").out.splitlines() if line.startswith("points")]
    assert "75.0 %" in line
    assert answer(cli("status", "--json"))["collections"] == [
        {**one, "lag_seconds": pytest.approx(one["lag_seconds"], abs=60)}
    ]


def test_status_says_why_a_collection_is_blocked(cli: Cli, points: Any, sql_here: Sql) -> None:
    sql_here.execute("UPDATE semsearch.collections SET state = 'blocked', reason = 'the key was refused: set another.'")
    for shown in (cli("status").out, cli("status", "points").out):
        assert "points is blocked: the key was refused: set another. Workers try again" in shown


def doctor(cli: Cli) -> dict[str, tuple[str, str, str]]:
    checks = answer(cli("doctor", "--json"))["checks"]
    return {check["name"]: (check["state"], check["found"], check["advice"]) for check in checks}


def test_the_doctor_finds_contents_in_order(cli: Cli, points: Any) -> None:
    found = doctor(cli)
    assert {found[name][0] for name in ("collections", "triggers", "indexes", "failures", "workers")} == {"ok"}


def test_the_doctor_warns_of_whatever_keeps_collections_from_being_complete(
    cli: Cli, points: Any, sql_here: Sql
) -> None:
    points.create_index()
    sql_here.execute("UPDATE semsearch.documents SET text = 'other' WHERE id = 'a'")
    sql_here.execute("UPDATE semsearch.collections SET state = 'blocked', reason = 'why'")
    sql_here.execute("ALTER TABLE semsearch.documents DISABLE TRIGGER documents_enqueue_insert")
    sql_here.execute("INSERT INTO semsearch.failures SELECT id, 'b', 'why', 8 FROM semsearch.collections")
    sql_here.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'semsearch.chunks_1_embedding'::regclass"
    )
    sql_here.execute("DELETE FROM semsearch.workers")
    found = doctor(cli)
    for name, says, advice in (
        ("collections", "blocked: points: why", "workers try again"),
        (
            "triggers",
            "documents_enqueue_insert",
            "ALTER TABLE semsearch.documents ENABLE TRIGGER documents_enqueue_insert",
        ),
        ("indexes", "invalid: chunks_1_embedding", "semsearch verify points --repair"),
        ("failures", "1 of points", "semsearch failures list"),
        ("workers", "points", "semsearch worker"),
    ):
        assert found[name][0] == "warn"
        assert says in found[name][1]
        assert advice in found[name][2]
