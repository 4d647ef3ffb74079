"""Documents by the line and by the file: constant memory, and what is broken stops nothing else."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.web.routes import bulk
from tests.integration.web.conftest import Client
from tests.provider import Provider

NDJSON = {"content-type": "application/x-ndjson"}
BULK = "/v1/collections/things/documents/bulk"
FILES = "/v1/collections/notes/files"


@pytest.fixture
def things(model_db: Database) -> Collection:
    return model_db.create_collection("things", dimensions=2, fields={"team": "text"}, tenant="team")


def line(id: Any, team: str | None = "red", **more: Any) -> str:
    metadata = {"metadata": {"team": team}} if team else {}
    return json.dumps({"id": id, "text": f"text of {id}", "embedding": [1, 0], **metadata, **more})


def read(answer: httpx2.Response) -> tuple[dict[int, dict[str, Any]], dict[str, Any]]:
    """What is told of lines, by their numbers, and the summary."""
    assert answer.status_code in (200, 202), answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    *lines, last = map(json.loads, answer.text.splitlines())
    return {each["line"]: each for each in lines}, last["summary"]


BROKEN = {
    2: ("{", "not JSON"),
    4: ("[1]", "no JSON object"),
    5: (line(""), "id"),
    6: (line("a6", embedding=[1]), "2 dimensions"),
    7: (line("a7", embedding=None), "no embedding"),
    8: (line("a8", team=None), "team"),
    9: (line("a9", titel="x"), "titel"),
    10: ('{"id": "a", "id": "b"}', "twice"),
    11: ("[" * 100_000, "nested"),
    13: (line("taken", team="blue"), "another tenant"),
    14: ("\xff", "not JSON"),
}


def test_a_broken_line_stops_no_other_and_is_named(client: TestClient, things: Collection) -> None:
    things.put([{"id": "taken", "text": "a", "embedding": [1, 0], "metadata": {"team": "red"}}])
    lines = [BROKEN[number][0] if number in BROKEN else line(f"a{number}") for number in range(1, 16)]
    lines[2] = " "  # a blank line is none
    body = "\r\n".join(lines).encode("latin-1")
    told, summary = read(client.post(BULK, content=body, headers=NDJSON))
    assert {number: each["error"] for number, each in told.items() if BROKEN[number][1] not in each["error"]} == {}
    assert set(told) == set(BROKEN)
    named = {number: each["id"] for number, each in told.items() if each["id"] is not None}
    assert named == {6: "a6", 7: "a7", 8: "a8", 9: "a9", 13: "taken"}
    assert (summary["lines"], summary["added"], summary["broken"], summary["failed"]) == (14, 3, len(BROKEN), 0)
    again = read(client.post(BULK, content=body, headers=NDJSON))[1]
    assert (again["added"], again["unchanged"]) == (0, 3)


def test_a_report_has_an_end(client: TestClient, things: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MOST_TOLD", 3)
    lines = [line("a1"), *["x"] * 1200, line("a2"), json.dumps({"id": "a3", "y" * 50_000: 1}), line("a4")]
    told, summary = read(client.post(BULK, content="\n".join(lines), headers=NDJSON))
    assert set(told) == {2, 3, 4}
    assert [summary[name] for name in ("lines", "added", "broken", "untold")] == [1204, 3, 1201, 1198]
    told, summary = read(client.post(BULK, content=lines[-2], headers=NDJSON))
    assert (len(told[1]["error"]), summary["untold"]) == (bulk.LONGEST_ERROR, 0)


def test_strict_stops_at_the_first_broken_line(client: TestClient, things: Collection) -> None:
    for broken in ("{", line("x", embedding=[1])):
        body = "\n".join([line("a1"), line("a2"), broken, line("a4")])
        answer = client.post(BULK, params={"strict": "true"}, content=body, headers=NDJSON)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
        assert answer.json()["detail"].startswith("line 3:")
        assert {each.id for each in things.documents(tenant="red")} == {"a1", "a2"}
        things.delete_all()


def test_all_become_the_tenants_that_is_named(client: TestClient, things: Collection) -> None:
    body = "\n".join([line("a1", team=None), line("a2", team="blue"), line("a3")])
    told, summary = read(client.post(BULK, params={"tenant": "red"}, content=body, headers=NDJSON))
    assert set(told) == {2}
    assert summary["added"] == 2
    assert [each.id for each in things.documents(tenant="red")] == ["a1", "a3"]


def test_what_is_no_stream_of_lines_is_refused(client: TestClient, things: Collection, notes: Collection) -> None:
    assert client.post(BULK, content=line("a"), headers={"content-type": "text/plain"}).status_code == 415
    assert client.post(BULK.replace("things", "nothing"), content="", headers=NDJSON).status_code == 404
    assert read(client.post(BULK, content=b"", headers=NDJSON))[1]["lines"] == 0
    assert read(client.post(BULK, content=b"\n\n", headers=NDJSON))[1]["lines"] == 0


def test_lines_that_are_too_long_are_thrown_away_as_they_come(connect: Client, things: Collection) -> None:
    client = connect(max_document_bytes=2000)
    long = line("long", text="x" * 5000)
    told, summary = read(client.post(BULK, content="\n".join([line("a1"), long, line("a3")]), headers=NDJSON))
    assert "longer" in told[2]["error"]
    assert summary["added"] == 2
    end, summary = read(client.post(BULK, content="\n".join([line("a1"), long]), headers=NDJSON))
    assert set(end) == {2}


def test_failures_of_the_model_are_told_by_line(client: TestClient, notes: Collection, provider: Provider) -> None:
    provider.rules(poison="poison")
    lines = [json.dumps({"id": f"n{at}", "text": "poison" if at in (3, 7) else f"text {at}"}) for at in range(1, 9)]
    address = "/v1/collections/notes/documents/bulk"
    told, summary = read(client.post(address, content="\n".join(lines), headers=NDJSON))
    assert {(number, each["id"]) for number, each in told.items()} == {(3, "n3"), (7, "n7")}
    assert (summary["added"], summary["failed"]) == (8, 2)
    later = client.post(
        address, params={"wait": "false"}, content=json.dumps({"id": "l", "text": "later"}), headers=NDJSON
    )
    assert later.status_code == 202
    assert notes.status().backlog == 1


def test_a_long_stream_takes_no_more_memory_than_a_short_one(served: httpx2.Client, things: Collection) -> None:
    text = "many words " * 1000

    def stream(count: int) -> Iterator[bytes]:
        for number in range(count):
            yield line(f"d{number % 400}", text=text).encode() + b"\n"

    def peak(count: int) -> int:
        tracemalloc.reset_peak()
        _, summary = read(served.post(BULK, content=stream(count), headers=NDJSON, timeout=120))
        assert summary["lines"] == count
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        short, long = peak(800), peak(3000)
    finally:
        tracemalloc.stop()
    assert long - short < 10 * 2**20  # of 24 MB more


def put(client: TestClient, name: str, content: bytes, **params: Any) -> httpx2.Response:
    return client.put(f"{FILES}/{name}", content=content, params=params)


def test_a_file_becomes_what_ingest_makes_of_it(client: TestClient, notes: Collection) -> None:
    markdown = b"---\nyear: 2024\n---\n# Passwords\n\nTo reset your password, open the settings.\n"
    report = put(client, "handbook/guide/passwords.md", markdown).json()
    assert (report["added"], report["failed"], report["broken"]) == (1, [], [])
    found = client.get("/v1/collections/notes/documents/handbook/guide/passwords.md").json()
    assert found["metadata"] == {"year": 2024, "path": "guide/passwords.md"}
    assert (found["format"], found["text"]) == ("markdown", markdown.decode())
    assert put(client, "handbook/guide/passwords.md", markdown).json()["unchanged"] == 1
    rows = b'{"doi": "1", "abstract": "one"}\n{"doi": "2"}\n{"doi": "3", "abstract": "three"}\n'
    some = put(client, "papers.jsonl", rows, id_field="doi", text_field="abstract", wait="false")
    assert some.status_code == 202
    assert some.json()["added"] == 2
    assert [each["where"] for each in some.json()["broken"]] == ["papers.jsonl:2"]
    html = put(client, "page.html", b"<title>T</title><p>Some text.")
    assert html.json()["added"] == 1
    assert client.get("/v1/collections/notes/documents/page.html").json()["title"] == "T"


def test_files_that_lead_elsewhere_or_are_none_are_refused(client: TestClient, notes: Collection) -> None:
    for name in (
        "..%2Fa.md",
        "a/..%2Fb.md",
        "%2Fetc%2Fpasswd",
        "a%00.md",
        "a%07.md",
        "a//b.md",
        "a%5Cb.md",
        "a/%20b",
        "a/",
    ):
        answer = put(client, name, b"text")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input"), name
    for name, content in (("a.png", b"\x89PNG\r\n"), ("a", b"\0\1\2"), ("a.xml", b"<a/>")):
        assert put(client, name, content).status_code == 415, name
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"<a>" + b" " * 50_000_000)
    broken = put(client, "bomb.docx", bomb.getvalue())
    assert broken.status_code == 200
    assert (broken.json()["added"], len(broken.json()["broken"])) == (0, 1)
    assert "/tmp" not in broken.text
    assert put(client, "a.csv", b"id,text\n1,a\n", id_field="nothing").status_code == 400
    assert put(client, "a.md", b"text", format="exe").status_code == 400
    assert put(client, "a.md", b"text", encoding="rot13").status_code == 400
    assert notes.documents() == []
