"""The network between us and the database is slow, silent, cut in the middle of something: nothing is lost or twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, text

import semsearch
from semsearch import Document, Settings
from semsearch.cli import main
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import DatabaseUnavailable
from semsearch.store import connection, leases, watchdog
from semsearch.store.transactions import in_transaction
from tests.faults.cluster import PgCluster
from tests.faults.proxy import Proxy
from tests.faults.waiting import until
from tests.provider import Provider

NOTICED = 30.0  # seconds, the promise; the tests run with a shorter silence


@pytest.fixture
def proxy(module_cluster: PgCluster) -> Iterator[Proxy]:
    with Proxy(module_cluster.port) as running:
        yield running


@pytest.fixture
def settings(module_cluster: PgCluster, database: str, proxy: Proxy, provider: Provider, tmp_path: Path) -> Settings:
    return Settings(
        database_url=module_cluster.url(database, port=proxy.port),
        home=tmp_path / "home",
        openai_api_key=SecretStr("sk-test"),
        openai_base_url=provider.url,
    )


@pytest.fixture
def db(settings: Settings) -> Iterator[Database]:
    with semsearch.connect(settings=settings) as opened:
        yield opened


@pytest.fixture
def notes(db: Database) -> Collection:
    return db.create_collection("notes", model="openai:test-model", chunk_size=16, chunk_overlap=0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is noticed soon. Who can answer has all the time that a busy machine may need."""
    monkeypatch.setattr(watchdog, "SILENCE", 0.5)
    monkeypatch.setattr(watchdog, "ANSWER", 10.0)
    monkeypatch.setattr(watchdog, "GRACE", 0.2)


