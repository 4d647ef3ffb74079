"""Searches that may take only so long: an error that names the deadline, or the best so far and that it is not all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest

import semsearch
from semsearch import Document, retrieval
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import DeadlineExceeded, InvalidInput

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
