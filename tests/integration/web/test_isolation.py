"""What is another tenant's, or in another collection, shows nowhere: every operation of the API is asked for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from semsearch.collection import Collection
from semsearch.database import Database
from tests.integration.hands import MODEL
from tests.integration.web.conftest import Client, NewKey
from tests.provider import Provider

MARK = "canary"  # in whatever is not the caller's
FAILED = f"failed-{MARK}"


@pytest.fixture
def shared(model_db: Database, provider: Provider) -> Collection:
    """Documents of two tenants; one document of each was given up."""
    made = model_db.create_collection(
        "shared", model=MODEL, chunk_size=16, chunk_overlap=0, fields={"team": "text", "lang": "text"}, tenant="team"
    )
    made.put([{"id": "mine", "text": "passwords and keys", "metadata": {"lang": "en"}}], tenant="red")
    theirs = {"text": f"passwords and {MARK}", "title": f"T {MARK}", "metadata": {"lang": MARK, "other": MARK}}
    made.put([{"id": "theirs", **theirs}, {"id": f"id-{MARK}", **theirs}], tenant=f"team-{MARK}")
    provider.rules(poison="poison")
    made.bring([{"id": FAILED, "text": "poison"}], tenant=f"team-{MARK}")
    made.bring([{"id": "failed-mine", "text": "poison"}], tenant="red")
    model_db.create_collection(f"secret_{MARK}", model=f"openai:{MARK}")
    return made


BASE = "/v1/collections/shared"
OTHER = f"/v1/collections/secret_{MARK}"
# For each operation what is sent; of several, all are.
CALLS: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "list_collections": [("GET", "/v1/collections", {})],
    "create_collection": [("POST", "/v1/collections", {"json": {"name": "made", "dimensions": 3}})],
    "get_collection": [("GET", BASE, {}), ("GET", OTHER, {}), ("GET", "/v1/collections/secret_canari", {})],
    "get_index": [("GET", f"{BASE}/index", {})],
    "verify_collection": [("POST", f"{BASE}/verify", {"json": {}})],
    "get_status": [("GET", "/v1/status", {})],
    "list_documents": [("GET", f"{BASE}/documents", {}), ("GET", f"{OTHER}/documents", {})],
    "get_document": [
        ("GET", f"{BASE}/documents/theirs", {}),
        ("GET", f"{BASE}/documents/theirs", {"headers": {"if-none-match": "*"}}),
    ],
    "list_chunks": [("GET", f"{BASE}/chunks", {"params": {"document_id": "theirs"}})],
    "search": [
        *(
            ("POST", f"{BASE}/search", {"json": {"query": "passwords", "mode": mode, "neighbours": 3}})
            for mode in ("vector", "text", "hybrid")
        ),
        ("POST", f"{BASE}/search", {"json": {"document_id": "theirs"}}),
        ("POST", f"{BASE}/search", {"json": {"queries": ["passwords", "keys"], "filter": {"lang": {"$ne": "x"}}}}),
        ("POST", f"{BASE}/search", {"json": {"query": "a", "filter": {"$or": [{"team": {"$ne": "red"}}, {}]}}}),
        ("POST", f"{BASE}/search", {"json": {"query": MARK, "mode": "hybrid", "explain": True}}),
        ("POST", f"{OTHER}/search", {"json": {"query": "a"}}),
    ],
    "search_by_address": [("GET", f"{BASE}/search", {"params": {"q": "passwords", "filter": 'team != "red"'}})],
    "similar": [("GET", f"{BASE}/similar", {"params": {"document_id": "mine"}})],
    "recommend": [
        ("POST", f"{BASE}/recommend", {"json": {"positive": ["mine"], "negative": ["theirs"]}}),
        ("POST", f"{BASE}/recommend", {"json": {"positive_texts": ["passwords"]}}),
        ("POST", f"{BASE}/recommend", {"json": {"positive_texts": [MARK], "explain": True}}),
    ],
    "facets": [("POST", f"{BASE}/facets", {"json": {"names": ["lang", "team", "other"]}})],
    "list_failures": [("GET", f"{BASE}/failures", {}), ("GET", f"{BASE}/failures", {"params": {"limit": 1}})],
    "retry_failures": [("POST", f"{BASE}/failures/retry", {"json": {}})],
    "create_embeddings": [
        ("POST", "/v1/embeddings", {"json": {"model": MODEL, "input": "a"}}),
        ("POST", "/v1/embeddings", {"json": {"model": "unknown", "input": "a"}}),
    ],
    "list_models": [("GET", "/v1/models", {})],
    "get_model": [("GET", f"/v1/models/openai:{MARK}", {})],
    "put_document": [
        ("PUT", f"{BASE}/documents/theirs", {"json": {"text": "stolen"}}),
        ("PUT", f"{BASE}/documents/theirs", {"json": {"text": "stolen"}, "headers": {"if-match": "*"}}),
        ("PUT", f"{BASE}/documents/new", {"json": {"text": "poison"}}),
    ],
    "put_documents": [("PUT", f"{BASE}/documents", {"json": {"documents": [{"id": "theirs", "text": "stolen"}]}})],
    "put_many_documents": [
        (
            "POST",
            f"{BASE}/documents/bulk",
            {
                "content": json.dumps({"id": "theirs", "text": "stolen"}) + '\n{"id": "n", "text": "poison"}',
                "headers": {"content-type": "application/x-ndjson"},
            },
        )
    ],
    "put_file": [
        ("PUT", f"{BASE}/files/theirs", {"content": b"stolen"}),
        ("PUT", f"{BASE}/files/f", {"content": b"poison"}),
    ],
    "delete_document": [("DELETE", f"{BASE}/documents/theirs", {})],
    "delete_documents": [("POST", f"{BASE}/documents/delete", {"json": {"ids": ["theirs", f"id-{MARK}"]}})],
    "purge_failures": [("DELETE", f"{BASE}/failures", {})],
    "drop_collection": [("DELETE", BASE, {}), ("DELETE", OTHER, {})],
}
ELSEWHERE = {"follow_status"}  # has a test of its own


def test_every_operation_is_asked(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    there = {
        operation["operationId"]
        for path, methods in paths.items()
        for operation in methods.values()
        if path.startswith("/v1")
    }
    assert there == set(CALLS) | ELSEWHERE


def test_a_key_of_one_tenant_sees_and_changes_nothing_of_anothers(
    connect: Client, new_key: NewKey, shared: Collection, model_db: Database
) -> None:
    client = connect(key=new_key("write", collections=["shared"], tenant="red"))
    before = [shared.get(id, tenant=f"team-{MARK}") for id in ("theirs", f"id-{MARK}")]
    answers: dict[str, list[Any]] = {}
    for operation, calls in CALLS.items():
        for method, path, more in calls:
            answer = client.request(method, path, **more)
            answers.setdefault(operation, []).append(answer)
            assert answer.status_code < 500, (operation, answer.text)
            shown = answer.text + repr(dict(answer.headers))
            for word in path.split("/"):  # what the caller has named itself
                shown = shown.replace(word, "") if MARK in word else shown
            assert MARK not in shown, operation
    assert [shared.get(document.id, tenant=f"team-{MARK}") for document in before] == before
    assert FAILED in {failure.document_id for failure in shared.failures()}
    codes = {operation: [answer.status_code for answer in each] for operation, each in answers.items()}
    assert codes["get_document"] == codes["list_chunks"] * 2 == [404, 404]
    assert codes["verify_collection"] == [403]
    assert codes["drop_collection"] == [403, 403]
    assert codes["put_document"] == [409, 412, 400]
    assert answers["delete_documents"][0].json() == {"deleted": 0}
    assert [each["document_id"] for each in answers["list_failures"][0].json()["failures"]] == ["failed-mine"]
    assert answers["retry_failures"][0].json() == {"retried": 1}
    assert answers["search"][0].json()["hits"]
    forbidden = client.get(f"{BASE}/documents", params={"tenant": f"team-{MARK}"})
    assert forbidden.status_code == 403


def test_a_key_of_one_tenant_is_told_no_figure_of_all(
    connect: Client, new_key: NewKey, shared: Collection, model_db: Database
) -> None:
    model_db.create_collection("open", dimensions=2).put([{"id": "a", "text": "a", "embedding": [1, 1]}])
    shared.create_index("hnsw")
    client = connect(key=new_key("read", tenant="red"))

    def get(path: str) -> Any:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    (status,) = get("/v1/status")["collections"]
    about = {"name", "model", "dimensions", "distance", "vector_type"}
    own = {name: value for name, value in status.items() if value is not None and name not in about}
    assert own == {"documents": 1, "stored_documents": 1, "chunks": 1}
    assert get(BASE)["status"] == status
    assert [each["name"] for each in get("/v1/collections")["collections"]] == ["shared"]
    (index,) = get(f"{BASE}/index")["indexes"]
    assert index["bytes"] is None
    assert [each["id"] for each in get("/v1/models")["data"]] == [MODEL]
    page = client.get("/page/main", params={"view": "collections"}).text
    assert "shared" in page and "collection=open" not in page and "None" not in page
    assert client.get("/page/main").status_code == 200
    for path in ("", "/search?q=a", "/documents", "/chunks?document_id=a"):
        absent, hidden = (client.get(f"/v1/collections/{name}{path}") for name in ("opem", "open"))
        assert absent.status_code == hidden.status_code == 404
        assert absent.json()["detail"].replace("opem", "open") == hidden.json()["detail"]
    whole = connect(key=new_key("read", collections=["shared"])).get("/v1/status").json()["collections"]
    assert [(each["documents"], each["failed"]) for each in whole] == [(5, 2)]


def test_a_key_of_one_tenant_gets_no_plan(connect: Client, new_key: NewKey, shared: Collection) -> None:
    """A plan counts what was left out, which is everybody's, and says which words there are."""
    client, whole = connect(key=new_key("read", tenant="red")), connect(key=new_key("read"))
    for word in (MARK, "nowhere"):
        for mode in ("vector", "text", "hybrid"):
            refused = client.post(f"{BASE}/search", json={"query": word, "mode": mode, "explain": True})
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
            assert "`explain`" in refused.json()["detail"]
        for path, asked in (("search", {"queries": [word]}), ("recommend", {"positive_texts": [word]})):
            assert client.post(f"{BASE}/{path}", json={**asked, "explain": True}).status_code == 403
    both = ({"query": word, "mode": "text"} for word in (MARK, "nowhere"))
    theirs, nobodys = (client.post(f"{BASE}/search", json=asked) for asked in both)
    assert theirs.status_code == 200 and theirs.json() == nobodys.json()

    address = {"collection": "shared", "q": "passwords", "tenant": "red"}
    assert "SQL and plan" in whole.get("/page/hits", params=address).text
    assert "Execution Time" in whole.get("/page/explain", params=address).text
    for path in ("hits", "main"):
        page = client.get(f"/page/{path}", params=address).text
        assert "Why this hit" in page and "SQL and plan" not in page
        assert "every chunk that matches was compared." in page
    assert client.get("/page/explain", params=address).status_code == 403


def test_a_key_of_one_collection_sees_no_other(connect: Client, new_key: NewKey, shared: Collection) -> None:
    client = connect(key=new_key("read", collections=["shared"]))
    assert [each["name"] for each in client.get("/v1/collections").json()["collections"]] == ["shared"]
    assert [each["name"] for each in client.get("/v1/status").json()["collections"]] == ["shared"]
    absent, hidden = (client.get(f"/v1/collections/{name}") for name in ("secret_canari", f"secret_{MARK}"))
    told = [answer.json()["detail"].replace(MARK, "canari") for answer in (absent, hidden)]
    assert told[0] == told[1]
