"""`semsearch worker` as a process: how it is stopped, and what happens when it dies or the database goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from semsearch import Document
from semsearch.collection import Collection
from semsearch.config import parse
from tests.integration.hands import searchable
from tests.integration.working import until
from tests.provider import Provider

Sql = psycopg.Connection[Any]
SLOW = {"fault": "slow", "seconds": 8}
LIMIT = 90  # seconds for what only a fault makes wait: the start of Python takes long on a busy machine
HANGS = {"fault": "hang", "seconds": 60}


class Process:
    """A running worker and the lines of its log, as they come."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        command = [sys.executable, "-m", "semsearch", "worker", "--log-format", "json", *arguments]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        self.lines.extend(self.process.stderr)

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.log if line["event"] == name]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Its exit code, once it has ended by itself."""
        code = self.process.wait(LIMIT)
        self._reader.join(LIMIT)
        return code


Start = Callable[..., Process]


@pytest.fixture
def start(notes: Collection, module_database_url: str, provider: Provider, tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []
    environment = {
        **os.environ,
        "SEMSEARCH_DATABASE_URL": module_database_url,
        "SEMSEARCH_HOME": str(tmp_path),
        "OPENAI_API_KEY": "sk-canary",
        "OPENAI_BASE_URL": provider.url,
    }

    def make(*arguments: str, **variables: str) -> Process:
        started.append(Process(environment | variables, "--concurrency", "1", *arguments))
        return started[-1]

    yield make
    for each in started:
        each.process.kill()
        each.process.wait()
        assert each.process.stderr
        each._reader.join(LIMIT)
        each.process.stderr.close()
        print(*each.lines, sep="")  # shown when the test failed


def put(collection: Collection, count: int) -> None:
    collection.put([Document(f"d{number:03}", f"text {number}") for number in range(count)], wait=False)


def count(sql: Sql, table: str) -> int:
    row = sql.execute(f"SELECT count(*) FROM semsearch.{table}").fetchone()
    assert row
    return int(row[0])


def asked(provider: Provider) -> Callable[[], bool]:
    """Whether texts have been sent, besides the one by which a model is tried."""
    return lambda: any(len(call["inputs"]) > 1 for call in provider.calls)


def test_told_to_stop_it_stores_what_the_model_has_and_gives_the_rest_back(
    start: Start, notes: Collection, provider: Provider, sql: Sql
) -> None:
    put(notes, 300)  # a claim of 256, and one of 44
    provider.script({"fault": "none"}, SLOW)
    worker = start()
    until(asked(provider))
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0
    assert len(searchable(notes)) == 256
    assert (count(sql, "tasks"), count(sql, "leases"), count(sql, "workers")) == (44, 0, 0)
    told = [event["event"] for event in worker.log]
    # Roles are the server's: those of another test may be a risk to this worker, which says so.
    assert [event for event in told if event not in ("stored", "unsafe")] == ["working", "draining", "stopped"]
    assert "sk-canary" not in "".join(worker.lines)


def test_what_takes_longer_than_the_grace_is_given_back(
    start: Start, notes: Collection, provider: Provider, sql: Sql
) -> None:
    put(notes, 3)
    provider.script({"fault": "none"}, HANGS)
    worker = start("--grace", "0.1")
    until(asked(provider))
    worker.signal(signal.SIGINT)
    assert worker.end() == 0
    assert (count(sql, "tasks"), count(sql, "leases")) == (3, 0)


def test_the_second_signal_ends_it_at_once_and_another_worker_goes_on(
    start: Start, notes: Collection, provider: Provider
) -> None:
    put(notes, 3)
    provider.script({"fault": "none"}, HANGS)
    worker = start("--grace", "600")
    until(asked(provider))
    worker.signal(signal.SIGTERM)
    until(lambda: bool(worker.events("draining")))
    worker.signal(signal.SIGTERM)
    assert worker.end() == 128 + signal.SIGTERM
    provider.reset()
    assert start("--until-idle").end() == 0
    assert len(searchable(notes)) == 3


def test_a_running_worker_takes_over_from_one_that_was_killed(
    start: Start, notes: Collection, provider: Provider, sql: Sql
) -> None:
    put(notes, 3)
    provider.script({"fault": "none"}, HANGS)
    killed = start()
    until(asked(provider))
    other = start()
    until(lambda: bool(other.events("working")))
    killed.signal(signal.SIGKILL)
    assert killed.end() == -signal.SIGKILL
    lasting = "UPDATE semsearch.leases SET expires_at = now() + interval '30 min' WHERE worker = %s "
    sql.execute(f"{lasting} AND expires_at > now()", (killed.events("working")[0]["worker"],))
    until(lambda: len(searchable(notes)) == 3)  # it need not expire


def test_a_database_that_goes_away_is_waited_for(
    start: Start, notes: Collection, module_database_url: str, server_conninfo: str
) -> None:
    worker = start()
    until(lambda: bool(worker.events("working")))
    name = conninfo.conninfo_to_dict(parse(module_database_url))["dbname"]
    with psycopg.connect(conninfo.make_conninfo(server_conninfo, dbname="postgres"), autocommit=True) as administrator:
        administrator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            administrator.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            until(lambda: bool(worker.events("database_unavailable")))
        finally:
            administrator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    until(lambda: bool(worker.events("database_available")))
    put(notes, 3)
    until(lambda: len(searchable(notes)) == 3)
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0
    assert len(worker.events("database_unavailable")) == 1


def test_once_the_database_lets_it_in_the_log_says_so(
    start: Start, notes: Collection, module_database_url: str, server_conninfo: str
) -> None:
    name = conninfo.conninfo_to_dict(parse(module_database_url))["dbname"]
    with psycopg.connect(conninfo.make_conninfo(server_conninfo, dbname="postgres"), autocommit=True) as administrator:
        administrator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            worker = start()
            until(lambda: bool(worker.events("database_unavailable")))
        finally:
            administrator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    until(lambda: bool(worker.events("database_available")))
    assert len(worker.events("database_unavailable")) == 1


def test_a_wrong_database_ends_it_with_one_sentence(start: Start, module_database_url: str) -> None:
    worker = start(SEMSEARCH_DATABASE_URL=f"{module_database_url}_wrong")
    assert worker.end() == 5
    assert [line for line in worker.lines if "error:" in line] == worker.lines
    assert len(worker.lines) == 1


def test_the_log_tells_of_every_portion_in_fields(start: Start, notes: Collection) -> None:
    put(notes, 3)
    worker = start("--once")
    assert worker.end() == 0
    (line,) = worker.events("stored")
    assert (line["level"], line["collection"], line["documents"], line["embedded"]) == ("info", "notes", 3, 3)
    assert line["ts"].endswith("Z")


def test_a_database_that_is_not_there_yet_is_waited_for(start: Start) -> None:
    """Services start in any order; who wants the work to end hears that there is no database."""
    away = "postgresql://nobody@127.0.0.1:1/nothing"
    worker = start(SEMSEARCH_DATABASE_URL=away)
    until(lambda: bool(worker.events("database_unavailable")))
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0
    assert start("--until-idle", SEMSEARCH_DATABASE_URL=away).end() == 5
