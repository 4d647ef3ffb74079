"""Hybrid search through a collection: pages, thresholds and hits of a document leave nothing out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from semsearch import Document, Hit, Hits
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.retrieval import Pool, Retrieval
from semsearch.store import lexical
from semsearch.store.fusion import Within
from tests.provider import Provider

MODEL = "openai:text-embedding-3-small"
WORDS = ["apple", "pear", "plum", "quince", "cherry", "lemon", "mango", "grape", "melon", "fig", "date", "kiwi"]
QUERY = "fig kiwi melon"
FUSIONS: list[dict[str, Any]] = [
    {},
    {"fusion": "rrf"},
    {"depth": 5},
    {"depth": 5, "fusion": "rrf"},
    {"weights": (0.05, 1)},
    {"weights": (0, 1), "depth": 20},
]


@pytest.fixture(scope="module")
def fruit(module_db: Database, provider_process: Provider) -> Iterator[Collection]:
    """150 documents of one to nine chunks, whose embeddings have nothing to do with their words."""
    random = np.random.default_rng(11)
    likely = 1 / np.arange(1, len(WORDS) + 1)

    def sentence() -> str:
        return " ".join(random.choice(WORDS, random.integers(3, 12), p=likely / likely.sum())) + "."

    made = module_db.create_collection("fruit", model=MODEL, chunk_size=16, chunk_overlap=0, language="simple")
    made.put(
        Document(f"d{number}", "\n\n".join(sentence() for _ in range(random.integers(1, 10)))) for number in range(150)
    )
    yield made
    module_db.drop_collection("fruit")


def search(collection: Collection, **options: Any) -> Hits:
    return collection.search(QUERY, mode="hybrid", **options)


def place(hit: Hit) -> tuple[str, int]:
    return hit.document_id, hit.ordinal


def places(hits: Hits) -> list[tuple[str, int]]:
    return [place(hit) for hit in hits]


@pytest.mark.parametrize("options", FUSIONS, ids=str)
@pytest.mark.parametrize("top_k", [7, 60])
def test_pages_are_the_whole_answer_in_pieces(fruit: Collection, options: dict[str, Any], top_k: int) -> None:
    whole = search(fruit, top_k=1000, **options)
    assert len(whole) == fruit.status().chunks < 1000
    shown, after = list[tuple[str, int]](), None
    while True:
        page = search(fruit, top_k=top_k, after=after, **options)
        shown += places(page)
        assert page.complete and len(page.next or "") < 200
        if (after := page.next) is None:
            break
    assert shown == places(whole)


@pytest.mark.parametrize("options", FUSIONS, ids=str)
@pytest.mark.parametrize("farthest", [0.3, 0.6, 1.1])
def test_a_threshold_leaves_out_what_is_too_far_alone(
    fruit: Collection, options: dict[str, Any], farthest: float
) -> None:
    whole = search(fruit, top_k=1000)
    near = {place(hit) for hit in whole if hit.distance is not None and hit.distance <= farthest}
    assert 0 < len(near) < len(whole)
    for top_k in (1, 10, 100, 1000):
        hits = search(fruit, top_k=top_k, max_distance=farthest, **options)
        assert len(hits) == min(top_k, len(near)) and {*places(hits)} <= near
        assert hits.complete and (hits.next is None) == (top_k >= len(near))


@pytest.mark.parametrize("options", FUSIONS, ids=str)
@pytest.mark.parametrize("each", [2, 5])
def test_documents_show_as_many_hits_as_they_have(fruit: Collection, options: dict[str, Any], each: int) -> None:
    whole = search(fruit, top_k=1000, **options)
    chunks, scores = Counter(hit.document_id for hit in whole), {place(hit): hit.score for hit in whole}
    shown, after = list[str](), None
    for _ in range(4):
        page = search(fruit, top_k=3, per_document=each, after=after, **options)
        found = Counter(hit.document_id for hit in page)
        assert found == {id: min(each, chunks[id]) for id in found}
        assert page.complete
        shown, after = shown + list(found), page.next
        assert [hit.score for hit in page] == pytest.approx([scores[place(hit)] for hit in page])
    assert shown == list(dict.fromkeys(hit.document_id for hit in whole))[:12]


def test_the_best_so_far_are_no_later_page(fruit: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have distances, and the page before ended at a score."""
    first = search(fruit, top_k=10)
    monkeypatch.setattr("semsearch.retrieval.PARTIAL_SHARE", 1e-9)  # the time is over
    cut_off = search(fruit, top_k=10, deadline=60, partial=True)
    assert len(cut_off) == 10 and not cut_off.complete
    later = search(fruit, top_k=10, after=first.next, deadline=60, partial=True)
    assert (len(later), later.complete, later.next) == (0, False, None)


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
@pytest.mark.parametrize("ranking", [{"boosts": [{"filter": {"$id": "d1"}, "weight": 0.1}]}, {"diversity": 0.5}])
def test_hits_within_a_threshold_are_complete_also_when_they_are_ranked_again(
    fruit: Collection, mode: Any, ranking: dict[str, Any]
) -> None:
    near = [hit for hit in search(fruit, top_k=1000) if hit.distance is not None and hit.distance <= 0.4]
    hits = fruit.search(QUERY, mode=mode, max_distance=0.4, top_k=len(near) + 1, candidates=250, **ranking)
    assert len(hits) == len(near) and hits.complete


def test_the_last_page_of_candidates_says_that_others_match(fruit: Collection) -> None:
    boosts = [{"filter": {"$id": "d1"}, "weight": 0.1}]
    first = fruit.search(QUERY, boosts=boosts, candidates=20)
    last = fruit.search(QUERY, boosts=boosts, candidates=20, after=first.next)
    assert (len(first), first.complete) == (10, True)
    assert (len(last), last.complete, last.next) == (10, False, None)


def test_what_was_seen_is_never_more_than_there_is(fruit: Collection) -> None:
    chunks = fruit.status().chunks
    for options in ({"mode": "hybrid"}, {"mode": "vector"}):
        for top_k in (10, 1000):
            assert fruit.search(QUERY, top_k=top_k, **options).seen == chunks


def test_a_document_that_could_not_be_filled_up_in_time_is_said(
    fruit: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Retrieval.fetch

    def fetch(self: Retrieval, *arguments: Any, within: Within | None = None) -> Pool:
        if within is not None:
            return Pool([], "exact", "", 0, exhausted=False, complete=False, cut_off=True)
        return real(self, *arguments)

    assert search(fruit, top_k=3, per_document=5, deadline=60, partial=True).complete
    monkeypatch.setattr(Retrieval, "fetch", fetch)
    hits = search(fruit, top_k=3, per_document=5, deadline=60, partial=True)
    assert len({hit.document_id for hit in hits}) == 3 and not hits.complete


def test_words_that_are_not_followed_to_the_end_are_said(fruit: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    assert search(fruit).complete
    monkeypatch.setattr(lexical, "CANDIDATES", 20)
    assert not search(fruit).complete
