"""OpenAI's protocol, spoken by OpenAI's own client."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import openai
import pytest
from starlette.testclient import TestClient

from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.web import server
from tests.integration.hands import MODEL
from tests.integration.web.conftest import Client, NewKey
from tests.provider import Provider

Serve = Callable[..., server.Running]


@pytest.fixture
def sdk(serve: Serve) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{serve().url}/v1", api_key="none is needed", max_retries=0) as client:
        yield client


def test_the_client_gets_embeddings_in_both_formats(sdk: openai.OpenAI, notes: Collection) -> None:
    texts = ["one", "two words", "three more words"]
    packed = sdk.embeddings.create(model=MODEL, input=texts)
    plain = sdk.embeddings.create(model="notes", input=texts, encoding_format="float", user="somebody")
    for answer in (packed, plain):
        assert [item.index for item in answer.data] == [0, 1, 2]
        made = np.array([item.embedding for item in answer.data], np.float32)
        assert np.allclose(made, notes.embed_documents(texts), atol=1e-6)
        assert answer.model == MODEL
        assert answer.usage.prompt_tokens == answer.usage.total_tokens == notes.count_tokens(texts) > 0
    query = sdk.embeddings.create(model="notes", input="one", extra_body={"input_type": "query"})
    assert np.allclose(query.data[0].embedding, notes.embed_queries(["one"])[0], atol=1e-6)
    assert [model.id for model in sdk.models.list()] == [MODEL]
    assert sdk.models.retrieve(MODEL).owned_by == "semsearch"


def test_the_client_is_told_what_is_wrong(sdk: openai.OpenAI, notes: Collection, provider: Provider) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"model": MODEL, "input": [1, 2, 3]}, "tokens"),
        ({"model": MODEL, "input": [[1], [2]]}, "tokens"),
        ({"model": MODEL, "input": ""}, "empty"),
        ({"model": MODEL, "input": ["a", ""]}, "empty"),
        ({"model": MODEL, "input": []}, "1 to 2,048"),
        ({"model": MODEL, "input": ["a"] * 2049}, "1 to 2,048"),
        ({"model": MODEL, "input": "a", "dimensions": 5}, "8 dimensions, not 5"),
    ]
    for arguments, said in wrong:
        with pytest.raises(openai.BadRequestError, match=said) as caught:
            sdk.embeddings.create(**arguments)
        assert caught.value.type == "invalid_request_error"
        assert caught.value.code == "invalid_input"
    for arguments, parameter in (
        ({"model": 3, "input": "a"}, "model"),
        ({"model": MODEL, "input": "a", "encoding_format": "hex"}, "encoding_format"),
        (
            {"model": MODEL, "input": "a", "dimensions": 5},
            None,
        ),  # the form of the request is right
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            sdk.embeddings.create(**arguments)
        assert caught.value.param == parameter
    with pytest.raises(openai.NotFoundError, match="no collection uses the model 'gpt'"):
        sdk.embeddings.create(model="gpt", input="a")
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("gpt")
    provider.rules(always={"fault": "status", "status": 401})
    with pytest.raises(openai.InternalServerError) as caught_5xx:
        sdk.embeddings.create(model=MODEL, input="something new")
    assert caught_5xx.value.status_code == 503


def test_dimensions_are_those_that_a_collection_has(client: TestClient, model_db: Database, notes: Collection) -> None:
    short = model_db.create_collection("short", model="openai:text-embedding-3-small", dimensions=4)
    for dimensions, collection in ((4, short), (None, short)):
        body = {"model": short.model, "input": "one", **({"dimensions": dimensions} if dimensions else {})}
        made = client.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]
        assert np.allclose(made, collection.embed_documents(["one"])[0], atol=1e-6)
    assert client.post("/v1/embeddings", json={"model": "notes", "input": "a", "dimensions": 4}).status_code == 400


def test_a_key_has_the_models_of_its_collections_only(
    connect: Client, new_key: NewKey, notes: Collection, model_db: Database
) -> None:
    model_db.create_collection("other", model="openai:other-model")
    client = connect(key=new_key("read", collections=["notes"]))
    assert [each["id"] for each in client.get("/v1/models").json()["data"]] == [MODEL]
    assert client.get("/v1/models/openai:other-model").status_code == 404
    for model in ("openai:other-model", "other"):
        answer = client.post("/v1/embeddings", json={"model": model, "input": "a"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert client.post("/v1/embeddings", json={"model": "notes", "input": "a"}).status_code == 200
    refused = connect().post("/v1/embeddings", json={"model": "notes", "input": "a"})
    assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error")


def test_tokens_count_towards_the_budget_of_the_collection(client: TestClient, notes: Collection) -> None:
    used = notes.count_tokens(["one two", "three"])
    notes.set_token_budget(2 * used)
    body: dict[str, Any] = {"model": "notes", "input": ["one two", "three"]}
    assert client.post("/v1/embeddings", json=body).json()["usage"]["total_tokens"] == used
    assert client.post("/v1/embeddings", json=body | {"input_type": "query"}).status_code == 200
    over = client.post("/v1/embeddings", json=body)
    assert (over.status_code, over.json()["code"]) == (503, "budget_exhausted")
    assert int(over.headers["retry-after"]) > 0
    large = client.post("/v1/embeddings", json=body | {"input": "one two three " * used})
    assert (large.status_code, "token budget of a day" in large.text) == (400, True)
    notes.set_token_budget(None)
    assert client.post("/v1/embeddings", json=body).status_code == 200


def test_many_texts_have_a_deadline(connect: Client, notes: Collection) -> None:
    for kind in ("document", "query"):
        body = {"model": "notes", "input": [f"{kind} {number}" for number in range(600)], "input_type": kind}
        late = connect(admin_deadline=0.001).post("/v1/embeddings", json=body)
        assert (late.status_code, late.json()["code"]) == (504, "deadline_exceeded")
        assert "send fewer" in late.json()["detail"]


def test_who_may_only_read_sends_less(connect: Client, notes: Collection, new_key: NewKey) -> None:
    reader, writer = (connect(new_key(scope), search_bytes=1000, ingest_bytes=3000) for scope in ("read", "write"))
    body = {"model": "notes", "input": "x" * 2000}
    assert [door.post("/v1/embeddings", json=body).status_code for door in (reader, writer)] == [413, 200]
    assert writer.post("/v1/embeddings", json=body | {"input": "x" * 4000}).status_code == 413


@pytest.mark.model
def test_vectors_are_those_of_sentence_transformers(
    serve: Serve, model_db: Database, model_name: str, sdk: openai.OpenAI
) -> None:
    from semsearch.embedders import library, local_model, precision

    texts = ["The sky is blue.", "how do I reset my password?", "日本語のテキスト", "word " * 700, "a"]
    with library.quiet():
        from sentence_transformers import SentenceTransformer

        reference = SentenceTransformer(str(local_model.find("all-MiniLM-L6-v2")), device="cpu").encode(texts)
    collection = model_db.create_collection("mini", model=model_name)
    least = 0.999 if precision.native_bf16() else 0.9999
    for more in ({}, {"encoding_format": "float"}, {"extra_body": {"input_type": "query"}}):
        answer = sdk.embeddings.create(model=model_name, input=texts, **more)  # type: ignore[call-overload]
        made = np.array([item.embedding for item in answer.data])
        norms = np.linalg.norm(made, axis=1) * np.linalg.norm(reference, axis=1)
        assert (np.sum(made * reference, axis=1) / norms >= least).all()
    assert answer.usage.prompt_tokens == collection.count_tokens(texts)
    assert collection.count_tokens(["word " * 700]) == collection.count_tokens(["word " * 300]) == 256  # all it reads
    raw = sdk.embeddings.with_raw_response.create(model=model_name, input=texts[0], encoding_format="base64")
    packed = raw.http_response.json()["data"][0]["embedding"]
    decoded = np.frombuffer(base64.b64decode(packed), "<f4")
    assert np.allclose(decoded, collection.embed_documents(texts[:1])[0], atol=1e-6)
