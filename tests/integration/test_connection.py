"""Connections: what is set on them, what begins a transaction, and what the watch costs and keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import Engine

from semsearch.config import Settings
from semsearch.store import connection
from semsearch.store.connection import Address
from semsearch.store.watchdog import Watched

CURRENT = "SELECT current_setting('jit'), current_setting('work_mem')"


@pytest.fixture
def address(settings: Settings) -> Iterator[Address]:
    with Address(settings) as opened:
        yield opened


@pytest.fixture
def watched(address: Address) -> Iterator[Watched]:
    with address.connect(vectors=False) as connected:
        yield connected


@pytest.mark.parametrize("make", [connection.engine, connection.search_engine])
def test_a_connection_in_use_while_its_pool_is_disposed_of_is_closed(
    address: Address, make: Callable[[Address], Engine]
) -> None:
    engine = make(address)
    with engine.connect() as used:
        raw = connection.driver(used)
        engine.dispose()
    assert raw.closed
    with engine.connect() as used:
        raw = connection.driver(used)
    assert not raw.closed
    engine.dispose()
    assert raw.closed


def test_the_first_connection_has_the_same_settings_as_the_others(address: Address) -> None:
    asked = "SELECT " + ", ".join(f"current_setting('{name}')" for name in connection.SEARCHING)
    found = []
    for _ in range(2):
        with address.connect(connection.SEARCHING, autocommit=True) as connected:
            found.append(connected.execute(asked).fetchone())
    assert found[0] == found[1]
    assert {"off", "force_custom_plan", "75", "relaxed_order"} < set(found[0] or ())


def test_every_connection_has_a_name_of_its_own(address: Address) -> None:
    with address.connect() as one, address.connect() as other:
        names = [each.execute("SELECT current_setting('application_name')").fetchone() for each in (one, other)]
        assert names == [(one.name,), (other.name,)]
    assert one.name != other.name


def test_a_users_own_options_are_kept(database_url: str, settings: Settings) -> None:
    url = f"{database_url}&options=-c%20work_mem%3D7MB"
    with Address(Settings(database_url=url, home=settings.home)) as address:
        for _ in range(2):
            with address.connect() as connected:
                assert connected.execute(CURRENT).fetchone() == ("off", "7MB")


# psycopg has no public way to add to BEGIN: should it change, these fail and not a search behind a pooler


def test_settings_hold_in_a_transaction_and_no_longer(watched: Watched) -> None:
    watched.settings = ["SET LOCAL jit = on", "SET LOCAL work_mem = '77kB'"]
    assert watched.execute(CURRENT).fetchone() == ("on", "77kB")
    watched.commit()
    watched.settings = ()
    assert watched.execute(CURRENT).fetchone() == ("off", watched.execute("SHOW work_mem").fetchone()[0])  # type: ignore[index]


def test_settings_hold_in_a_transaction_block_of_an_autocommit_connection(watched: Watched) -> None:
    watched.autocommit = True
    watched.settings = ["SET LOCAL work_mem = '77kB'"]
    with watched.transaction():
        assert watched.execute("SHOW work_mem").fetchone() == ("77kB",)
    assert watched.execute("SHOW work_mem").fetchone() != ("77kB",)


def test_settings_hold_where_many_statements_are_sent_at_once(watched: Watched) -> None:
    watched.settings = ["SET LOCAL work_mem = '77kB'"]
    watched.cursor().executemany("SELECT %s", [(1,), (2,)])
    assert watched.execute("SHOW work_mem").fetchone() == ("77kB",)


def test_settings_that_the_server_refuses_are_an_error(watched: Watched) -> None:
    watched.settings = ["SET LOCAL work_mem = 'much'"]
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        watched.execute("SELECT 1")
    watched.rollback()


def test_an_isolation_level_goes_with_settings(watched: Watched) -> None:
    watched.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    watched.settings = ["SET LOCAL work_mem = '77kB'"]
    assert watched.execute("SHOW transaction_isolation").fetchone() == ("serializable",)


# The watch


def test_a_statement_at_work_is_left_alone(watched: Watched) -> None:
    watched.silence = 0.05
    begun = time.monotonic()
    watched.execute("SELECT pg_sleep(0.5)")
    assert time.monotonic() - begun >= 0.5


def test_a_dead_connection_is_closed(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semsearch.store.watchdog.GRACE", 0.05)
    watched.silence, watched.is_at_work = 0.05, lambda _: False
    with pytest.raises(psycopg.OperationalError, match="has not answered"):
        watched.execute("SELECT pg_sleep(30)")
    assert watched.closed


@pytest.mark.parametrize("patient", [True, False])
def test_patience_counts_when_there_is_no_telling(
    watched: Watched, patient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semsearch.store.watchdog.GRACE", 0.05)
    watched.silence, watched.is_at_work, watched.patient = 0.05, lambda _: None, patient
    if patient:
        watched.execute("SELECT pg_sleep(0.5)")
    else:
        with pytest.raises(psycopg.OperationalError):
            watched.execute("SELECT pg_sleep(30)")


def test_a_lost_connection_does_not_come_back_from_the_pool(address: Address, caplog: pytest.LogCaptureFixture) -> None:
    pool = connection.search_engine(address)
    with pool.connect() as first:
        raw = connection.driver(first)
        with pytest.raises(psycopg.OperationalError):
            raw.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    with pool.connect() as second:
        assert connection.driver(second) is not raw
        assert connection.driver(second).execute("SELECT 1").fetchone() == (1,)
    pool.dispose()
    assert caplog.records == []


def test_an_answer_that_comes_while_it_is_asked_for_counts(watched: Watched) -> None:
    """The statement has ended meanwhile, so the server no longer works on it."""
    asked = []

    def asking(_: Watched) -> bool:
        asked.append(time.sleep(1.5))
        return False

    watched.silence, watched.is_at_work = 0.05, asking
    assert watched.execute("SELECT 'late' FROM pg_sleep(1)").fetchone() == ("late",)
    assert asked == [None]


def test_a_connection_is_found_at_work_and_idle(address: Address, watched: Watched) -> None:
    from semsearch.store import watchdog

    assert watchdog.ask(watched, address.conninfo or "") is False
    assert watchdog.backend(watched, watched.name) == watched.info.backend_pid
    assert watchdog.ask(watched, "host=127.0.0.1 port=1") is None or watched.info.host.startswith("/")
