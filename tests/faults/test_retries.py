"""What is tried again, how often, for how long, and what is said at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from pydantic import SecretStr
from sqlalchemy import Connection, text

import semsearch
from semsearch import Document, Settings
from semsearch.config import parse
from semsearch.database import Database
from semsearch.errors import DatabaseUnavailable
from semsearch.store import connection, transactions
from semsearch.store.transactions import in_transaction
from tests.faults.cluster import PgCluster
from tests.provider import Provider


def failing(times: int, error: Callable[[], Exception]) -> tuple[list[int], Callable[[Connection], str]]:
    tries: list[int] = []

    def action(within: Connection) -> str:
        tries.append(len(tries))
        if len(tries) <= times:
            raise error()
        return "done"

    return tries, action


@pytest.mark.parametrize(
    "error", [psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable]
)
def test_conflicts_are_tried_again_twenty_times(
    db: Database, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "CONFLICT_PAUSE", 0.0001)
    tries, action = failing(20, error)
    assert in_transaction(db._pools.writing, action) == "done"
    assert len(tries) == 21
    tries, action = failing(21, error)
    with pytest.raises(error):
        in_transaction(db._pools.writing, action)


def test_other_errors_are_not_tried_again(db: Database) -> None:
    tries, action = failing(1, psycopg.errors.UniqueViolation)
    with pytest.raises(psycopg.errors.UniqueViolation):
        in_transaction(db._pools.writing, action)
    assert len(tries) == 1


def test_a_lock_that_is_not_to_be_had_is_waited_for(
    db: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "CONFLICT_TRIES", 1000)
    third = threading.Event()
    tries: list[int] = []

    def action(within: Connection) -> None:
        tries.append(1)
        if len(tries) == 3:
            third.set()
        within.execute(text("SET LOCAL lock_timeout = '10ms'"))
        within.execute(text("LOCK TABLE semsearch.documents"))

    with psycopg.connect(parse(database_url)) as user:
        user.execute("LOCK TABLE semsearch.documents")
        waiting = threading.Thread(target=in_transaction, args=(db._pools.writing, action))
        waiting.start()
        assert third.wait(60)
    waiting.join()
    assert len(tries) >= 3


def test_a_server_that_starts_again_is_waited_for(
    cluster: PgCluster,
    provider: Provider,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transactions._Patience, "told", -transactions.PATIENCE)
    settings = Settings(
        database_url=cluster.url("semsearch"),
        home=tmp_path / "home",
        openai_api_key=SecretStr("sk-test"),
        openai_base_url=provider.url,
    )
    with semsearch.connect(settings=settings) as opened:
        notes = opened.create_collection("notes", model="openai:test-model")
        starting = threading.Timer(0.5, cluster.start)

        def goes_down() -> Iterator[Document]:
            yield from (Document(f"n{number}", f"note {number}") for number in range(5))
            cluster.kill()
            starting.start()

        assert notes.put(goes_down()).added == 5
        starting.join()
        assert notes.status().chunks == 5
    assert sum(record.name == transactions.__name__ for record in caplog.records) <= 1


def test_a_server_that_is_full_is_waited_for(make_cluster: Any, tmp_path: Path) -> None:
    cluster = make_cluster(max_connections="5", superuser_reserved_connections="0")
    with connection.Address(Settings(database_url=cluster.url("semsearch"))) as address:
        assert not address.pooled
        writing = connection.engine(address)
        others: list[psycopg.Connection[Any]] = []
        while len(others) < 5:
            with suppress(psycopg.OperationalError):  # the server frees the place of who has left a moment later
                others.append(cluster.connect())
        with pytest.raises(DatabaseUnavailable, match="too many clients"):
            address.connect()
        leaving = threading.Timer(0.5, lambda: [other.close() for other in others])
        leaving.start()
        assert in_transaction(writing, lambda within: within.execute(text("SELECT 1")).scalar()) == 1
        leaving.join()
        writing.dispose()


@pytest.mark.parametrize(
    ("change", "words"), [(("only-for-tests", "wrong"), "authentication"), (("/semsearch", "/nowhere"), "nowhere")]
)
def test_a_wrong_password_or_database_is_said_at_once(
    cluster: PgCluster, tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    url = cluster.url("semsearch").replace(*change)
    with pytest.raises(DatabaseUnavailable, match=words):
        semsearch.connect(url, settings=Settings(home=tmp_path / "home"))
    with connection.Address(Settings(database_url=url)) as address:
        tries: list[int] = []
        with pytest.raises(DatabaseUnavailable, match=words):
            in_transaction(connection.engine(address), lambda _: tries.append(1))
    assert tries == []


def test_patience_ends(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "PATIENCE", 0.3)
    nobody = sqlalchemy.create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(sqlalchemy.exc.OperationalError, match="refused"):
        in_transaction(nobody, lambda _: None)
