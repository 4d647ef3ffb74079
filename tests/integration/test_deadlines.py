"""Searches that may take only so long: an error that names the deadline, or the best so far and that it is not all."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import psycopg
import pytest

import semsearch
from semsearch import Document, batching, retrieval, search
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import DeadlineExceeded, InvalidInput
from semsearch.store.deadlines import Deadline
from tests.integration.hands import Meanwhile, inputs
from tests.provider import Provider

ROWS = 400
QUERY = np.ones(8, np.float32)
SLOWLY = (
    "CREATE OR REPLACE FUNCTION public.slowly(vector, vector) RETURNS float8 LANGUAGE plpgsql VOLATILE AS "
    "$$ BEGIN PERFORM pg_sleep({}); RETURN public.cosine_distance($1, $2); END $$"
)


@pytest.fixture
def slow(model_db: Database, sql: psycopg.Connection[Any]) -> Iterator[Collection]:
    """A collection whose every comparison takes 5 ms: 2 s for all of it."""
    made = model_db.create_collection("slow", dimensions=8, index="none")
    random = np.random.default_rng(5)
    vectors = random.standard_normal((ROWS, 8)).astype(np.float32)
    # 200 kB of text each would be out of line; 3 kB of incompressible letters keep two rows on a page
    words = ["".join(random.choice(list("abcdefghijklmnopqrstuvwxyz"), 1500)) for _ in range(ROWS)]
    made.put(Document(f"s{at}", words[at], embedding=vector) for at, vector in enumerate(vectors))
    sql.execute(SLOWLY.format(0.005))
    sql.execute("CREATE SCHEMA slowness")
    sql.execute(
        "CREATE OPERATOR slowness.<=> (LEFTARG = vector, RIGHTARG = vector, FUNCTION = public.slowly, "
        "COMMUTATOR = OPERATOR(slowness.<=>))"
    )
    name = sql.execute("SELECT current_database()").fetchone()
    assert name
    sql.execute(f'ALTER DATABASE "{name[0]}" SET search_path = slowness, public')
    model_db.pools.searching.dispose()
    yield made
    sql.execute(f'ALTER DATABASE "{name[0]}" RESET search_path')
    sql.execute("DROP SCHEMA slowness CASCADE; DROP FUNCTION public.slowly(vector, vector)")
    model_db.pools.searching.dispose()


def test_a_search_that_takes_too_long_ends_with_an_error(slow: Collection) -> None:
    with pytest.raises(DeadlineExceeded, match=r"deadline of 0\.1 s.*partial"):
        slow.search(embedding=QUERY, deadline=0.1)


def test_the_connection_is_good_for_the_next_search(slow: Collection) -> None:
    with pytest.raises(DeadlineExceeded):
        slow.search(embedding=QUERY, deadline=0.1)
    assert len(slow.search(embedding=QUERY, top_k=3)) == 3


def test_the_best_so_far_are_right_as_far_as_they_go(
    slow: Collection, sql: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # All of it takes 8 s, the first portion 0.6 s: of the 4 s nearly all are left for it.
    sql.execute(SLOWLY.format(0.02))
    monkeypatch.setattr(retrieval, "PARTIAL_SHARE", 0.05)
    hits = slow.search(embedding=QUERY, top_k=5, deadline=4, partial=True)
    assert not hits.complete
    assert 0 < hits.seen < ROWS
    assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)


def test_with_enough_time_the_best_so_far_are_the_best(slow: Collection) -> None:
    hits = slow.search(embedding=QUERY, top_k=5, deadline=60, partial=True)
    assert hits.complete
    assert [hit.document_id for hit in hits] == [hit.document_id for hit in slow.search(embedding=QUERY, top_k=5)]


@pytest.mark.parametrize("deadline", [0, -1, "soon", float("nan"), True])
def test_what_is_no_deadline_is_refused(model_db: Database, deadline: Any) -> None:
    collection = model_db.create_collection("empty", dimensions=8)
    with pytest.raises(InvalidInput, match="deadline is a number"):
        collection.search(embedding=QUERY, deadline=deadline)


def test_the_best_so_far_take_a_deadline(model_db: Database) -> None:
    collection = model_db.create_collection("empty", dimensions=8)
    with pytest.raises(InvalidInput, match="partial takes a deadline"):
        collection.search(embedding=QUERY, partial=True)


def test_an_empty_collection_answers_in_time(model_db: Database) -> None:
    collection = model_db.create_collection("empty", dimensions=8)
    assert len(collection.search(embedding=QUERY, deadline=60, partial=True)) == 0
    assert issubclass(DeadlineExceeded, semsearch.SemsearchError)


# Between portions of what a model does

OVER = 3600  # seconds; it is over when a test says so


class Hourglass:
    """Ends the deadlines of all searches that are under way."""

    def __init__(self) -> None:
        self.made: list[Deadline] = []

    def deadline(self, seconds: float | None) -> Deadline:
        self.made.append(Deadline(seconds))
        return self.made[-1]

    def run_out(self) -> None:
        for deadline in self.made:
            if deadline.seconds is not None:
                deadline._ends = time.monotonic()


@pytest.fixture
def hourglass(monkeypatch: pytest.MonkeyPatch) -> Hourglass:
    made = Hourglass()
    monkeypatch.setattr(search, "Deadline", made.deadline)
    return made


class Reranker:
    """Scores texts by the number in them, and the time is over after the first portion."""

    def __init__(self, hourglass: Hourglass) -> None:
        self.hourglass, self.portions = hourglass, 0

    def scores(self, query: str, texts: Sequence[str]) -> Any:
        self.portions += 1
        self.hourglass.run_out()
        return np.array([int(text.split()[1]) for text in texts], np.float32)


@pytest.fixture
def numbered(notes: Collection, hourglass: Hourglass) -> tuple[Collection, Reranker]:
    """A collection of a hundred documents, each of one chunk with two sentences, and its reranker."""
    notes.put(Document(f"n{at}", f"number {at} here. It is {at}.") for at in range(100))
    reranker = Reranker(hourglass)
    notes._searcher.refiner.reranker = lambda model: reranker  # type: ignore[assignment, return-value]
    return notes, reranker


def test_reranking_ends_with_the_deadline(numbered: tuple[Collection, Reranker]) -> None:
    notes, reranker = numbered
    with pytest.raises(DeadlineExceeded):
        notes.search("x", rerank="any:one", candidates=100, deadline=OVER)
    assert reranker.portions == 1


@pytest.mark.parametrize("boosts", [(), [{"filter": {"year": 1}, "weight": 1}]])
def test_of_what_was_not_reranked_the_best_come_behind(numbered: tuple[Collection, Reranker], boosts: Any) -> None:
    notes, reranker = numbered
    near = notes.search("x", top_k=100)
    asked: dict[str, Any] = {"rerank": "any:one", "boosts": boosts, "deadline": OVER, "partial": True}
    hits = notes.search("x", top_k=100, **asked)
    assert (reranker.portions, len(hits), hits.complete, hits.next) == (1, 100, False, None)
    scores = [hit.score for hit in hits[: batching.SLICE]]
    assert scores == sorted((int(hit.document_id[1:]) for hit in near[: batching.SLICE]), reverse=True)
    assert [hit.document_id for hit in hits[batching.SLICE :]] == [hit.document_id for hit in near[batching.SLICE :]]
    assert {hit.score for hit in hits[batching.SLICE :]} == {None}


def test_a_later_page_has_what_was_reranked_only(numbered: tuple[Collection, Reranker]) -> None:
    notes, _ = numbered
    first = notes.search("x", rerank="any:one", candidates=100)
    asked: dict[str, Any] = {"rerank": "any:one", "candidates": 100, "deadline": OVER, "partial": True}
    hits = notes.search("x", top_k=100, after=first.next, **asked)
    assert not hits.complete
    assert None not in {hit.score for hit in hits}
    assert not {hit.document_id for hit in hits} & {hit.document_id for hit in first}


def test_highlights_end_with_the_deadline(numbered: tuple[Collection, Reranker], hourglass: Hourglass) -> None:
    notes, _ = numbered
    refiner = notes._searcher.refiner
    embedder = refiner.embedder()
    refiner.embedder = lambda: Meanwhile(embedder, hourglass.run_out)  # type: ignore[assignment, return-value]
    with pytest.raises(DeadlineExceeded):
        notes.search("x", top_k=100, highlight=True, deadline=OVER)
    hits = notes.search("x", top_k=100, highlight=True, deadline=OVER, partial=True)
    assert (len(hits), hits.complete, {hit.highlight for hit in hits}) == (100, False, {None})
    whole = notes.search("x", top_k=100, highlight=True)
    assert whole.complete
    assert None not in {hit.highlight for hit in whole}


def test_many_queries_are_embedded_until_the_deadline(notes: Collection, provider: Provider) -> None:
    with pytest.raises(DeadlineExceeded):
        notes.search_many([f"question {at}" for at in range(100)], deadline=0.001)
    assert len(inputs(provider)) <= batching.LARGEST


def test_a_provider_that_is_slow_is_waited_for_until_the_deadline(notes: Collection, provider: Provider) -> None:
    notes.put([{"id": "a", "text": "one"}])
    provider.script({"fault": "slow", "seconds": 5})
    with pytest.raises(DeadlineExceeded):
        notes.search("late", deadline=0.2)
    assert batching.of(notes._embedder())._embedding.keys() == {"late"}, "it has not been waited for"
    assert len(notes.search("late")) == 1, "and comes for whoever asks next"
    assert [text for call in provider.calls for text in call["inputs"]].count("late") == 1
