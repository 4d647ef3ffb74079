"""Pages of hits: every hit once, whatever the plan, the ties and the changes meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from semsearch import Document, Hits
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import InvalidInput

ROWS, DIMENSIONS = 3_000, 16


@pytest.fixture(scope="module")
def points(module_db: Database) -> Iterator[Collection]:
    """3,000 embeddings, each of them three times: ties everywhere; with an index."""
    random = np.random.default_rng(3)
    vectors = np.repeat(random.standard_normal((ROWS // 3, DIMENSIONS)), 3, axis=0).astype(np.float32)
    made = module_db.create_collection("points", dimensions=DIMENSIONS, distance="l2", fields={"at": "integer"})
    made.put(Document(f"p{at}", f"number {at}", {"at": at}, embedding=vector) for at, vector in enumerate(vectors))
    made.create_index()
    yield made
    module_db.drop_collection("points")


def key(hit: Any) -> tuple[str, int]:
    return hit.document_id, hit.ordinal


def walk(collection: Collection, pages: int, **options: Any) -> list[Hits]:
    """So many pages, or all."""
    found = [collection.search(**options)]
    while found[-1].next is not None and len(found) < pages:
        found.append(collection.search(**options, after=found[-1].next))
    return found


QUERY = np.full(DIMENSIONS, 0.3, np.float32)


def test_pages_of_the_exact_plan_are_the_whole_answer_in_pieces(points: Collection) -> None:
    everything = points.search(embedding=QUERY, top_k=1000, plan="exact")
    pages = walk(points, 20, embedding=QUERY, top_k=50, plan="exact")
    assert len(pages) == 20
    assert [key(hit) for page in pages for hit in page] == [key(hit) for hit in everything]


def test_pages_of_a_walk_repeat_nothing_and_skip_no_tie(points: Collection) -> None:
    # 3 of each distance and pages of 10: every page ends within a tie
    pages = walk(points, 30, embedding=QUERY, top_k=10)
    shown = [key(hit) for page in pages for hit in page]
    assert {page.plan for page in pages[:5]} == {"ann"}
    assert len(shown) == len(set(shown)) == 300
    best = [key(hit) for hit in points.search(embedding=QUERY, top_k=300, plan="exact")]
    assert len(set(best) & set(shown)) >= 285


def test_the_last_page_says_so(points: Collection) -> None:
    pages = walk(points, 99, embedding=QUERY, top_k=10, filter={"at": {"$lt": 25}})
    assert [len(page) for page in pages] == [10, 10, 5]
    assert pages[-1].next is None


def test_a_full_last_page_has_no_next(points: Collection) -> None:
    assert points.search(embedding=QUERY, top_k=25, filter={"at": {"$lt": 25}}).next is None


def test_what_is_put_in_front_meanwhile_moves_no_page(points: Collection) -> None:
    first = points.search(embedding=QUERY, top_k=10, plan="exact")
    expected = points.search(embedding=QUERY, top_k=10, plan="exact", after=first.next)
    points.put([Document("new", "nearest of all", {"at": 1}, embedding=QUERY)])
    try:
        assert [key(hit) for hit in points.search(embedding=QUERY, top_k=10, plan="exact", after=first.next)] == [
            key(hit) for hit in expected
        ]
    finally:
        points.delete(["new"])


@pytest.mark.parametrize(
    "options",
    [
        {"per_document": 1},
        {"boosts": [{"field": "at", "decay": "linear", "origin": 0, "scale": 1000, "weight": 0.5}]},
        {"max_distance": 5.0},
    ],
    ids=["documents", "boosts", "threshold"],
)
def test_pages_of_other_orders_repeat_nothing(points: Collection, options: dict[str, Any]) -> None:
    pages = walk(points, 5, embedding=QUERY, top_k=8, filter={"at": {"$lt": 36}}, **options)
    shown = [key(hit) for page in pages for hit in page]
    whole = points.search(embedding=QUERY, top_k=36, filter={"at": {"$lt": 36}}, **options)
    assert shown == [key(hit) for hit in whole]
    assert len(shown) == len(set(shown)) >= 30


@pytest.mark.parametrize("after", ["", "nonsense", "W10", "WzEsMiwzLDRd", 5, "é"])
def test_what_is_no_page_is_refused(points: Collection, after: Any) -> None:
    with pytest.raises(InvalidInput, match="`next` of an earlier answer"):
        points.search(embedding=QUERY, after=after)


def test_differing_hits_have_no_pages(points: Collection) -> None:
    assert points.search(embedding=QUERY, diversity=0.5).next is None
    with pytest.raises(InvalidInput, match="after and diversity"):
        points.search(embedding=QUERY, diversity=0.5, after="W10")
