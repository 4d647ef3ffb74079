"""The README's tours of text search in psql, of HTTP and of the roles are run as they stand."""

from __future__ import annotations

import io
import subprocess
import threading
from contextlib import redirect_stdout
from pathlib import Path

import httpx2
import psycopg
import pytest

import semsearch
from semsearch import web
from semsearch.answering import Answerer
from semsearch.store.server import binaries
from semsearch.web import server
from tests.integration.test_readme import block, rows, run

VECTORS = """king 1 0 1
queen 1 1 1
man 0 0 1
woman 0 1 1
the -0.1 0.1 0.1
a 0.1 -0.1 0.1
"""


@pytest.mark.model
def test_text_search_in_psql(
    database_url: str, model_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMSEARCH_DATABASE_URL", database_url)
    psql = [str(binaries.find() / "psql"), "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-At", "-d", database_url]
    with psycopg.connect(database_url) as connection:
        connection.execute(block("A table you already have", "sql"))
    with semsearch.connect() as db:
        db.attach(
            "library", "public.articles", text=["title", "body"], metadata=["author"], model=model_name, wait=True
        )
        with Answerer(db, threading.Event()):
            text = block("Text search in psql", "sql")
            done = subprocess.run(psql, input=text, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    first, similar = done.stdout.splitlines()[0], done.stdout.splitlines()[1:]
    assert first.startswith("CALL") and [line.split("|")[0] for line in similar] == ["1"]
    assert similar[0].endswith("|Ada")

    (tmp_path / "glove.txt").write_text(VECTORS)
    monkeypatch.chdir(tmp_path)
    shown = [run(line.removeprefix("$ "), database_url) for line in console("Text search in psql")]
    assert "queen" in shown[1]


@pytest.mark.model
def test_over_http(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMSEARCH_DATABASE_URL", database_url)
    with redirect_stdout(io.StringIO()):
        exec(block("In Python", "python"), {})
    make_key, serve = console("Over HTTP")
    key = run(make_key.removeprefix("$ "), database_url).split()[0]
    assert serve == "$ semsearch serve --workers-inline"
    shown = io.StringIO()
    # Of the README's own requests: whoever reads it has a machine to himself.
    monkeypatch.setattr(httpx2._config.DEFAULT_TIMEOUT_CONFIG, "read", 60.0)
    with (
        semsearch.connect() as db,
        server.running(db, web.Options(port=0, workers_inline=True, search_deadline=60.0)) as running,
        redirect_stdout(shown),
    ):
        exec(block("Over HTTP", "python"), {"url": running.url, "key": key})
    assert shown.getvalue() == "Lunch is at noon. exact True\n"


def test_roles(database_url: str) -> None:
    (line,) = console("Roles")
    shown = run(line.removeprefix("$ "), database_url)
    assert [name for (name, _) in rows("Roles") if name.strip("`") not in shown] == []


def console(title: str) -> list[str]:
    return block(title, "console").splitlines()