@pytest.fixture
def hasty(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """And that nobody answers, too: for tests in which new connections are swallowed as well."""
    monkeypatch.setattr(watchdog, "ANSWER", 1.0)
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT", 2)


@pytest.fixture
def user(module_cluster: PgCluster, database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection that does not go through the proxy."""
    with module_cluster.connect(database) as connected:
        yield connected


def numbered(count: int, version: int = 0) -> list[Document]:
    return [Document(f"n{number}", f"Note {number} in version {version}.") for number in range(count)]


def stored(user: psycopg.Connection[Any], collection: Collection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for id, body in user.execute(f"SELECT document_id, text FROM collections.{collection.name} ORDER BY 1, ordinal"):
        found.setdefault(id, []).append(body)
    return found


def nothing_waits(user: psycopg.Connection[Any]) -> None:
    """No task, no lease, no failure."""
    counts = user.execute(
        "SELECT (SELECT count(*) FROM semsearch.tasks), (SELECT count(*) FROM semsearch.leases),"
        " (SELECT count(*) FROM semsearch.failures)"
    ).fetchone()
    assert counts == (0, 0, 0)


def nothing_left(user: psycopg.Connection[Any]) -> None:
    """And no transaction that somebody left open."""
    nothing_waits(user)
    asked = (
        "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
    )
    # The server may just be about to notice; long before its own limit for idle transactions.
    until(lambda: user.execute(asked).fetchall() == [], 10)


def test_worst_of_silence_is_noticed_in_time() -> None:
    assert watchdog.SILENCE + 2 * (watchdog.ANSWER + watchdog.GRACE) < NOTICED


def test_a_slow_network_is_only_slow(notes: Collection, proxy: Proxy, user: psycopg.Connection[Any]) -> None:
    proxy.to_server.latency = proxy.to_client.latency = 0.01
    proxy.to_server.bandwidth = 2**20
    assert notes.put(numbered(20)).added == 20
    assert notes.search("Note 7 in version 0.", top_k=1)[0].document_id == "n7"
    assert len(stored(user, notes)) == 20
    nothing_left(user)


def test_a_search_is_one_round_trip(db: Database, proxy: Proxy) -> None:
    points = db.create_collection("points", dimensions=8)
    points.put([Document(f"p{at}", "point", embedding=[at + 1] * 8) for at in range(100)])
    points.create_index()
    for top_k in (1, 50):  # the second asks for more candidates than the session's setting, for itself only
        points.search(embedding=[1.0] * 8, top_k=top_k)
        proxy.to_client.latency = 3.0  # what is sent until then waits for no answer
        before = proxy.round_trips
        assert points.search(embedding=[1.0] * 8, top_k=top_k).plan == "ann"
        assert proxy.round_trips == before + 1
        proxy.to_client.latency = 0.0


# Nobody at the other end


def test_a_connection_that_swallows_all_is_replaced(
    notes: Collection,
    proxy: Proxy,
    user: psycopg.Connection[Any],
    impatient: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    notes.put(numbered(3))
    notes.search("Note 1", top_k=1)
    proxy.swallow_existing()
    begun = time.monotonic()
    assert len(notes.search("Note 2", top_k=3)) == 3
    assert notes.put(numbered(3, version=1)).changed == 3
    assert time.monotonic() - begun < NOTICED
    assert stored(user, notes) == {f"n{number}": [f"Note {number} in version 1."] for number in range(3)}
    assert caplog.records == []  # neither we nor SQLAlchemy complain of what was put right at once


def test_a_search_into_a_black_hole_ends_with_an_error(notes: Collection, proxy: Proxy, hasty: None) -> None:
    notes.search(embedding=[1.0] * 8, top_k=1)
    proxy.black_hole()
    begun = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        notes.search(embedding=[1.0] * 8, top_k=1)
    assert time.monotonic() - begun < NOTICED
    proxy.heal()
    assert notes.search(embedding=[1.0] * 8, top_k=1).plan == "exact"


def test_an_ingest_outlives_a_black_hole(
    notes: Collection, proxy: Proxy, provider: Provider, user: psycopg.Connection[Any], hasty: None
) -> None:
    provider.rules(always={"fault": "slow", "seconds": 0.3})
    healing = threading.Timer(3, proxy.heal)

    def falls_silent() -> Iterator[Document]:
        yield from numbered(20)
        proxy.black_hole()
        healing.start()

    report = notes.put(falls_silent())
    healing.join()
    assert (report.added, report.failed) == (20, {})
    assert stored(user, notes) == {f"n{number}": [f"Note {number} in version 0."] for number in range(20)}
    nothing_left(user)


def test_a_worker_outlives_a_black_hole(
    notes: Collection,
    settings: Settings,
    proxy: Proxy,
    provider: Provider,
    user: psycopg.Connection[Any],
    hasty: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settings.database_url
    monkeypatch.setenv("SEMSEARCH_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("SEMSEARCH_OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("SEMSEARCH_OPENAI_BASE_URL", provider.url)
    notes.put(numbered(300), wait=False)
    provider.rules(always={"fault": "slow", "seconds": 1})  # so that no lease comes and goes between two looks
    healing = threading.Timer(3, proxy.heal)

    def fall_silent() -> None:
        until(lambda: user.execute("SELECT FROM semsearch.leases LIMIT 1").rowcount == 1)
        proxy.black_hole()
        healing.start()

    falling = threading.Thread(target=fall_silent)
    falling.start()
    assert main(["worker", "--until-idle"]) == 0
    falling.join()
    healing.join()
    assert len(stored(user, notes)) == 300
    nothing_waits(user)


def test_a_heartbeat_finds_another_connection(db: Database, proxy: Proxy, user: Any, impatient: None) -> None:
    seen = "SELECT max(seen_at) FROM semsearch.workers"
    with leases.Worker(db._pools.address, lease=0.6):
        proxy.swallow_existing()
        before = user.execute(seen).fetchone()
        begun = time.monotonic()
        while user.execute(seen).fetchone() == before:
            assert time.monotonic() - begun < NOTICED
            time.sleep(0.05)


def test_a_statement_that_waits_for_a_lock_is_not_cut(
    notes: Collection, user: psycopg.Connection[Any], impatient: None
) -> None:
    notes.put(numbered(3))
    putting = threading.Thread(target=notes.put, args=(numbered(3, version=1),))
    with user.transaction():
        user.execute("SELECT FROM semsearch.documents FOR UPDATE")
        putting.start()
        asked = "SELECT pid FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
        until(lambda: user.execute(asked).rowcount == 1)
        waiting = user.execute(asked).fetchall()
        begun = time.monotonic()
        while time.monotonic() - begun < 2:  # four times the silence
            assert user.execute(asked).fetchall() == waiting, "the statement was given up"
            time.sleep(0.01)
    putting.join()
    assert stored(user, notes)["n1"] == ["Note 1 in version 1."]


def test_what_was_left_at_the_other_end_is_ended(
    db: Database, proxy: Proxy, user: psycopg.Connection[Any], impatient: None
) -> None:
    """Its transaction would hold its locks for as long as the server believes in the connection: hours."""
    user.execute("CREATE TABLE counted (number int)")
    user.execute("INSERT INTO counted VALUES (0)")
    tries = []

    def count(within: Connection) -> None:
        within.execute(text("UPDATE counted SET number = number + 1"))
        tries.append(within)
        if len(tries) == 1:
            proxy.swallow_existing()

    in_transaction(db._pools.writing, count)
    assert len(tries) == 2
    assert user.execute("SELECT number FROM counted").fetchone() == (1,)
    nothing_left(user)


# Cut in the middle


def test_putting_and_embedding_are_cut_every_two_kilobytes(
    db: Database, proxy: Proxy, user: psycopg.Connection[Any]
) -> None:
    """Of 45 kB of documents, and of their chunks, both in COPY."""
    notes = db.create_collection("long", model="openai:test-model")
    for cut in range(24):
        text = f"{cut} " + "word " * 180
        for run in (
            lambda: notes.put([Document(f"n{at}", f"{at} {text}") for at in range(50)], wait=False),
            notes.work,
        ):
            proxy.reset()
            proxy.to_server.cut_after, proxy.to_server.cuts_left = 4000 + cut * 2000, 1
            run()
            assert proxy.to_server.cuts_left == 0
            proxy.heal()
        assert {id: parts[0].split()[:2] for id, parts in stored(user, notes).items()} == {
            f"n{at}": [str(at), str(cut)] for at in range(50)
        }
    nothing_left(user)


def test_a_reset_connection_is_replaced(notes: Collection, proxy: Proxy, user: psycopg.Connection[Any]) -> None:
    notes.put(numbered(2))
    for version in range(1, 6):
        proxy.reset()
        assert notes.put(numbered(2, version)).changed == 2
        proxy.half_close()
        assert len(notes.search(f"Note 1 in version {version}", top_k=2)) == 2
    assert stored(user, notes)["n1"] == ["Note 1 in version 5."]
    nothing_left(user)


# The answer to a COMMIT is lost: nobody knows whether it happened

LOST = 60


def test_lost_answers_to_commits_lose_and_double_nothing(
    notes: Collection, proxy: Proxy, provider: Provider, user: psycopg.Connection[Any]
) -> None:
    proxy.lose_answer_to = b"COMMIT"
    version = lost = 0
    while lost < LOST:
        version += 1
        proxy.answers_to_lose = 4
        report = notes.put(numbered(5, version))
        lost += 4 - proxy.answers_to_lose
        # What was committed counts as done, although nobody said so.
        assert (report.added + report.changed, report.chunks, report.failed) == (5, 5, {})
        assert stored(user, notes) == {f"n{at}": [f"Note {at} in version {version}."] for at in range(5)}
        nothing_left(user)
    asked = [text for call in provider.calls for text in call["inputs"] if "version" in text]
    assert len(asked) == len(set(asked)) == 5 * version  # and nothing was paid twice


def test_commits_that_never_arrived_are_made_up_for(
    notes: Collection, proxy: Proxy, user: psycopg.Connection[Any]
) -> None:
    proxy.to_server.cut_on = b"COMMIT"
    for version in range(10):
        proxy.to_server.cuts_left = 3
        report = notes.put(numbered(5, version))
        assert proxy.to_server.cuts_left == 0
        assert (report.added + report.changed, report.chunks) == (5, 5)
        assert stored(user, notes) == {f"n{at}": [f"Note {at} in version {version}."] for at in range(5)}
        nothing_left(user)
