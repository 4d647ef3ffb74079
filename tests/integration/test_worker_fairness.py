"""How much of a collection a worker takes at once: large documents keep nobody waiting, small ones go together."""

from __future__ import annotations

from typing import Any

import pytest

from semsearch import Document, work
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.pipeline import LEAST, MOST, SECONDS, Pace, Pipeline
from semsearch.road import Road
from semsearch.store import leases, tasks
from tests.integration.hands import MODEL, inputs, searchable
from tests.integration.working import put
from tests.provider import Provider

CHUNKS = 60  # of each of the large documents


def large(id: str) -> Document:
    """Every sentence is a chunk of its own: 16 tokens hold one, but no two."""
    sentence = "Sentence {} of {} fills a chunk of its own."
    return Document(id, " ".join(sentence.format(number, id) for number in range(CHUNKS)))


@pytest.fixture
def pipeline(notes: Collection) -> Any:
    with leases.Worker(notes._pools.address) as worker:
        yield Pipeline(worker, patient=True)


def road(collection: Collection) -> Road:
    return Road(collection._pools.address, collection._pools.writing, collection.space, collection._embedder)


def at_most(pace: Pace, seconds: float, texts: int = 1) -> float:
    """The chunks of a portion after some that took so long."""
    for _ in range(20):
        pace.took(max(texts, int(pace.chunks)), seconds)
    return pace.chunks


def test_an_edit_waits_for_no_more_than_two_portions_of_large_documents(
    model_db: Database, notes: Collection, pipeline: Pipeline, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semsearch.pipeline.SECONDS", 1e-6)  # the model is never fast enough for more
    other = model_db.create_collection("other", model=MODEL)
    provider.reset()
    notes.put([large(f"d{number}") for number in range(30)], wait=False)
    roads = [road(notes)]

    def edited() -> list[Road]:
        if provider.calls and len(roads) == 1:
            other.put([Document("e", "edited")], wait=False)
            roads.append(road(other))
        return roads

    assert pipeline.run(edited) == 31
    texts = inputs(provider)
    # What a portion may have is an estimate by the length of the texts: hence a little more.
    assert texts.index("edited") <= 1.5 * 2 * work.CLAIM
    assert len(texts) == len(set(texts)) == 30 * CHUNKS + 1
    assert len(searchable(notes)) == 30


def test_what_does_not_fit_is_given_back_uncharged(
    notes: Collection, pipeline: Pipeline, provider: Provider, sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes.put([large(f"d{number}") for number in range(30)], wait=False)
    assert pipeline.run(lambda: [road(notes)], once=True) < 10
    assert sql.execute("SELECT FROM semsearch.leases").rowcount == 0
    pipeline.run(lambda: [road(notes)])
    assert sql.execute("SELECT FROM semsearch.failures").rowcount == 0
    assert len(searchable(notes)) == 30


def test_documents_of_one_chunk_go_together(notes: Collection, pipeline: Pipeline, provider: Provider) -> None:
    put(notes, 2 * work.CLAIM)
    assert pipeline.run(lambda: [road(notes)]) == 2 * work.CLAIM
    assert [len(call["inputs"]) for call in provider.calls] == [work.CLAIM, work.CLAIM]


def test_portions_are_of_about_so_many_chunks(notes: Collection) -> None:
    notes.put([large("a"), large("b"), large("c"), Document("d", "short"), Document("e", "short")], wait=False)
    with notes._pools.writing.connect() as connection:
        claims = [tasks.Claim(id, 1, 1) for id in "abcde"]

        def portions(chunks: float) -> list[str]:
            found = tasks.portions(connection, notes.space, claims, chunks)
            return ["".join(claim.document_id for claim in portion) for portion in found]

        each = len(large("a").text) // (tasks.TOKEN_BYTES * notes.space.chunk_size)
        assert portions(2 * each + 1) == ["ab", "cde"]
        assert portions(1) == ["a", "b", "c", "d", "e"]
        assert portions(1000) == ["abcde"]


def test_a_slow_model_is_given_less_and_a_fast_one_more() -> None:
    assert at_most(Pace(), SECONDS) == work.CLAIM
    assert at_most(Pace(), 60.0) == LEAST
    assert at_most(Pace(), 0.0) == MOST
    pace = Pace()
    pace.took(work.CLAIM, 2 * SECONDS)
    assert (pace.chunks, pace.count) == (work.CLAIM / 2, work.CLAIM / 2)


def test_a_few_texts_say_nothing_of_many_unless_they_are_slow() -> None:
    pace = Pace()
    for seconds in (0.0, 0.1, SECONDS):
        pace.took(1, seconds)
        pace.took(0, 2 * SECONDS)  # nothing was asked of the model
    assert pace.chunks == work.CLAIM
    pace.took(1, 10 * SECONDS)  # by chance
    assert pace.chunks == work.CLAIM / 4


def test_a_pace_that_was_lessened_comes_back_whatever_the_model_takes() -> None:
    for seconds in (0.0, SECONDS, 10 * SECONDS):
        pace = Pace(documents=1, chunks=1.0)
        for _ in range(20):
            pace.took(pace.count, seconds)
            pace.more()
        assert pace.count >= LEAST
