"""Searches over HTTP: every option of Python's `search` arrives, and the hits are the same."""

from __future__ import annotations

import inspect
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from starlette.testclient import TestClient

from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.request import Options, Request
from semsearch.web.bodies.searching import FacetsBody, Recommend, Search
from tests.integration.hands import MODEL
from tests.integration.web.conftest import Client
from tests.provider import Provider

BASE = "/v1/collections/words"

# For each option a value other than its default, with what it needs beside it.
GIVEN: dict[str, dict[str, Any]] = {
    "top_k": {"top_k": 2},
    "filter": {"filter": {"year": {"$gte": 2003}}},
    "mode": {"mode": "text"},
    "fusion": {"mode": "hybrid", "fusion": "rrf"},
    "weights": {"mode": "hybrid", "weights": [0.3, 0.7]},
    "depth": {"mode": "hybrid", "depth": 5},
    "plan": {"plan": "exact"},
    "boosts": {"boosts": [{"field": "year", "origin": 2004, "scale": 2, "weight": 0.5}]},
    "diversity": {"diversity": 0.5},
    "candidates": {"diversity": 0.5, "candidates": 12},
    "per_document": {"per_document": 1},
    "max_distance": {"max_distance": 0.9},
    "min_score": {"mode": "text", "min_score": 0.01},
    "highlight": {"highlight": True},
    "neighbours": {"neighbours": 1},
    "deadline": {"deadline": 50.0},
    "partial": {"deadline": 50.0, "partial": True},
    "explain": {"explain": True},
}
ELSEWHERE = {"after", "tenant", "rerank"}  # tests of their own


@pytest.fixture
def words(model_db: Database, provider: Provider) -> Collection:
    made = model_db.create_collection(
        "words", model=MODEL, chunk_size=16, chunk_overlap=0, fields={"year": "integer", "lang": "text"}
    )
    texts = [f"Number {at} is a number.\n\n{'more words ' * 8}\n\nAbout passwords and {at} keys." for at in range(8)]
    made.put(
        {"id": f"d{number}", "text": text, "metadata": {"year": 2000 + number, "lang": ("en", "de")[number % 2]}}
        for number, text in enumerate(texts)
    )
    return made


def test_no_option_is_without_its_field_and_no_field_without_its_option() -> None:
    assert set(GIVEN) | ELSEWHERE == set(Options.__annotations__)
    targets = {"query", "queries", "embedding", "document_id"}
    assert set(Search.model_fields) - targets == set(Options.__annotations__)
    taken = set(inspect.signature(Collection.recommend).parameters) - {"self", "options"}
    assert set(Recommend.model_fields) == set(Options.__annotations__) | taken
    assert set(FacetsBody.model_fields) == set(inspect.signature(Collection.facets).parameters) - {"self"}
    defaults = {name: field.get_default(call_default_factory=True) for name, field in Search.model_fields.items()}
    same = {field.name: field.default for field in Request.__dataclass_fields__.values()}
    assert {name: defaults[name] or None for name in same} == {name: value or None for name, value in same.items()}
    for name in ("mode", "plan"):
        hint = get_type_hints(Options)[name]
        assert get_args(Search.model_fields[name].annotation) == get_args(hint)


