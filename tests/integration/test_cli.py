"""The command line as a user meets it: processes, exit codes, what goes to which stream."""

from __future__ import annotations

import csv
import difflib
import os
import pty
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semsearch import Document, sources
from tests.integration.command_line import Cli, answer


@pytest.fixture
def points(db: Any) -> Any:
    """Three documents in the plane: their distances can be worked out by hand."""
    collection = db.create_collection("points", dimensions=2, distance="l2", fields={"year": "integer"})
    collection.put(
        [
            Document("here", "at the origin", {"year": 2020}, embedding=[0.0, 0.1]),
            Document("near", "one step away", {"year": 2021}, embedding=[1.0, 0.1]),
            Document("far", "ten steps away", {"year": 2022}, embedding=[10.0, 0.1]),
        ]
    )
    return collection


@pytest.mark.model
def test_a_tour_from_an_empty_database_to_an_answer(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "cat.md").write_text("# Cats\n\nA cat purrs when it is content.")
    (folder / "tax.md").write_text("# Taxes\n\nIncome tax is due in May.")
    assert "no collections yet" in cli("collections").out
    assert "384 dimensions, cosine distance, vector" in cli("create", "handbook", "--field", "year:integer").out
    assert "2 added, 0 changed, 0 unchanged, 0 deleted" in cli("ingest", "handbook", str(folder)).out
    again = answer(cli("ingest", "handbook", str(folder), "--json"))
    assert (again["added"], again["unchanged"], again["embedded"]) == (0, 2, 0)
    found = answer(cli("search", "handbook", "when", "do", "I", "pay", "the", "state?", "--top-k", "1", "--json"))
    assert [hit["document_id"] for hit in found["hits"]] == ["texts/tax.md"]
    shown = cli("search", "handbook", "happy pets").out
    assert shown.index("texts/cat.md") < shown.index("texts/tax.md")
    assert "Income tax is due" in cli("get", "handbook", "texts/tax.md").out
    assert "handbook" in cli("status").out
    assert cli("delete", "handbook", "texts/tax.md").out == "handbook: 1 deleted\n"
    assert cli("drop", "handbook", "--yes").out == "handbook: dropped\n"


