"""`semsearch verify` as a user and a cron job meet it: what it prints, and its exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from semsearch import Document
from tests.integration.command_line import Cli, answer

Sql = psycopg.Connection[Any]


@pytest.fixture
def behind(database_url: str) -> Iterator[Sql]:
    """A connection whose writes no trigger sees."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


@pytest.fixture
def points(db: Any) -> Any:
    collection = db.create_collection("points", dimensions=2)
    collection.put([Document(id, f"text {id}", embedding=[1, 2]) for id in "abcdefghij"])
    return collection


def test_what_is_right_is_said_in_a_line(cli: Cli, points: Any) -> None:
    shown = cli("verify").out
    assert shown.startswith("points: 10 documents compared in ")
    assert shown.endswith(": all is right\n")
    assert shown.count("\n") == 1


def test_differences_are_listed_with_what_to_do_and_the_exit_code_is_1(cli: Cli, points: Any, behind: Sql) -> None:
    behind.execute("UPDATE semsearch.documents SET text = 'other' WHERE id IN ('b', 'c')")
    behind.execute("DELETE FROM semsearch.documents WHERE id = 'd'")
    shown = cli("verify", "points", code=1).out
    assert "3 differ" in shown
    assert "2 stale (have chunks that are not those of their text): b, c" in shown
    assert "1 orphaned (have chunks and are not in the source): d" in shown
    assert "Next: semsearch verify points --repair" in shown
    (found,) = answer(cli("verify", "--json", code=1))["collections"]
    assert found["differences"]["stale"] == {"count": 2, "examples": ["b", "c"]}
    assert (found["name"], found["clean"], found["documents"]) == ("points", False, 9)


def test_what_is_repaired_is_no_failure(cli: Cli, points: Any, behind: Sql) -> None:
    behind.execute("DELETE FROM semsearch.documents WHERE id = 'd'")
    assert "1 enqueued. Next: semsearch worker --until-idle" in cli("verify", "--repair").out
    cli("worker", "--until-idle")
    assert "all is right" in cli("verify").out


def test_a_mass_removal_is_refused_without_force(cli: Cli, points: Any, behind: Sql) -> None:
    behind.execute("TRUNCATE semsearch.documents")
    assert "refused: 10 of 10 documents would be removed" in cli("verify", "--repair", code=1).out
    assert "10 enqueued" in cli("verify", "--repair", "--force").out


def test_a_trigger_is_named_with_its_command(cli: Cli, points: Any, behind: Sql) -> None:
    behind.execute("ALTER TABLE semsearch.documents DISABLE TRIGGER documents_enqueue_insert")
    shown = cli("verify", "--repair", code=1).out
    assert "ALTER TABLE semsearch.documents ENABLE TRIGGER documents_enqueue_insert" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "says"), [(["point"], 3, "Did you mean 'points'?"), (["--force"], 2, "--repair")]
)
def test_a_wrong_call_says_what_is_wrong(cli: Cli, points: Any, arguments: list[str], code: int, says: str) -> None:
    assert says in cli("verify", *arguments, code=code).err
