"""A transcript of plain psql, and of a worker beside it: what a database admin types, and what he is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from semsearch.database import Database
from semsearch.store.server import binaries
from tests.integration.hands import MODEL
from tests.integration.working import until
from tests.provider import Provider

Sql = psycopg.Connection[Any]
Psql = Callable[..., str]

SHOP = """
CREATE TABLE shop.articles (id int PRIMARY KEY, title text NOT NULL, body text NOT NULL, price numeric);
INSERT INTO shop.articles VALUES
    (1, 'Lamp', 'a lamp for the desk', 30), (2, 'Chair', 'a chair for the office', 80), (3, 'Rug', 'a red rug', 55);
"""


@pytest.fixture
def psql(module_database_url: str) -> Psql:
    """Runs what is typed, statement by statement as psql sends it; returns what is shown, errors included."""
    program = shutil.which("psql") or str(binaries.find() / "psql")
    command = [program, "--no-psqlrc", "-q", "-At", "-F", " | ", "-d", module_database_url]

    def run(typed: str, *, one_string: bool = False) -> str:
        how = ["-c", typed] if one_string else ["-f", "-"]
        done = subprocess.run(
            [*command, *how], input=None if one_string else typed, capture_output=True, text=True, timeout=120
        )
        return done.stdout + done.stderr

    return run


@pytest.fixture
def worker(model_db: Database, module_database_url: str, provider: Provider) -> Iterator[subprocess.Popen[bytes]]:
    """`semsearch worker`, as whoever runs the service started it."""
    environment = {
        **os.environ,
        "SEMSEARCH_DATABASE_URL": module_database_url,
        "SEMSEARCH_OPENAI_API_KEY": "sk-test",
        "SEMSEARCH_OPENAI_BASE_URL": provider.url,
    }
    process = subprocess.Popen([sys.executable, "-m", "semsearch", "worker"], env=environment, stderr=subprocess.PIPE)
    yield process
    process.terminate()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 0, said


def test_a_table_becomes_searchable_and_is_asked(
    model_db: Database, shop: Sql, psql: Psql, worker: subprocess.Popen[bytes]
) -> None:
    model_db.create_collection("handbook", model=MODEL, chunk_size=0)
    assert psql(SHOP) == ""
    columns = "text => '{body}', title => 'title', metadata => '{price}'"
    assert psql(f"SELECT semsearch.attach('handbook', 'shop.articles', {columns});") == "\n"
    status = "SELECT documents, coverage, backlog, failed FROM semsearch.status WHERE name = 'handbook';"
    until(lambda: psql(status) in ("3 | 1 | 0 | 0\n", "0 | 1 | 0 | 0\n"))

    assert psql("CALL semsearch.embed('handbook', 'a red rug', '60 s');") == ""
    found = psql(
        "SELECT a.title, a.price, round(h.distance::numeric, 4) >= 0 "
        "FROM semsearch.search('handbook', 'a red rug', 2, '$.price < 70') h "
        "JOIN shop.articles a ON a.id = h.document_id::int ORDER BY a.title;"
    )
    assert found == "Lamp | 30 | t\nRug | 55 | t\n"
    assert len(psql("SELECT document_id FROM semsearch.similar('handbook', '1');").split()) == 2
    assert psql("SELECT text FROM collections.handbook WHERE document_id = '3';") == "a red rug\n"

    psql("UPDATE shop.articles SET body = 'a blue rug' WHERE id = 3; DELETE FROM shop.articles WHERE id = 1;")
    until(lambda: psql("SELECT text FROM collections.handbook ORDER BY 1;") == "a blue rug\na chair for the office\n")
    seen = "SELECT number > 0, leased FROM semsearch.live_workers; SELECT * FROM semsearch.failed_documents;"
    until(lambda: psql(seen) == "t | 0\n")
    spaces = (
        "SELECT collection, model, dimensions, distance FROM semsearch.collection_spaces WHERE collection = 'handbook';"
    )
    assert psql(spaces) == f"handbook | {MODEL} | 8 | cosine\n"
    assert psql("SELECT semsearch.detach('handbook'); SELECT count(*) FROM collections.handbook;").startswith("\n0\n")


def test_documents_of_ones_own(model_db: Database, psql: Psql, worker: subprocess.Popen[bytes]) -> None:
    model_db.create_collection("notes", model=MODEL)
    psql("SELECT semsearch.put('notes', 'a1', 'The library opens at nine.', '{\"lang\": \"en\"}');")
    until(lambda: psql("SELECT count(*) FROM collections.notes;") == "1\n")
    assert psql("CALL semsearch.embed('notes', 'opening hours', '60 s');") == ""
    assert psql("SELECT document_id FROM semsearch.search('notes', 'opening hours');") == "a1\n"
    assert psql("SELECT semsearch.delete('notes', 'a1'); SELECT semsearch.delete('notes', 'a1');") == "t\nf\n"
    assert psql("SELECT count(*) FROM collections.notes;") == "0\n"


def test_what_is_said_when_it_cannot_be(model_db: Database, psql: Psql) -> None:
    model_db.create_collection("handbook", model=MODEL)
    for typed, words in {
        "SELECT * FROM semsearch.search('handbook', 'new');": (
            "ERROR:  the text 'new' has no embedding yet",
            "HINT:  CALL semsearch.embed('handbook', 'new')",
        ),
        "BEGIN;\nCALL semsearch.embed('handbook', 'new');\nROLLBACK;": (
            "ERROR:  an embedding cannot be asked for inside a transaction block",
            "HINT:  CALL it outside BEGIN, in a statement of its own; commit first.",
            "\\set AUTOCOMMIT on in psql",
            "Nothing was written.",
        ),
        "CALL semsearch.embed('handbook', 'new', '0.1 s');": (
            "ERROR:  no embedding came within 00:00:00.1",
            "HINT:  No live worker was heard of: run `semsearch worker` or `semsearch serve`.",
        ),
        "CALL semsearch.embed('handbok', 'new');": (
            "ERROR:  collection 'handbok' does not exist",
            "HINT:  Did you mean 'handbook'?",
        ),
    }.items():
        said = psql(typed)
        assert all(word in said for word in words), said
    call = "CALL semsearch.embed('handbook', 'new')"
    for together in (f"BEGIN; {call}", f"{call}; {call}", f"{call}; SELECT 1"):
        assert "HINT:  CALL it outside BEGIN, in a statement of its own" in psql(together, one_string=True)
    assert psql("SELECT count(*) FROM semsearch.embed_requests;") == "0\n"