@pytest.mark.model
def test_what_is_broken_is_listed_and_the_rest_is_in(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_text('{"id": "1", "text": "all is well"}\n{"id": "2", "text": \n')
    cli("create", "notes")
    done = cli("ingest", "notes", str(tmp_path / "good.jsonl"), code=2)
    assert "1 added" in done.out
    assert "1 could not be read:" in done.out
    assert "good.jsonl" in done.out.split("could not be read:")[1]
    report = answer(cli("ingest", "notes", str(tmp_path / "good.jsonl"), "--json", code=2))
    assert report["unchanged"] == 1
    assert len(report["broken"]) == 1


@pytest.mark.model
def test_what_is_not_waited_for_is_done_by_a_worker(cli: Cli) -> None:
    cli("create", "notes")
    left = cli("ingest", "notes", "-", "--format", "jsonl", "--no-wait", stdin='{"id": "1", "text": "later"}\n')
    assert "semsearch worker" in left.out
    assert answer(cli("status", "notes", "--json"))["backlog"] == 1
    cli("worker", "--until-idle")
    status = answer(cli("status", "notes", "--json"))
    assert (status["backlog"], status["chunks"]) == (0, 1)


@dataclass(frozen=True)
class FewDocstrings:
    """What the questions of the demo are about: all of the standard library takes a minute."""

    name: str = "stdlib"
    total: int = 4

    def __iter__(self) -> Iterator[Document]:
        for thing in (csv.DictReader, difflib.Differ, subprocess.run, tempfile.TemporaryDirectory):
            name = f"{thing.__module__}.{thing.__qualname__}"
            kind = "class" if isinstance(thing, type) else "function"
            yield Document(name, f"{name}\n\n{thing.__doc__}", {"module": thing.__module__, "kind": kind})


@pytest.mark.model
def test_the_demo_answers_and_is_quick_the_second_time(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "standard_library", FewDocstrings)
    first = cli("demo").out
    for question, hit in [("read a CSV file", "csv.DictReader"), ("cleans itself up", "tempfile.TemporaryDirectory")]:
        assert hit in first.split(question)[1].split("\n 2 ")[0]
    assert "What to type next:" in first
    assert "0 added, 0 changed" in cli("demo").out


def test_a_worker_stops_at_once_when_told_to(environment: None, points: Any) -> None:
    with subprocess.Popen([sys.executable, "-m", "semsearch", "worker"], stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stderr is not None
        assert "working" in worker.stderr.readline()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=90) == 0


@pytest.mark.parametrize("where", ["[0, 0.1]", "vector.npy", "vector.json", "-"])
def test_an_embedding_can_be_what_is_asked(cli: Cli, points: Any, where: str, tmp_path: Path) -> None:
    np.save(tmp_path / "vector.npy", np.array([0.0, 0.1], dtype=np.float32))
    (tmp_path / "vector.json").write_text("[0.0, 0.1]")
    given = str(tmp_path / where) if where.startswith("vector") else where
    found = answer(cli("search", "points", "--embedding", given, "--json", stdin="[0.0, 0.1]"))
    # steps along one axis: distances 0, 1 and 10
    assert [(hit["document_id"], hit["distance"]) for hit in found["hits"]] == [("here", 0), ("near", 1), ("far", 10)]
    assert found["plan"] == "exact"
    assert "sql" not in found


def test_a_document_can_be_what_is_asked(cli: Cli, points: Any) -> None:
    found = answer(cli("search", "points", "--document-id", "here", "--top-k", "1", "--json"))
    assert [hit["document_id"] for hit in found["hits"]] == ["near"]


def test_a_filter_holds(cli: Cli, points: Any) -> None:
    condition = '{"year": {"$gt": 2020}}'
    found = answer(cli("search", "points", "--embedding", "[0, 0.1]", "--filter", condition, "--json"))
    assert [hit["document_id"] for hit in found["hits"]] == ["near", "far"]


def test_the_statement_can_be_seen(cli: Cli, points: Any) -> None:
    shown = cli("search", "points", "--embedding", "[0, 0.1]", "--sql").out
    assert "ORDER BY" in shown
    assert "one step away" not in shown
    assert answer(cli("search", "points", "--embedding", "[0, 0.1]", "--sql", "--json"))["sql"] == shown.rstrip("\n")


def test_hits_are_readable(cli: Cli, points: Any) -> None:
    shown = cli("search", "points", "--embedding", "[0, 0.1]", "--top-k", "1").out
    first, text, metadata, *_ = shown.splitlines()
    assert first.split() == ["1", "here", "0.0000"]
    assert text.strip() == "at the origin"
    assert metadata.strip() == "year: 2020"


def test_documents_come_back_as_they_were_put(cli: Cli, points: Any) -> None:
    documents = answer(cli("get", "points", "far", "here", "--json"))["documents"]
    assert [document["id"] for document in documents] == ["far", "here"]
    assert documents[1]["text"] == "at the origin"
    assert documents[1]["metadata"] == {"year": 2020}


def test_collections_and_status_are_parseable(cli: Cli, points: Any) -> None:
    (listed,) = answer(cli("collections", "--json"))["collections"]
    assert (listed["name"], listed["documents"], listed["chunks"]) == ("points", 3, 3)
    assert answer(cli("status", "points", "--json"))["documents"] == 3
    assert "points" in cli("collections").out
    assert "documents" in cli("status", "points").out


def test_an_index_is_created_listed_and_dropped(cli: Cli, points: Any) -> None:
    assert answer(cli("index", "list", "points", "--json")) == {"indexes": []}
    cli("index", "create", "points", "--m", "8", "--ef-construction", "32")
    (index,) = answer(cli("index", "list", "points", "--json"))["indexes"]
    assert index["kind"] == "hnsw"
    assert "hnsw" in cli("index", "list", "points").out
    cli("index", "drop", "points")
    assert "no index" in cli("index", "list", "points").out


def test_a_collection_can_be_created_for_a_smaller_index(cli: Cli, db: Any) -> None:
    cli("create", "small", "--dimensions", "8", "--quantization", "halfvec", "--index-dimensions", "4")
    assert db.collection("small").space.index_settings == {"quantization": "halfvec", "dimensions": 4}
    assert "--index-dimensions" in cli("create", "none", "--index-dimensions", "0", code=2).err
    cli("create", "none", "--dimensions", "8", "--index-dimensions", "9", code=2)


def test_deleting_says_which_were_not_there(cli: Cli, points: Any) -> None:
    done = cli("delete", "points", "here", "nowhere", code=3)
    assert done.out == "points: 1 deleted\n"
    assert "does not have 1 of the 2 documents" in done.err
    assert cli("delete", "points", "--all", "--yes").out == "points: 2 deleted\n"


def test_nothing_is_lost_without_a_yes(cli: Cli, points: Any) -> None:
    assert "--yes" in cli("drop", "points", code=2).err
    assert "--yes" in cli("delete", "points", "--all", code=2).err
    assert answer(cli("status", "points", "--json"))["documents"] == 3


@pytest.mark.parametrize(("typed", "code", "left"), [("n", 1, 1), ("y", 0, 0)])
def test_on_a_terminal_a_person_is_asked(
    environment: None, db: Any, points: Any, typed: str, code: int, left: int
) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "semsearch", "drop", "points"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, typed.encode() + b"\n")
        assert process.wait(timeout=60) == code
    os.close(ours)
    assert b"drop collection 'points' with its documents (3)?" in shown
    assert len(db.collections()) == left


