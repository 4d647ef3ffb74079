"""Collections over HTTP: made by an administrator with a model that the server knows, described, dropped."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from starlette.testclient import TestClient

from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.web.bodies.collections import NewCollection
from semsearch.web.routes.collections import PATH
from tests.integration.hands import MODEL
from tests.integration.web.conftest import Client, NewKey
from tests.provider import Provider

BASE = "/v1/collections"


def test_every_argument_of_python_has_its_field() -> None:
    taken = inspect.signature(Database.create_collection).parameters
    assert set(NewCollection.model_fields) == set(taken) - {"self"}
    for name, field in NewCollection.model_fields.items():
        if name not in ("name", "fields"):
            assert field.default == taken[name].default, name


def test_a_collection_is_made_described_and_dropped(client: TestClient, notes: Collection) -> None:
    wanted = {
        "name": "made",
        "model": MODEL,
        "distance": "l2",
        "vector_type": "halfvec",
        "fields": {"year": "integer", "team": "text"},
        "chunk_size": 20,
        "chunk_overlap": 5,
        "index": "none",
        "quantization": None,
        "cache": True,
        "token_budget": 1000,
        "language": "german",
        "tenant": "team",
    }
    answer = client.post(BASE, json=wanted)
    assert answer.status_code == 201, answer.text
    described = answer.json()
    kept = ("name", "model", "distance", "vector_type", "fields", "chunk_size", "chunk_overlap", "cache", "language")
    assert {name: described[name] for name in kept} == {name: wanted[name] for name in kept}
    assert (described["dimensions"], described["attached"], described["tenant"]) == (8, False, "team")
    whole = client.get(f"{BASE}/made").json()
    assert whole.pop("status")["token_budget"] == 1000
    assert whole == described
    assert [each["name"] for each in client.get(BASE).json()["collections"]] == ["made", "notes"]
    again = client.post(BASE, json={"name": "made", "dimensions": 3})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert client.delete(f"{BASE}/made").status_code == 204
    for gone in (client.get(f"{BASE}/made"), client.delete(f"{BASE}/made")):
        assert gone.status_code == 404


def test_how_far_all_are_is_told(client: TestClient, notes: Collection) -> None:
    notes.put([{"id": "a", "text": "one"}])
    notes.put([{"id": "b", "text": "two"}], wait=False)
    (status,) = client.get("/v1/status").json()["collections"]
    assert (status["documents"], status["stored_documents"], status["backlog"], status["coverage"]) == (2, 1, 1, 0.5)
    assert client.get(f"{BASE}/notes/index").json() == {"indexes": []}
    found = client.post(f"{BASE}/notes/verify", json={}).json()
    assert (found["documents"], found["waiting"], found["clean"]) == (1, 1, True)


def test_only_models_that_somebody_on_the_server_has_chosen_are_loaded(
    client: TestClient, provider: Provider, connect: Client
) -> None:
    provider.reset()
    hostile = (
        MODEL,
        "openai:other",
        "sentence-transformers:/etc",
        "sentence-transformers:../../model",
        "sentence-transformers:attacker/model",
    )
    for model in hostile:
        answer = client.post(BASE, json={"name": "made", "model": model})
        assert (answer.status_code, "none that this server was told of" in answer.json()["detail"]) == (400, True), (
            model
        )
    for more in ({"base_url": "http://evil"}, {"api_key": "k"}, {"trust_remote_code": True}, {"openai_base_url": "x"}):
        answer = client.post(BASE, json={"name": "made", "dimensions": 3, **more})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["path"] == f"$.{next(iter(more))}"
    assert provider.calls == []
    assert client.get(BASE).json() == {"collections": []}
    assert connect(models=(MODEL,)).post(BASE, json={"name": "made", "model": MODEL}).status_code == 201
    assert client.post(BASE, json={"name": "more", "model": MODEL}).status_code == 201  # it is in use now
    folder = connect(models=("sentence-transformers:/models/own",))
    assert folder.post(BASE, json={"name": "x", "model": "sentence-transformers:/models/own"}).status_code == 400


def test_models_of_others_are_not_told_apart_from_unknown_ones(
    connect: Client, new_key: NewKey, notes: Collection, model_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = connect(key=new_key("admin", collections=["notes"]))
    model_db.create_collection("made", dimensions=3)
    key = new_key("admin", collections=["made"])
    model_db.drop_collection("made")
    for model in (MODEL, "openai:nobody-has-it"):
        answer = connect(key=key).post(BASE, json={"name": "made", "model": model})
        assert (answer.status_code, "none that this server was told of" in answer.json()["detail"]) == (400, True)
    assert bound.post(BASE, json={"name": "notes", "model": MODEL}).status_code == 409  # its own may be named
    there = Database.names
    monkeypatch.setattr(Database, "names", lambda self: ["dropped_meanwhile", *there(self)])
    assert connect(key=new_key("admin")).post(BASE, json={"name": "more", "model": MODEL}).status_code == 201


@pytest.mark.parametrize(
    "name", ["/etc", "./model", "~/model", "a/../b", "a/b/c", "C:\\models", "a\\b", "a//b", ".hidden"]
)
def test_a_path_is_no_name_of_a_model(name: str) -> None:
    assert PATH.search(name)


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "BAAI/bge-small-en-v1.5", "text-embedding-3-small"])
def test_a_name_of_a_model_is_no_path(name: str) -> None:
    assert not PATH.search(name)


def test_what_makes_no_sense_is_refused_and_named(connect: Client) -> None:
    client = connect(max_collections=1)
    for body, said in (
        ({"name": "Made", "dimensions": 3}, "name"),
        ({"name": "made"}, "needs a model"),
        ({"name": "made", "dimensions": 3.5}, "dimensions"),
        ({"name": "made", "dimensions": 3, "distance": "dot"}, "distance"),
        ({"name": "made", "dimensions": 3, "fields": {"a": "blob"}}, "fields"),
        ({"name": "made", "dimensions": 3, "tenant": "team"}, "team"),
        ({"name": "made", "dimensions": 3, "language": "klingon"}, "klingon"),
    ):
        answer = client.post(BASE, json=body)
        assert answer.status_code == 400, body
        assert said in answer.text
    assert client.post(BASE, json={"name": "one", "dimensions": 3}).status_code == 201
    assert client.post(BASE, json={"name": "two", "dimensions": 3}).status_code == 409


def test_failures_are_listed_tried_again_and_forgotten(
    client: TestClient, notes: Collection, provider: Provider
) -> None:
    base = f"{BASE}/notes/failures"
    provider.rules(poison="poison")
    texts = [{"id": f"n{number}", "text": f"poison {number}"} for number in range(7)]
    for some in (texts[:3], texts[3:]):
        notes.bring(some)
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while params is not None:
        page = client.get(base, params=params).json()
        seen += [each["document_id"] for each in page["failures"]]
        if page["next"] is None:
            break
        params = {"limit": 2, "after": page["next"]}
    assert seen == [failure.document_id for failure in notes.failures()]
    assert len(set(seen)) == 7
    one = client.get(base, params={"document_id": "n3"}).json()["failures"][0]
    assert (one["waiting"], "invalid" in one["reason"]) == (False, True)
    assert client.get(base, params={"reason": "nothing like it"}).json() == {"failures": [], "next": None}
    assert client.get(base, params={"since": "2099-01-01T00:00:00Z"}).json()["failures"] == []
    for wrong in (
        {"after": "x"},
        {"since": "yesterday"},
        {"limit": 0},
        {"since": "2024-01-01T00:00:00"},
        {"since": "0.5"},
    ):
        assert client.get(base, params=wrong).status_code == 400
    assert client.post(f"{base}/retry", json={"document_id": "n1"}).json() == {"retried": 1}
    assert client.get(base, params={"document_id": "n1"}).json()["failures"][0]["waiting"] is True
    assert client.post(f"{base}/retry", json={"since": "2000-01-01T00:00:00Z"}).json() == {"retried": 6}
    assert client.delete(base, params={"document_id": "n2"}).json() == {"forgotten": 1}
    assert client.delete(base).json() == {"forgotten": 6}
    assert client.get(base).json()["failures"] == []
