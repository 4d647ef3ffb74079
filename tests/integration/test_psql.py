from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from semsearch.config import Settings, parse
from semsearch.store import psql
from semsearch.store.connection import Address


def test_psql_asks_the_database_in_use(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    with Address(settings) as address:
        assert psql.run(address, ["--no-psqlrc", "-Atc", "SELECT 6 * 7"]) == 0
    assert capfd.readouterr().out == "42\n"


def test_exit_status_is_psqls(settings: Settings) -> None:
    with Address(settings) as address:
        assert psql.run(address, ["--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-c", "SELEC"]) == 1


def test_password_is_not_among_the_arguments(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    assert settings.database_url
    url = make_conninfo(parse(settings.database_url.get_secret_value()), password="very secret")
    shown = "\\! tr '\\0' ' ' < /proc/$PPID/cmdline; echo; echo $PGPASSWORD"
    with Address(Settings(database_url=url, home=settings.home)) as address:
        assert psql.run(address, ["--no-psqlrc", "-c", shown]) == 0
    arguments, password = capfd.readouterr().out.splitlines()
    assert "--dbname=" in arguments
    assert "secret" not in arguments
    assert password == "very secret"


def test_the_wheels_psql_serves_where_there_is_no_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(psql.shutil, "which", lambda _: None)
    with Address(settings) as address:
        assert psql.run(address, ["--no-psqlrc", "-Atc", "SELECT 1"]) == 0
    assert capfd.readouterr().out == "1\n"


def test_ctrl_c_cancels_the_query_and_leaves_the_rest_to_psql(database_url: str) -> None:
    program = (
        "import sys; from semsearch.config import Settings; from semsearch.store import connection, psql\n"
        "with connection.Address(Settings(database_url=sys.argv[1])) as address:\n"
        "    sys.exit(psql.run(address, ['--no-psqlrc', '-c', 'SELECT pg_sleep(300)']))"
    )
    with (
        psycopg.connect(parse(database_url), autocommit=True) as watcher,
        subprocess.Popen(
            [sys.executable, "-c", program, database_url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        sleeping = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        while process.poll() is None and not watcher.execute(sleeping).fetchone():
            time.sleep(0.01)
        # As a terminal does: to everybody in it.
        os.killpg(process.pid, signal.SIGINT)
        errors = process.communicate()[1]
    assert "canceling statement due to user request" in errors
    assert "Traceback" not in errors
    assert process.returncode == 1  # psql's own, for a -c that failed