FAILURES = [
    (["search", "point", "x"], 3, "Did you mean 'points'?"),
    (["status", "nothing_like_it"], 3, "semsearch create nothing_like_it"),
    (["ingest", "poinst", "."], 3, "Did you mean 'points'?"),
    (["ingest", "points", "no/such/folder"], 3, "no/such/folder"),
    (["get", "points", "nowhere"], 3, "nowhere"),
    (["drop", "point", "--yes"], 3, "points"),
    (["create", "Points", "--dimensions", "2"], 2, "lower-case"),
    (["create", "points", "--dimensions", "3"], 4, "points"),
    (["create", "texts", "--model", "sentence-transformers:/no/such/model"], 5, "/no/such/model"),
    (["search", "points"], 2, "one of query"),
    (["search", "points", "--embedding", "[1, 2, 3]"], 2, "2"),
    (["search", "points", "--embedding", "[1, 2]", "--filter", '{"year": {"$near": 1}}'], 2, "$.year"),
    (["--database-url", "postgresql://127.0.0.1:1/nothing", "collections"], 5, "semsearch doctor"),
    (["--database-url", "mysql://a:s3cret@b/c", "collections"], 2, "postgresql://"),
]


@pytest.mark.parametrize(("arguments", "code", "says"), FAILURES, ids=lambda value: str(value)[:60])
def test_a_failure_has_its_exit_code_and_one_line(
    cli: Cli, points: Any, arguments: list[str], code: int, says: str
) -> None:
    done = cli(*arguments, code=code)
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert says in done.err
    assert "s3cret" not in done.err


def test_a_new_database_is_migrated_and_examined(
    empty_database_url: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMSEARCH_DATABASE_URL", empty_database_url)
    before = {check["name"]: check["state"] for check in answer(cli("doctor", "--json", code=5))["checks"]}
    assert before["connection"] == "ok"
    assert before["schema"] == "fail"
    assert "semsearch migrate" in cli("collections", code=5).err
    cli("migrate")
    cli("migrate")
    after = {check["name"]: check["state"] for check in answer(cli("doctor", "--json"))["checks"]}
    assert after["schema"] == "ok"
    server = {"database", "connection", "PostgreSQL", "pgvector", "schema", "roles", "safety"}
    contents = {
        "collections",
        "triggers",
        "indexes",
        "tables",
        "ANN indexes",
        "memory",
        "statements",
        "failures",
        "workers",
    }
    assert set(after) == {*server, *contents, "model", "device"}


def test_doctor_says_which_setting_named_the_database(
    cli: Cli, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "because of SEMSEARCH_DATABASE_URL" in cli("doctor").out
    monkeypatch.delenv("SEMSEARCH_DATABASE_URL")
    assert "because of --database-url" in cli("--database-url", database_url, "doctor").out
    done = cli("--database-url", "postgresql://anna:s3cret@127.0.0.1:1/nothing", "doctor", code=5)
    assert "fail  connection" in done.out
    assert "s3cret" not in done.out


def test_psql_opens_the_same_database(cli: Cli, points: Any) -> None:
    done = cli("psql", "--", "-At", "-c", "SELECT document_id FROM collections.points ORDER BY 1")
    assert done.out.split() == ["far", "here", "near"]


def test_psql_passes_on_its_exit_code(cli: Cli) -> None:
    assert "does not exist" in cli("psql", "--", "-c", "SELECT nonsense", code=1).err