def test_searches_of_the_page_have_the_deadline_of_the_server(
    connect: Client, words: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines: list[float] = []
    search = Collection.search

    def recorded(self: Collection, *arguments: Any, **options: Any) -> Any:
        deadlines.append(options["deadline"])
        return search(self, *arguments, **options)

    monkeypatch.setattr(Collection, "search", recorded)
    client = connect(search_deadline=40.0)
    asked = {"collection": "words", "q": "keys", "mode": "hybrid"}
    for path in ("/", "/page/main", "/page/hits", "/page/explain"):
        assert client.get(path, params=asked).status_code == 200
    assert client.get("/page/hits", params={"collection": "words", "like": "d1"}).status_code == 200
    assert client.get("/page/parts", params={**asked, "of": "d1", "chunk": 0}).status_code == 200
    assert deadlines[:5] == [40.0] * 5
    assert len(deadlines) == 7 and 0 < deadlines[6] < deadlines[5] < 40.0


@pytest.mark.parametrize("name", GIVEN)
def test_every_option_arrives(
    client: TestClient, words: Collection, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    search = Collection.search

    def watched(self: Collection, *target: Any, **options: Any) -> Any:
        seen.append(options)
        return search(self, *target, **options)

    expected = words.search("passwords and keys", **GIVEN[name])
    monkeypatch.setattr(Collection, "search", watched)
    answer = client.post(f"{BASE}/search", json={"query": "passwords and keys", **GIVEN[name]})
    assert answer.status_code == 200, answer.text
    assert seen[0][name] == GIVEN[name][name]
    told = answer.json()
    assert [(hit["document_id"], hit["ordinal"], hit["distance"]) for hit in told["hits"]] == [
        (hit.document_id, hit.ordinal, pytest.approx(hit.distance) if hit.distance is not None else None)
        for hit in expected
    ]
    assert told["plan"] == expected.plan
    assert ("explanation" in told) == ("sql" in told) == (name == "explain")
    shown = told["hits"][0]
    if name == "highlight":
        assert shown["highlight"] == list(expected[0].highlight or ())
    if name == "neighbours":
        assert shown.get("before") or shown.get("after")


def test_pages_follow_one_another(client: TestClient, words: Collection) -> None:
    pages: list[list[tuple[str, int]]] = []
    after: str | None = None
    while not pages or after is not None:
        body = {"query": "keys", "top_k": 5, **({"after": after} if after else {})}
        found = client.post(f"{BASE}/search", json=body).json()
        pages.append([(hit["document_id"], hit["ordinal"]) for hit in found["hits"]])
        after = found["next"]
    assert [key for page in pages for key in page] == [
        (hit.document_id, hit.ordinal) for hit in words.search("keys", top_k=100)
    ]


def test_every_form_of_a_question_finds_what_python_finds(client: TestClient, words: Collection) -> None:
    def ids(answer: Any) -> list[str]:
        assert answer.status_code == 200, answer.text
        return [hit["document_id"] for hit in answer.json()["hits"]]

    def expected(*target: Any, **options: Any) -> list[str]:
        return [hit.document_id for hit in words.search(*target, **options)]

    embedding = words.embed_queries(["keys"])[0]
    assert ids(client.post(f"{BASE}/search", json={"embedding": embedding.tolist()})) == expected("keys")
    assert ids(client.post(f"{BASE}/search", json={"document_id": "d3"})) == expected(document_id="d3")
    assert ids(client.get(f"{BASE}/similar", params={"document_id": "d3", "top_k": 4, "filter": "lang = de"})) == (
        expected(document_id="d3", top_k=4, filter={"lang": "de"})
    )
    for form in ("year >= 2003 and lang = en", '{"year": {"$gte": 2003}, "lang": "en"}'):
        params = {"q": "keys", "top_k": 3, "mode": "hybrid", "filter": form}
        assert ids(client.get(f"{BASE}/search", params=params)) == expected(
            "keys", top_k=3, mode="hybrid", filter={"year": {"$gte": 2003}, "lang": "en"}
        )
    recommended = client.post(f"{BASE}/recommend", json={"positive": ["d1", "d2"], "negative_texts": ["number"]})
    assert ids(recommended) == [hit.document_id for hit in words.recommend(["d1", "d2"], negative_texts=["number"])]
    both = client.post(f"{BASE}/search", json={"queries": ["keys", "number"], "top_k": 2}).json()["answers"]
    assert [[hit["document_id"] for hit in each["hits"]] for each in both] == [
        expected("keys", top_k=2),
        expected("number", top_k=2),
    ]


def test_several_queries_are_one_call_of_the_model(client: TestClient, words: Collection, provider: Provider) -> None:
    provider.reset()
    queries = [f"query {number}" for number in range(32)]
    assert len(client.post(f"{BASE}/search", json={"queries": queries, "top_k": 1}).json()["answers"]) == 32
    assert [len(call["inputs"]) for call in provider.calls] == [32]
    too_many = client.post(f"{BASE}/search", json={"queries": [*queries, "one more"]})
    assert (too_many.status_code, "at most 32" in too_many.json()["detail"]) == (400, True)


def test_facets_are_counted(client: TestClient, words: Collection) -> None:
    asked = {"names": ["lang", "year"], "filter": {"year": {"$lt": 2003}}, "limit": 2}
    found = client.post(f"{BASE}/facets", json=asked).json()["facets"]
    assert found["lang"] == {
        "values": [{"value": "en", "count": 2}, {"value": "de", "count": 1}],
        "distinct": 2,
        "missing": 0,
    }
    assert found["year"]["distinct"] == 3


def test_facets_leave_out_numbers_that_cannot_be_told(
    client: TestClient, model_db: Database, words: Collection
) -> None:
    numbers = {"d0": "1e5000", "d1": "1e400 + 0.5", "d2": "7.5"}
    with model_db.pools.writing.begin() as connection:
        for id, number in numbers.items():
            connection.exec_driver_sql(
                f"UPDATE semsearch.documents SET metadata = jsonb_build_object('price', {number}) WHERE id = '{id}'"
            )
    words.work()
    found = client.post(f"{BASE}/facets", json={"names": ["price"]})
    assert found.status_code == 200, found.text
    price = found.json()["facets"]["price"]
    assert price == {"values": [{"value": 7.5, "count": 1}], "distinct": 3, "missing": 5}
    for id in ("d0", "d1"):
        assert client.get(f"{BASE}/documents/{id}").json()["metadata"].keys() == {"unreadable"}


WRONG = [(400, "invalid_input"), (400, "invalid_filter")]


def test_what_makes_no_sense_is_refused_and_named(client: TestClient, words: Collection) -> None:
    for body, said in (
        ({}, "one of query"),
        ({"query": "a", "document_id": "d1"}, "one of query"),
        ({"query": "a", "topk": 5}, "topk"),
        ({"query": "a", "top_k": "5"}, "top_k"),
        ({"query": "a", "top_k": True}, "top_k"),
        ({"query": "a", "top_k": 1001}, "top_k"),
        ({"query": "a", "filter": "year = 1"}, "filter"),
        ({"query": "a", "filter": {"year": {"$gte": "x"}}}, "year"),
        ({"query": "a", "min_score": 1.0}, "min_score"),
        ({"query": "a", "after": "nonsense"}, "after"),
        ({"query": "a", "rerank": "sentence-transformers:/etc/passwd"}, "no model of this server"),
        ({"query": "a", "tenant": "red"}, "no tenants"),
        ({"query": " "}, "empty"),
        ({"embedding": [1.0]}, "8 dimensions"),
        ({"embedding": []}, "8 dimensions"),
    ):
        answer = client.post(f"{BASE}/search", json=body)
        assert (answer.status_code, answer.json().get("code")) in WRONG, body
        assert said in answer.text, (body, answer.text)
    assert client.post(f"{BASE}/search", json={"document_id": "nothing"}).status_code == 404
    path = client.post(f"{BASE}/search", json={"query": "a", "filter": {"$or": [{"a": {"$foo": 1}}]}}).json()
    assert (path["code"], path["path"].startswith("$.$or[0]")) == ("invalid_filter", True)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("search?q=a&top_k=1&top_k=2", "the parameter 'top_k' is there twice"),
        ('search?q=a&filter={"year":1,"year":2}', "the key 'year' is there twice"),
    ],
)
def test_what_is_there_twice_is_refused(client: TestClient, words: Collection, address: str, said: str) -> None:
    answer = client.get(f"{BASE}/{address}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(("asked", "kept"), [({}, 40.0), ({"deadline": 80.0}, 40.0), ({"deadline": 30.0}, 30.0)])
def test_the_server_has_the_last_word_on_time(
    connect: Client, words: Collection, monkeypatch: pytest.MonkeyPatch, asked: dict[str, float], kept: float
) -> None:
    given: list[float] = []
    for name in ("search", "facets"):

        def told(self: Collection, *values: Any, _real: Any = getattr(Collection, name), **options: Any) -> Any:
            given.append(options["deadline"])
            return _real(self, *values, **options)

        monkeypatch.setattr(Collection, name, told)
    client = connect(search_deadline=40.0)
    bodies = {"search": {"query": "a", "mode": "text"}, "facets": {"names": ["lang"]}}
    for route, body in bodies.items():
        assert client.post(f"{BASE}/{route}", json={**body, **asked}).status_code == 200
    assert given == [kept, kept]
    given.clear()
    assert client.post(f"{BASE}/search", json={"queries": ["a", "b"], "mode": "text", **asked}).status_code == 200
    assert len(given) == 2 and all(each <= kept for each in given)


@pytest.mark.model
def test_a_model_that_the_server_was_told_of_ranks_again(connect: Client, words: Collection, model_name: str) -> None:
    client = connect(rerank=model_name)
    answer = client.post(f"{BASE}/search", json={"query": "keys", "rerank": model_name})
    assert answer.status_code == 400  # it is no cross-encoder, which shows that it was asked
    assert "cross-encoder" in answer.json()["detail"]


def test_a_search_by_embedding_needs_no_model(client: TestClient, model_db: Database) -> None:
    given = model_db.create_collection("given", dimensions=3)
    given.put([{"id": f"{at}", "text": f"text {at}", "embedding": row} for at, row in enumerate(np.eye(3))])
    found = client.post("/v1/collections/given/search", json={"embedding": [0, 1, 0], "top_k": 1}).json()
    assert [hit["document_id"] for hit in found["hits"]] == ["1"]
    refused = client.get("/v1/collections/given/search", params={"q": "text"})
    assert (refused.status_code, "has no model" in refused.json()["detail"]) == (400, True)
    words_only = client.get("/v1/collections/given/search", params={"q": "text", "mode": "text"}).json()
    assert len(words_only["hits"]) == 3
    assert words_only["hits"][0]["distance"] is None


PAYLOADS = (
    "' OR '1'='1",
    "'; DROP TABLE semsearch.documents; --",
    "\\'; SELECT pg_sleep(10); --",
    "$$; SELECT 1; $$",
    "x') UNION SELECT 'CANARY' --",
    'a" = 1 OR "b',
    "%s %(x)s :x {0} {x}",
    "current_user",
    "metadata->>'a'",
    "${jndi:x}",
    "\u02bc OR 1=1",
)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_text_of_a_client_becomes_sql(
    client: TestClient, words: Collection, model_db: Database, payload: str
) -> None:
    secret = model_db.create_collection("secret", dimensions=2)
    secret.put([{"id": "CANARY", "text": "CANARY", "embedding": [1, 0]}])
    before = words.status().documents
    filters: list[Any] = [
        {payload: 1},
        {"lang": payload},
        {"lang": {"$in": [payload]}},
        {payload: {"$like": payload}},
        {"$id": payload},
        {"$text": {"$phrase": payload}},
        {"lang": {payload: 1}},
        {"$or": [{payload: {"$contains": payload}}, {"$not": {"a": {"$starts_with": payload}}}]},
    ]
    calls = [
        *(("POST", "/search", {"json": {"query": payload, "filter": each, "explain": True}}) for each in filters),
        ("POST", "/search", {"json": {"query": payload, "mode": "hybrid"}}),
        ("POST", "/search", {"json": {"query": "a", "boosts": [{"field": payload}]}}),
        ("POST", "/search", {"json": {"query": "a", "after": payload, "tenant": payload}}),
        ("POST", "/search", {"json": {"document_id": payload}}),
        ("GET", "/search", {"params": {"q": payload, "filter": payload, "tenant": payload}}),
        ("GET", "/similar", {"params": {"document_id": payload}}),
        ("POST", "/recommend", {"json": {"positive": [payload]}}),
        ("POST", "/facets", {"json": {"names": [payload, "lang"], "filter": {payload: payload}}}),
        ("GET", "/documents", {"params": {"after": payload}}),
        ("GET", "/chunks", {"params": {"document_id": payload}}),
        ("POST", "/documents/delete", {"json": {"ids": [payload]}}),
        ("GET", "/failures", {"params": {"after": payload, "reason": payload, "document_id": payload}}),
        ("POST", "/failures/retry", {"json": {"reason": payload, "document_id": payload}}),
        ("DELETE", "/failures", {"params": {"reason": payload}}),
    ]
    for method, path, more in calls:
        answer = client.request(method, f"{BASE}{path}", **more)
        assert answer.status_code < 500, (path, more, answer.text)
        assert "CANARY" not in answer.text.replace(payload, "").replace(repr(payload)[1:-1], "") or "CANARY" in payload
        found = answer.json()
        if path == "/search" and "hits" in found and "sql" in found:
            assert payload not in found["sql"] or payload in ("current_user", "metadata->>'a'")
    for method in ("GET", "DELETE"):
        assert client.request(method, f"/v1/collections/{payload.replace('/', '')}").status_code in (404, 400)
    assert words.status().documents == before
    assert secret.get("CANARY").text == "CANARY"
