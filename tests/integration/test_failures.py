"""Documents that were given up: seen, chosen, tried again, forgotten; in Python, in SQL and on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import IngestError
from semsearch.store import creation
from tests.integration.command_line import Cli, answer
from tests.integration.hands import inputs, searchable
from tests.provider import Provider

Sql = psycopg.Connection[Any]

FAIL = """
INSERT INTO semsearch.failures (collection_id, document_id, reason, attempts, failed_at)
SELECT id, %s, %s, 8, now() - %s::interval FROM semsearch.collections WHERE name = %s
"""


@pytest.fixture
def failing(notes: Collection, provider: Provider) -> Collection:
    """Of three documents two were refused by the provider, which takes them now."""
    provider.rules(poison="POISON")
    with pytest.raises(IngestError):
        notes.put([Document("a", "well"), Document("b", "POISON b"), Document("c", "POISON c")])
    provider.rules()
    return notes


def tasks(sql: Sql) -> list[Any]:
    return sql.execute("SELECT document_id, lane FROM semsearch.tasks ORDER BY document_id").fetchall()


def ids(collection: Collection, *arguments: Any, **options: Any) -> list[str]:
    return [failure.document_id for failure in collection.failures(*arguments, **options)]


def test_failures_say_what_was_given_up_and_why(failing: Collection) -> None:
    first, second = failing.failures()
    assert {first.document_id, second.document_id} == {"b", "c"}
    assert "invalid" in first.reason
    assert first.attempts >= 1
    assert first.failed_at.tzinfo is not None
    assert not first.waiting
    assert set(searchable(failing)) == {"a"}


def test_retried_documents_are_tasks_and_their_failures_stay_until_they_are_done(failing: Collection, sql: Sql) -> None:
    assert failing.retry() == 2
    assert tasks(sql) == [("b", 1), ("c", 1)]
    assert all(failure.waiting for failure in failing.failures())
    assert failing.retry() == 0  # they wait already
    failing.work()
    assert failing.failures() == []
    assert set(searchable(failing)) == {"a", "b", "c"}


def test_what_fails_again_stays_a_failure(failing: Collection, provider: Provider, sql: Sql) -> None:
    provider.rules(poison="POISON c")
    failing.retry()
    failing.work()
    assert ids(failing) == ["c"]
    assert tasks(sql) == []


def test_failures_are_chosen_by_document_reason_and_time(notes: Collection, sql: Sql) -> None:
    for id, reason, age in (
        ("old", "Timeout of 60 s", "2 days"),
        ("new", "a 100% timeout", "0"),
        ("other", "NaN", "1 h"),
    ):
        sql.execute(FAIL, (id, reason, age, "notes"))
    assert ids(notes) == ["new", "other", "old"]
    assert ids(notes, limit=1) == ["new"]
    assert ids(notes, "old") == ["old"]
    assert ids(notes, reason="timeout") == ["new", "old"]
    assert ids(notes, reason="0%") == ["new"]  # a part of the text, not a pattern
    assert ids(notes, since=timedelta(minutes=90)) == ["new", "other"]
    assert ids(notes, since=datetime.now(UTC) - timedelta(minutes=90)) == ["new", "other"]
    assert ids(notes, reason="timeout", since=timedelta(days=1)) == ["new"]
    assert notes.retry(reason="timeout", since=timedelta(days=1)) == 1
    assert [id for id, _ in tasks(sql)] == ["new"]
    assert notes.purge_failures(reason="timeout") == 2
    assert ids(notes) == ["other"]
    assert notes.purge_failures("nobody") == 0
    assert notes.purge_failures() == 1


def test_other_collections_are_left_alone(failing: Collection, model_db: Database, sql: Sql) -> None:
    model_db.create_collection("others", dimensions=2)
    sql.execute(FAIL, ("b", "other", "0", "others"))
    assert failing.retry("b") == 1
    assert failing.purge_failures() == 2
    assert ids(model_db.collection("others")) == ["b"]


def test_verify_finds_missing_what_was_forgotten(failing: Collection) -> None:
    assert failing.verify().failed == 2
    failing.purge_failures("b")
    found = failing.verify()
    assert (found.failed, found.differences["missing"].examples) == (1, ["b"])


def test_what_is_put_again_as_it_was_is_tried_again(failing: Collection, provider: Provider) -> None:
    asked = len(inputs(provider))
    told: list[int] = []
    again = [Document("a", "well"), Document("b", "POISON b"), Document("c", "POISON c")]
    report = failing.put(again, on_progress=lambda progress: told.append(progress.done))
    assert (told[0], told[-1]) == (1, 3)  # two were work to be done
    assert (report.unchanged, report.embedded, report.failed) == (3, 2, {})
    assert failing.failures() == []
    assert set(searchable(failing)) == {"a", "b", "c"}
    assert sorted(inputs(provider)[asked:]) == ["POISON b", "POISON c"]


def test_what_is_put_again_and_fails_again_is_told_again(failing: Collection, provider: Provider) -> None:
    provider.rules(poison="POISON")
    with pytest.raises(IngestError, match="'b'"):
        failing.put([Document("b", "POISON b")])
    assert ids(failing, "b") == ["b"]


def test_what_is_put_again_has_one_task(failing: Collection, sql: Sql) -> None:
    again = [Document("a", "well"), Document("b", "POISON b"), Document("c", "changed")]
    failing.put(again, wait=False)
    failing.put(again, wait=False)
    assert tasks(sql) == [("b", 0), ("c", 0)]
    failing.work()
    assert failing.failures() == []


def test_a_given_embedding_forgives_a_failure_without_a_task(failing: Collection, sql: Sql) -> None:
    failing.put([Document("b", "POISON b", embedding=[1.0] * 8)])
    assert tasks(sql) == []
    assert ids(failing) == ["c"]


# In SQL


def test_a_collection_is_not_dropped_beside_its_new_tasks(failing: Collection, model_db: Database, sql: Sql) -> None:
    """Or they would stay when it is gone."""
    with sql.transaction(), model_db.pools.writing.connect() as dropping:
        sql.execute("SELECT semsearch.retry('notes')")
        dropping.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        with pytest.raises(DBAPIError, match="lock timeout"):
            creation.drop(dropping, failing.space)
    model_db.drop_collection("notes")
    assert tasks(sql) == []


def test_the_view_names_the_collection(failing: Collection, sql: Sql) -> None:
    sql.execute("SELECT semsearch.retry('notes', 'b')")
    rows = sql.execute(
        "SELECT collection, document_id, waiting FROM semsearch.failed_documents ORDER BY document_id"
    ).fetchall()
    assert rows == [("notes", "b", True), ("notes", "c", False)]


def test_functions_retry_and_purge(failing: Collection, sql: Sql) -> None:
    assert sql.execute(
        "SELECT semsearch.retry('notes', reason => 'INVALID', since => now() - interval '1 h')"
    ).fetchone() == (2,)
    assert sql.execute("SELECT semsearch.purge_failures('notes', 'b')").fetchone() == (1,)
    assert sql.execute("SELECT semsearch.purge_failures('notes')").fetchone() == (1,)
    assert ids(failing) == []


@pytest.mark.parametrize("function", ["retry", "purge_failures"])
def test_a_function_refuses_a_collection_that_does_not_exist(model_db: Database, sql: Sql, function: str) -> None:
    with pytest.raises(psycopg.errors.NoDataFound, match="collection 'nots' does not exist"):
        sql.execute(f"SELECT semsearch.{function}('nots')".encode())


# On the command line


@pytest.fixture
def failed(db: Any, database_url: str) -> Any:
    """Two collections with failures of long ago and of now."""
    with psycopg.connect(database_url, autocommit=True) as sql:
        for name in ("notes", "others"):
            db.create_collection(name, dimensions=2)
            sql.execute(FAIL, ("a b", "a timeout \x1b[31m of the provider", "0", name))
            sql.execute(FAIL, ("c", "refused", "2 days", name))
    return db


def test_failures_are_listed(cli: Cli, failed: Any) -> None:
    shown = cli("failures", "list").out
    assert [line.split()[0] for line in shown.splitlines()[1:]] == ["notes", "notes", "others", "others"]
    listed = answer(cli("failures", "list", "--collection", "notes", "--like", "TIME", "--json"))["failures"]
    assert [(one["collection"], one["document_id"], one["attempts"]) for one in listed] == [("notes", "a b", 8)]
    assert len(answer(cli("failures", "list", "--since", "12h", "--json"))["failures"]) == 2
    assert "--limit shows more" in cli("failures", "list", "--limit", "1").out
    assert cli("failures", "list", "--like", "nothing of the kind").out == "no failures\n"


def test_one_failure_is_shown_with_what_to_do(cli: Cli, failed: Any) -> None:
    shown = cli("failures", "show", "notes", "a b").out
    assert "a timeout" in shown
    assert "semsearch failures retry --collection notes 'a b'" in shown
    assert answer(cli("failures", "show", "notes", "c", "--json"))["reason"] == "refused"
    assert "has not failed" in cli("failures", "show", "notes", "nobody", code=3).err


def test_failures_are_retried_and_purged(cli: Cli, failed: Any) -> None:
    assert cli("failures", "retry", "--like", "timeout").out.startswith("2 enqueued. Next: semsearch worker")
    assert cli("failures", "retry", "--collection", "notes", "a b", "c").out.startswith("1 enqueued")
    assert cli("failures", "purge", "--since", "1d", "--yes").out == "2 forgotten\n"
    assert cli("failures", "purge", "--collection", "notes", "c").out == "1 forgotten\n"
    assert len(answer(cli("failures", "list", "--json"))["failures"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["list", "--collection", "note"], 3, "Did you mean 'notes'?"),
        (["list", "--since", "yesterday"], 2, "12h"),
        (["retry", "c"], 2, "--collection"),
        (["purge"], 2, "--yes"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(cli: Cli, failed: Any, arguments: list[str], code: int, says: str) -> None:
    assert says in cli("failures", *arguments, code=code).err
