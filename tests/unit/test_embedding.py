"""From claimed documents to rows: what is kept, what is embedded, and who is at fault when the model refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semsearch import Document, embedding
from semsearch.embedders import Spent, unheeded
from semsearch.errors import InvalidInput, ProviderBusy, UnusableEmbedding
from semsearch.records import Embedding
from semsearch.store.chunks import Row
from semsearch.store.spaces import Space
from semsearch.store.tasks import Claim, Work
from tests.provider import vector


class Model:
    """Refuses what has the word `bad` in it, as providers do: the whole request, without saying which text."""

    model, dimensions, max_tokens, fingerprint = "test", 8, 512, "test 1"

    def __init__(self, refusal: Exception | None = None) -> None:
        self.calls: list[list[str]] = []
        self.refusal = refusal or InvalidInput("one of the texts is refused.")

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]

    def splitter(self, capacity: int, overlap: int, *, markdown: bool = False) -> Any:
        raise AssertionError("documents are one chunk each here")

    def embed_documents(self, texts: Sequence[str], *, spent: Spent = unheeded) -> Embedding:
        self.calls.append(list(texts))
        if any("bad" in text for text in texts):
            raise self.refusal
        spent(sum(self.count_tokens(texts)))
        return np.array([vector(text) for text in texts])

    def embed_query(self, text: str) -> Embedding:
        return vector(text)

    def probe(self, *, fresh: bool = False) -> Embedding | None:
        return None


def space(**differently: Any) -> Space:
    values: dict[str, Any] = {
        "id": 1,
        "collection_id": 1,
        "name": "notes",
        "state": "active",
        "reason": None,
        "model": "test",
        "dimensions": 8,
        "shortened": False,
        "distance": "cosine",
        "vector_type": "vector",
        "chunk_size": 0,
        "chunk_overlap": 0,
        "index_kind": "auto",
        "fingerprint": "test 1",
        "fields": (),
        "attachment": None,
        "cached": False,
        "token_budget": None,
    }
    return Space(**(values | differently))


def works(*documents: Document | None) -> list[Work]:
    return [Work(Claim(d.id if d else "gone", 1, 1), d, (1,)) for d in documents]


def prepare(
    embedder: Model, *documents: Document | None, stored: embedding.Hashes | None = None, **differently: Any
) -> embedding.Prepared:
    made = embedding.plan(space(**differently), works(*documents), stored or {}, lambda: embedder)
    return embedding.embed(made)


def test_each_document_gets_the_embedding_of_its_text() -> None:
    prepared = prepare(Model(), Document("a", "one", {"n": 1}), Document("b", "two"))
    assert (prepared.embedded, prepared.failed) == (2, {})
    (row,) = prepared.rows["a"]
    assert (row.document_id, row.chunk.text, row.metadata) == ("a", "one", {"n": 1})
    assert np.array_equal(row.embedding, vector("one"))  # type: ignore[arg-type]


def test_documents_that_are_gone_and_empty_ones_get_no_rows_and_no_call() -> None:
    model = Model()
    prepared = prepare(model, None, Document("a", ""), Document("b", " \n"))
    assert {id: len(rows) for id, rows in prepared.rows.items()} == {"a": 0, "b": 0}
    assert model.calls == []


def test_the_model_is_not_loaded_when_nothing_needs_it() -> None:
    def load() -> Model:
        raise AssertionError

    made = embedding.plan(space(), works(None), {}, load)
    assert embedding.embed(made).rows == {}


def test_a_text_in_several_documents_is_embedded_once() -> None:
    model = Model()
    prepared = prepare(model, *(Document(f"d{n}", "same") for n in range(5)), Document("e", "other"))
    assert model.calls == [["same", "other"]]
    assert prepared.embedded == 2
    assert all(np.array_equal(prepared.rows[f"d{n}"][0].embedding, vector("same")) for n in range(5))  # type: ignore[arg-type]


def test_what_is_stored_keeps_its_embedding() -> None:
    model = Model()
    stored = {"a": {0: embedding.chunk_hash("test 1", "one")}, "b": {0: embedding.chunk_hash("test 0", "two")}}
    prepared = prepare(model, Document("a", "one"), Document("b", "two"), stored=stored)
    assert model.calls == [["two"]]  # that of b was made by another model
    assert prepared.rows["a"][0].embedding is None
    assert prepared.embedded == 1


def test_what_one_document_keeps_another_has_embedded() -> None:
    stored = {"a": {0: embedding.chunk_hash("test 1", "one")}}
    prepared = prepare(Model(), Document("a", "one"), Document("b", "one"), stored=stored)
    assert np.array_equal(prepared.rows["b"][0].embedding, vector("one"))  # type: ignore[arg-type]


def test_a_given_embedding_is_kept_while_the_text_is_the_same() -> None:
    model = Model()
    stored = {"a": {0: embedding.given_hash("one")}, "b": {0: embedding.given_hash("old")}}
    prepared = prepare(model, Document("a", "one", title="New"), Document("b", "new"), stored=stored)
    (row,) = prepared.rows["a"]
    assert (row.embedding, row.hash, row.chunk.heading) == (None, embedding.given_hash("one"), "New")
    assert model.calls == [["new"]]


def test_without_a_model_a_changed_text_asks_for_its_embedding() -> None:
    stored = {"a": {0: embedding.given_hash("old")}}
    prepared = prepare(Model(), Document("a", "new"), stored=stored, model=None, fingerprint=None)
    assert "put it with its new embedding" in prepared.failed["a"]
    assert prepared.rows == {}


@given(st.sets(st.integers(0, 63), max_size=4), st.integers(1, 64))
def test_only_the_documents_at_fault_fail(bad: set[int], number: int) -> None:
    model = Model()
    bad = {each for each in bad if each < number}
    documents = [Document(f"d{n}", f"bad {n}" if n in bad else f"good {n}") for n in range(number)]
    prepared = prepare(model, *documents)
    assert set(prepared.failed) == {f"d{n}" for n in bad}
    assert set(prepared.rows) == {f"d{n}" for n in range(number) if n not in bad}
    for id, (row,) in prepared.rows.items():
        assert np.array_equal(row.embedding, vector(f"good {id[1:]}"))  # type: ignore[arg-type]
    # One call; for each at fault two more on each of at most six levels.
    assert len(model.calls) <= 1 + 12 * len(bad)


def test_an_unusable_embedding_fails_its_document_only() -> None:
    prepared = prepare(Model(UnusableEmbedding("embedding 0 is zero.")), Document("a", "bad"), Document("b", "good"))
    assert prepared.failed == {"a": "embedding 0 is zero."}
    assert set(prepared.rows) == {"b"}


def test_a_model_that_is_not_there_fails_nobody() -> None:
    with pytest.raises(ProviderBusy):
        prepare(Model(ProviderBusy("wait")), Document("a", "bad"))


def test_hashes_tell_model_text_and_origin_apart() -> None:
    hashes = {
        embedding.chunk_hash("m", "text"),
        embedding.chunk_hash("m2", "text"),
        embedding.chunk_hash("m", "text2"),
        embedding.given_hash("text"),
    }
    assert len(hashes) == 4
    assert all(len(hash) == 32 for hash in hashes)


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ([65519, 1], True),
        ([65520, 1], False),
        ([-65520, 1], False),
        ([6e-8, 0], True),
        ([2e-8, 0], False),
        ([1, 0], True),
    ],
)
def test_half_precision_holds_65504_at_most_and_6e_8_at_least(values: list[float], fits: bool) -> None:
    array = np.array([[1, 1], values], np.float32)
    embedding.check_fits(space(), array)
    if fits:
        embedding.check_fits(space(vector_type="halfvec"), array)
    else:
        with pytest.raises(UnusableEmbedding, match=r"embedding 1 .*halfvec"):
            embedding.check_fits(space(vector_type="halfvec"), array)


def test_a_whole_document_is_one_chunk() -> None:
    chunk = embedding.whole(Document("a", "some text", title="T"))
    assert (chunk.ordinal, chunk.start, chunk.end, chunk.heading) == (0, 0, 9, "T")
    assert Row("a", chunk, b"", None, {}).chunk is chunk
