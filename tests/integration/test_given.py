"""Documents that bring their own embeddings: no task, no model, searchable when put returns."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import InvalidInput
from tests.integration.hands import inputs, searchable
from tests.provider import Provider


@pytest.fixture
def points(model_db: Database) -> Collection:
    return model_db.create_collection("points", dimensions=2, distance="l2")


def test_a_given_embedding_is_stored_as_it_is(points: Collection, provider: Provider) -> None:
    report = points.put([Document("a", "some text", {"year": 1}, title="T", embedding=[3.0, 4.0])])
    assert (report.added, report.chunks, report.embedded) == (1, 1, 0)
    assert inputs(provider) == []
    hit = points.search(embedding=[0.0, 0.1])[0]
    assert (hit.text, hit.heading, hit.metadata, hit.start, hit.end) == ("some text", "T", {"year": 1}, 0, 9)
    assert hit.distance == pytest.approx(np.hypot(3, 3.9))
    assert (points.status().documents, points.status().backlog) == (1, 0)
    assert points.get("a").embedding is None  # a document is given back as text; its embedding is in the view


@pytest.mark.parametrize(
    "embedding", [[1, 2], (1.0, 2.0), np.array([1, 2]), np.array([1, 2], np.float16), np.array([1, 2], ">f8")]
)
def test_any_sequence_of_numbers_will_do(points: Collection, embedding: Any) -> None:
    points.put([{"id": "a", "text": "x", "embedding": embedding}])
    assert points.search(embedding=[1, 2])[0].distance == 0


def test_what_is_put_again_is_counted_by_what_became_of_it(points: Collection) -> None:
    first = [
        Document("a", "x", embedding=[1, 1]),
        Document("b", "y", embedding=[2, 2]),
        Document("c", "", embedding=[3, 3]),
    ]
    assert points.put(first).added == 3
    again = points.put(first)
    assert (again.added, again.changed, again.unchanged) == (0, 0, 3)
    moved = points.put(
        [
            Document("a", "x", embedding=[5, 5]),  # another embedding of the same text
            Document("b", "z", embedding=[2, 2]),  # another text
            Document("c", "", embedding=[3, 3]),
            Document("d", "new", embedding=[4, 4]),
        ]
    )
    assert (moved.added, moved.changed, moved.unchanged) == (1, 2, 1)
    hits = {hit.document_id: hit for hit in points.search(embedding=[0.1, 0])}
    assert hits["a"].distance == pytest.approx(np.hypot(4.9, 5))
    assert hits["b"].text == "z"


def test_of_two_with_one_id_the_last_wins(points: Collection) -> None:
    points.put([Document("a", "x", embedding=[1, 1]), Document("a", "y", embedding=[2, 2])])
    assert searchable(points) == {"a": ["y"]}


def test_a_given_embedding_replaces_all_chunks_of_a_longer_text(notes: Collection) -> None:
    notes.put([Document("a", "\n\n".join(f"Sentence {number} is short enough." for number in range(10)))])
    assert len(searchable(notes)["a"]) == 5
    notes.put([Document("a", "short", embedding=np.ones(8))])
    assert searchable(notes) == {"a": ["short"]}
    notes.put([Document("a", "short", {"embedded": "by the model"})])  # the text is the same, so is its embedding
    assert notes.search(embedding=np.ones(8))[0].distance == pytest.approx(0, abs=1e-6)


def test_given_and_embedded_documents_come_in_one_batch(notes: Collection, provider: Provider) -> None:
    report = notes.put([Document("a", "given", embedding=np.ones(8)), Document("b", "embedded")])
    assert (report.added, report.chunks, report.embedded) == (2, 2, 1)
    assert inputs(provider) == ["embedded"]
    assert searchable(notes) == {"a": ["given"], "b": ["embedded"]}


def test_a_failed_document_is_forgiven_when_it_brings_an_embedding(
    notes: Collection, provider: Provider, sql: psycopg.Connection[Any]
) -> None:
    provider.rules(poison="poison")
    notes.ingest(_source(Document("a", "poison")))
    assert notes.status().failed == 1
    notes.put([Document("a", "poison", embedding=np.ones(8))])
    assert notes.status().failed == 0


def _source(*documents: Document) -> Any:
    class Source:
        name = "test"
        total = len(documents)

        def __iter__(self) -> Any:
            return iter(documents)

    return Source()


@pytest.mark.parametrize(
    ("embedding", "problem"),
    [
        ([1.0], r"'bad' brings an embedding of shape \(1,\)"),
        ([[1.0, 2.0]], r"shape \(1, 2\)"),
        (5.0, r"shape \(\)"),
        (["a", "b"], "not a sequence of numbers"),
        ([1.0, [2.0]], "not a sequence of numbers"),
        ([1.0, float("nan")], "NaN"),
        ([1.0, float("inf")], "infinity"),
        ([1.0, 1e39], "infinity"),
        ([0.0, 0.0], "zero"),
        ([1e-30, 0.0], "norm"),
    ],
)
def test_what_is_no_embedding_is_refused(points: Collection, embedding: Any, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        points.put([Document("good", "x", embedding=[1, 1]), Document("bad", "x", embedding=embedding)])
    assert points.status().documents == 0


@pytest.mark.parametrize("number", [65520, -70000, 1e-8])
def test_what_half_precision_cannot_hold_is_refused(model_db: Database, number: float) -> None:
    # The largest half is 65,504; from 65,520 on it rounds to infinity. The smallest is 6e-8, half of which is zero.
    half = model_db.create_collection("half", dimensions=2, vector_type="halfvec")
    with pytest.raises(InvalidInput, match="halfvec"):
        half.put([Document("a", "x", embedding=[number, 0])])
    with pytest.raises(InvalidInput, match="halfvec"):
        half.search(embedding=[number, 0])
    half.put([Document("a", "x", embedding=[65519, 0])])
    assert half.search(embedding=[65504, 0])[0].distance == pytest.approx(0, abs=1e-6)


def test_a_model_whose_embeddings_do_not_fit_half_precision_fails_its_documents_only(
    model_db: Database, provider: Provider
) -> None:
    half = model_db.create_collection("half", model="openai:test-model", vector_type="halfvec")
    large = "[" + ", ".join(["100000.0"] * 8) + "]"
    provider.script({"fault": "embedding", "embedding": large}, {"fault": "embedding", "embedding": large})
    report = half.ingest(_source(Document("a", "x"), Document("b", "y")))
    assert list(report.failed) == ["a"]  # first both together, then each alone, and the script is over
    assert searchable(half) == {"b": ["y"]}


def test_writers_of_the_same_documents_do_not_disturb_each_other(points: Collection) -> None:
    """In opposite orders, new and old at once: whatever PostgreSQL decides, both end and the chunks fit the text."""

    def write(order: int, text: str) -> None:
        documents = [Document(f"d{number}", text, embedding=[number + 1, 1]) for number in range(50)]
        for _ in range(3):
            points.put(documents[::order])

    writers = [threading.Thread(target=write, args=each) for each in ((1, "forward"), (-1, "backward"))]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stored = searchable(points)
    assert len(stored) == 50
    for id, texts in stored.items():
        assert texts == [points.get(id).text]
