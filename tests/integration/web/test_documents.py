"""Documents over HTTP: put, read, listed, deleted, and changed only in the state that somebody has seen."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx2
import numpy as np
import pytest
from starlette.testclient import TestClient

from semsearch.collection import Collection
from semsearch.database import Database
from tests.integration.attaching import Sql, attach
from tests.integration.hands import Hands
from tests.integration.web.conftest import Client
from tests.provider import Provider

BASE = "/v1/collections/things/documents"


@pytest.fixture
def things(model_db: Database) -> Collection:
    """A collection of given embeddings: no model is asked."""
    return model_db.create_collection("things", dimensions=4, fields={"lang": "text"})


@pytest.fixture
def owned(model_db: Database) -> Collection:
    return model_db.create_collection("owned", dimensions=4, fields={"team": "text"}, tenant="team")


def document(text: str = "a text", number: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"text": text, "embedding": [1.0, number, 0.0, 0.0], **more}


def test_a_document_comes_back_as_it_was_put(client: TestClient, things: Collection) -> None:
    given = document(
        "täxt\u2028", title="T", metadata={"n": 1.5, "lang": "en", "deep": {"a": [None]}}, format="markdown"
    )
    created = client.put(f"{BASE}/guide/%C3%A9 %25.md", json=given)
    assert created.status_code == 201
    report = created.json()
    assert (report["added"], report["failed"], report["broken"]) == (1, [], [])
    found = client.get(f"{BASE}/guide/%C3%A9 %25.md")
    assert found.json() == {key: given[key] for key in ("text", "title", "format", "metadata")} | {"id": "guide/é %.md"}
    assert found.headers["etag"] == created.headers["etag"]
    replaced = client.put(f"{BASE}/guide/%C3%A9 %25.md", json={**given, "title": "U"})
    assert (replaced.status_code, replaced.json()["changed"]) == (200, 1)
    assert replaced.headers["etag"] != created.headers["etag"]
    assert client.delete(f"{BASE}/guide/%C3%A9 %25.md").status_code == 204
    gone = client.get(f"{BASE}/guide/%C3%A9 %25.md")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    assert client.delete(f"{BASE}/guide/%C3%A9 %25.md").status_code == 404


IDS = (
    *(
        "a\nb",
        "a\n",
        "\n",
        "a\rb",
        "\t",
        "\x01",
        "\u2028",
        "a\tb/c\nd",
        " ",
        " a ",
        "a+b",
        "a;b",
        "\\",
        "😀",
        "e\u0301",
    ),
    *("/", "//", "/a", "a/", "a//b", "..", "../../etc", ".", "?a=b", "#a", "%2F", "%", "😀" * 256, "x" * 1024),
    *("delete", "bulk", "a/delete", "bulk\n", "search", "chunks"),  # other addresses end so
)


def test_every_id_has_an_address(served: httpx2.Client, things: Collection) -> None:
    def call(method: str, id: str, **more: Any) -> httpx2.Response:
        # A client and a proxy take dots out of a path unless they are encoded.
        return served.request(method, f"{BASE}/{quote(id, safe='').replace('.', '%2E')}", **more)

    things.put([{"id": id, **document()} for id in IDS])
    for number, id in enumerate(IDS, 2):
        assert call("GET", id).json().get("id") == id, call("GET", id).text
        put = call("PUT", id, json=document(f"text {number}", number))
        assert (put.status_code, put.json()["changed"]) == (200, 1), id
        assert things.get(id).text == f"text {number}"
        chunks = served.get("/v1/collections/things/chunks", params={"document_id": id}).json()
        assert [chunk["text"] for chunk in chunks["chunks"]] == [f"text {number}"]
        assert call("DELETE", id).status_code == 204
        assert call("GET", id).status_code == 404
    for unfit in ("", "\0", "x" * 1025):
        assert call("PUT", unfit, json=document()).status_code == 400
        assert call("GET", unfit).status_code == 404
    assert things.documents() == []


def test_what_is_wrong_is_named(client: TestClient, things: Collection) -> None:
    for body, said in (
        ({"text": "a", "titel": "b"}, "titel"),
        ({"text": 5}, "text"),
        ({"text": "a", "embedding": ["1"]}, "embedding"),
        ({"text": "a", "format": "pdf"}, "format"),
        ({"text": "a", "title": "x" * 1001}, "title"),
        ({}, "text"),
    ):
        answer = client.put(f"{BASE}/a", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
        assert any(said in each["path"] for each in answer.json()["errors"])
    for body, said in (
        ({"text": "a"}, "no model"),
        ({"text": "a", "embedding": [1.0]}, "4 dimensions"),
        (document(metadata={"lang": 5}), "lang"),
    ):
        answer = client.put(f"{BASE}/a", json=body)
        assert answer.status_code == 400
        assert said in answer.json()["detail"]
    misspelt = client.put(f"{BASE}/a?wiat=true", json=document())
    assert misspelt.status_code == 400
    assert "Did you mean 'wait'?" in misspelt.json()["detail"]
    assert client.get("/v1/collections/thing/documents/a").json()["detail"].endswith("Did you mean 'things'?")
    assert things.documents() == []


def test_who_has_the_document_is_not_sent_it_again(client: TestClient, things: Collection) -> None:
    tag = client.put(f"{BASE}/a", json=document()).headers["etag"]
    for known in (tag, f'"x", {tag}', "*", f"W/{tag}"):
        answer = client.get(f"{BASE}/a", headers={"if-none-match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    for other in ('"x"', 'W/"x"'):
        assert client.get(f"{BASE}/a", headers={"if-none-match": other}).status_code == 200
    assert client.get(f"{BASE}/a", headers=[("if-none-match", each) for each in ('"x"', tag)]).status_code == 304
    assert client.get(f"{BASE}/a", headers={"if-none-match": "x"}).status_code == 400


def test_a_change_can_ask_for_the_state_it_was_made_for(client: TestClient, things: Collection) -> None:
    def put(number: float, **headers: str) -> int:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.put(f"{BASE}/a", json=document(f"text {number}", number), headers=names).status_code

    assert put(1, if_match="*") == 412
    assert put(1, if_none_match="*") == 201
    assert put(2, if_none_match="*") == 412
    tag = client.get(f"{BASE}/a").headers["etag"]
    assert put(2, if_match=f'"x", {tag}') == 200
    assert put(3, if_match=tag) == 412
    assert put(3, if_match=f"W/{client.get(f'{BASE}/a').headers['etag']}") == 412
    assert put(3, if_none_match=client.get(f"{BASE}/a").headers["etag"]) == 412
    assert put(3, if_none_match=tag) == 200
    assert things.get("a").text == "text 3"
    assert client.delete(f"{BASE}/a", headers={"if-match": tag}).status_code == 412
    now = client.get(f"{BASE}/a").headers["etag"]
    for other, status in ((now, 412), ("*", 400)):  # two lines are one list, in which no `*` may stand
        lines = [("if-none-match", each) for each in ('"x"', other)]
        assert client.put(f"{BASE}/a", json=document(), headers=lines).status_code == status
    assert client.delete(f"{BASE}/a", headers=[("if-match", '"x"'), ("if-match", now)]).status_code == 204
    refused = client.delete(f"{BASE}/a", headers={"if-match": now})
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")


@pytest.mark.parametrize("vector_type", ["vector", "halfvec"])
def test_another_embedding_is_another_state(client: TestClient, model_db: Database, vector_type: Any) -> None:
    model_db.create_collection("things", dimensions=4, vector_type=vector_type)
    first = client.put(f"{BASE}/a", json=document(number=0.1)).headers["etag"]
    second = client.put(f"{BASE}/a", json=document(number=0.2)).headers["etag"]
    assert second != first == client.put(f"{BASE}/a", json=document(number=0.1)).headers["etag"]
    assert client.get(f"{BASE}/a").headers["etag"] == first
    assert client.get(f"{BASE}/a", headers={"if-none-match": second}).status_code == 200
    assert client.put(f"{BASE}/a", json=document(number=0.3), headers={"if-match": second}).status_code == 412
    assert client.put(f"{BASE}/a", json=document(number=0.3), headers={"if-match": first}).status_code == 200
    assert client.put(f"{BASE}/a", json=document(number=0.4), headers={"if-none-match": second}).status_code == 200


def test_of_many_who_change_the_same_state_one_does(client: TestClient, things: Collection) -> None:
    def change(number: int, headers: dict[str, str]) -> int:
        barrier.wait(30)
        return client.put(f"{BASE}/a", json=document(f"by {number}", number), headers=headers).status_code

    with ThreadPoolExecutor(6) as pool:
        headers = {"if-none-match": "*"}
        for turn in range(4):
            barrier = threading.Barrier(6)
            numbers = range(6 * turn, 6 * turn + 6)  # what puts the state that is there already changes none
            found = sorted(pool.map(change, numbers, [headers] * 6))
            assert found in ([200, *[412] * 5], [201, *[412] * 5])
            headers = {"if-match": client.get(f"{BASE}/a").headers["etag"]}


def test_many_are_put_and_deleted_at_once(client: TestClient, things: Collection) -> None:
    many = [{"id": f"d{number:03}", **document(f"text {number}", number)} for number in range(120)]
    assert client.put(BASE, json={"documents": many}).json()["added"] == 120
    broken = [*many[:2], {"id": "x", **document(), "embedding": [1.0]}]
    answer = client.put(BASE, json={"documents": broken})
    assert (answer.status_code, "'x'" in answer.json()["detail"]) == (400, True)
    too_many = client.put(BASE, json={"documents": [{"id": "a", "text": ""}] * 1001})
    assert too_many.status_code == 400
    deleted = client.post(f"{BASE}/delete", json={"ids": ["d000", "d001", "d001", "nothing"]})
    assert deleted.json() == {"deleted": 2}
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = client.get(BASE, params={"limit": 50, **({"after": after} if after else {})}).json()
        seen += [each["id"] for each in page["documents"]]
        after = page["next"]
    assert seen == [f"d{number:03}" for number in range(2, 120)]
    first = client.get(BASE, params={"limit": 1}).json()["documents"][0]
    assert first == {"id": "d002", "title": None, "text": "text 2", "bytes": 6, "metadata": {}}


def test_pages_stay_where_they_are_while_documents_come_and_go(client: TestClient, things: Collection) -> None:
    things.put([{"id": f"d{number}", **document()} for number in range(9)])
    page = client.get(BASE, params={"limit": 3}).json()
    things.delete(["d0", "d2"])
    things.put([{"id": "a", **document()}])
    following = client.get(BASE, params={"limit": 3, "after": page["next"]}).json()
    assert [each["id"] for each in following["documents"]] == ["d3", "d4", "d5"]
    assert client.get(BASE, params={"after": "\0"}).status_code == 400
    assert client.get(BASE, params={"limit": 501}).status_code == 400


def test_embeddings_come_from_the_model_and_failures_are_the_documents_own(
    client: TestClient, notes: Collection, provider: Provider
) -> None:
    base = "/v1/collections/notes/documents"
    notes.put([{"id": "other", "text": "waits for somebody"}], wait=False)
    put = client.put(f"{base}/a", json={"text": "one two"})
    counts = {"added": 1, "changed": 0, "unchanged": 0, "waiting": 0, "failed": [], "broken": []}
    assert put.json() == {**counts, "seconds": put.json()["seconds"]}  # of the other's chunks it says nothing
    assert notes.status().stored_documents == 2
    provider.rules(poison="poison")
    failed = client.put(f"{base}/b", json={"text": "poison here"})
    assert (failed.status_code, failed.json()["code"]) == (400, "ingest_failed")
    assert set(failed.json()["reasons"]) == {"b"}
    many = client.put(base, json={"documents": [{"id": "c", "text": "fine"}, {"id": "d", "text": "poison"}]})
    assert set(many.json()["reasons"]) == {"d"}
    assert notes.status().failed == 2
    waiting = client.put(f"{base}/e?wait=false", json={"text": "later"})
    assert waiting.status_code == 202
    assert notes.status().backlog == 1
    assert client.put(f"{base}/e", json={"text": "now"}, params={"wait": True}).status_code == 200
    assert notes.status().backlog == 0


def test_nobody_waits_for_long_nor_for_the_documents_of_others(connect: Client, notes: Collection) -> None:
    client, hasty = connect(), connect(admin_deadline=0.3)  # what depends on nobody has all the time it needs
    base = "/v1/collections/notes/documents"
    notes.put([{"id": "held", "text": "of another worker"}], wait=False)
    hands = Hands(notes)
    with hands.worker:
        assert hands.claim() == ["held"]
        assert client.put(f"{base}/a", json={"text": "one"}).status_code == 201
        assert client.put(base, json={"documents": [{"id": "b", "text": "two"}]}).json()["waiting"] == 0
        late = hasty.put(f"{base}/held", json={"text": "of another worker"})
        assert (late.status_code, late.json()["waiting"], late.json()["unchanged"]) == (202, 1, 1)
        both = [{"id": "held", "text": "of another worker"}, {"id": "b", "text": "two"}]
        some = hasty.put(base, json={"documents": both})
        assert (some.status_code, some.json()["waiting"], some.json()["unchanged"]) == (202, 1, 2)
        file = client.put("/v1/collections/notes/files/f.txt", content=b"three")
        assert (file.status_code, file.json()["waiting"]) == (200, 0)
        lines = "\n".join(map(json.dumps, both))
        bulk = hasty.post(f"{base}/bulk", content=lines, headers={"content-type": "application/x-ndjson"})
        assert (bulk.status_code, json.loads(bulk.text)["summary"]["waiting"]) == (202, 1)
    assert client.put(f"{base}/held", json={"text": "of another worker"}).status_code == 200
    assert {hit.document_id for hit in notes.search("one", top_k=9)} == {"a", "b", "f.txt", "held"}
    assert notes.status().backlog == 0


def test_chunks_have_their_places_in_the_text(client: TestClient, notes: Collection) -> None:
    text = "\n\n".join(f"Paragraph {number} says something about the number {number}." for number in range(8))
    notes.put([{"id": "long", "text": text, "title": "Title"}])
    found: list[dict[str, Any]] = []
    after: int | None = -1
    while after is not None:
        params = {"document_id": "long", "limit": 3, "after": after}
        page = client.get("/v1/collections/notes/chunks", params=params).json()
        found += page["chunks"]
        after = page["next"]
    assert len(found) > 4
    assert [chunk["ordinal"] for chunk in found] == [*range(len(found))]
    assert all(chunk["text"] == text[chunk["start"] : chunk["end"]] for chunk in found)
    notes.put([{"id": "waits", "text": "not yet"}], wait=False)
    assert client.get("/v1/collections/notes/chunks", params={"document_id": "waits"}).json()["chunks"] == []
    assert client.get("/v1/collections/notes/chunks", params={"document_id": "none"}).status_code == 404


def test_a_tenant_has_its_own_documents_only(client: TestClient, owned: Collection) -> None:
    base = "/v1/collections/owned/documents"

    def call(method: str, path: str, tenant: str | None, **more: Any) -> Any:
        params = {**more.pop("params", {}), **({"tenant": tenant} if tenant else {})}
        return client.request(method, f"{base}{path}", params=params, **more)

    assert call("PUT", "/a", "red", json=document(metadata={"n": 1})).status_code == 201
    assert call("PUT", "/b", None, json=document(metadata={"team": "blue"})).headers["etag"]
    assert call("PUT", "/c", None, json=document()).status_code == 400
    assert call("GET", "/a", "red").json()["metadata"] == {"n": 1, "team": "red"}
    assert [call("GET", "/a", tenant).status_code for tenant in ("blue", None)] == [404, 400]
    assert [each["id"] for each in call("GET", "", "blue").json()["documents"]] == ["b"]
    assert call("PUT", "/a", "blue", json=document()).status_code == 409
    assert call("PUT", "/a", "red", json=document(metadata={"team": "blue"})).status_code == 400
    assert call("PUT", "/a", "blue", json=document(), headers={"if-match": "*"}).status_code == 412
    assert call("DELETE", "/a", "blue").status_code == 404
    assert call("POST", "/delete", "blue", json={"ids": ["a", "b"]}).json() == {"deleted": 1}
    assert client.get("/v1/collections/owned/chunks", params={"document_id": "a", "tenant": "blue"}).status_code == 404
    assert client.get("/v1/collections/owned/chunks", params={"document_id": "a", "tenant": "red"}).json()["chunks"]


def test_rows_of_an_attached_table_are_listed_and_not_changed(
    client: TestClient, model_db: Database, articles: Sql
) -> None:
    attach(model_db, title="title", metadata=["author"])
    base = "/v1/collections/handbook/documents"
    page = client.get(base, params={"limit": 2}).json()
    assert [(each["id"], each["title"], each["text"]) for each in page["documents"]] == [
        ("1", "One", "the first"),
        ("2", "Two", "the second"),
    ]
    assert [each["id"] for each in client.get(base, params={"after": page["next"]}).json()["documents"]] == ["3"]
    assert client.get(f"{base}/1").json()["metadata"] == {"author": "ann"}
    for refused in (
        client.put(f"{base}/1", json=document()),
        client.put(f"{base}/1", json=document(), headers={"if-match": "*"}),
        client.delete(f"{base}/1"),
        client.delete(f"{base}/1", headers={"if-match": "*"}),
        client.put(base, json={"documents": []}),
    ):
        assert refused.status_code == 400
        assert "come from shop.articles" in refused.json()["detail"]
    assert client.get(base, params={"after": "no number"}).status_code == 400


def test_a_large_answer_is_compressed(client: TestClient, things: Collection) -> None:
    things.put([{"id": "a", "text": "word " * 5000, "embedding": np.ones(4)}])
    answer = client.get(f"{BASE}/a")
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["text"]) == 25_000
    plain = client.get(f"{BASE}/a", headers={"accept-encoding": "identity"})
    assert plain.headers["etag"] != answer.headers["etag"]
    for tag in (plain.headers["etag"], answer.headers["etag"]):  # of other bytes, but of one state
        known = client.get(f"{BASE}/a", headers={"if-none-match": tag})
        assert (known.status_code, known.headers["etag"], known.headers["vary"]) == (304, tag, "Accept-Encoding")
    assert client.delete(f"{BASE}/a", headers={"if-match": answer.headers["etag"]}).status_code == 204
