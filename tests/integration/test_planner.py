"""Which plan a search takes, why, and what it remembers: on 20,000 embeddings with an index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import InvalidInput
from semsearch.planner import Planner, State
from semsearch.store.calibration import Calibration

ROWS, DIMENSIONS = 20_000, 16
RANDOM = np.random.default_rng(11)
VECTORS = RANDOM.standard_normal((ROWS, DIMENSIONS)).astype(np.float32)
QUERY = VECTORS[0] + 0.01
FAR = -QUERY  # nothing near the query is near this


@pytest.fixture(scope="module")
def large(module_db: Database) -> Iterator[Collection]:
    """`kind` is common for half of the embeddings, rare for 20; `near` orders them by their distance from FAR."""
    near = np.argsort(np.argsort(VECTORS @ -FAR))
    made = module_db.create_collection(
        "large", dimensions=DIMENSIONS, fields={"kind": "text", "near": "integer", "at": "integer"}
    )
    made.put(
        Document(
            f"d{at}",
            "",
            {"kind": "rare" if at % 1000 == 7 else "common" if at % 2 else "other", "near": int(near[at]), "at": at},
            embedding=vector,
        )
        for at, vector in enumerate(VECTORS)
    )
    assert made.indexes()
    yield made
    module_db.drop_collection("large")


def test_a_rare_value_after_many_common_ones_is_found_completely(large: Collection) -> None:
    # A plan cached for the common value would walk the index, and return none of the 20.
    for row in range(60):
        assert len(large.search(embedding=VECTORS[row], filter={"kind": "common"})) == 10
    hits = large.search(embedding=QUERY, top_k=20, filter={"kind": "rare"})
    assert len(hits) == 20
    assert hits.plan == "exact"
    assert hits.seen == 20


def test_an_index_that_often_came_back_short_is_not_asked_again_for_that_filter(large: Collection) -> None:
    filter = {"near": {"$lt": 2_500}}
    large._searcher.forget()
    state = large._searcher.state()
    cheap = State(state.rows, state.index, Calibration(ROWS, exact_row=10.0, ann_start=1.0, ann_node=0.001))
    condition = large._searcher.condition(filter)
    planner = Planner(large._searcher.engine, large.space)
    assert planner.choose(cheap, condition, "near", True, 10).plan == "ann"
    for turn in range(8):
        assert planner.choose(cheap, condition, "near", True, 10).plan == "ann"
        planner.walked("near", short=turn == 0)  # once is chance
    for _ in range(8):
        planner.walked("near", short=True)
    again = planner.choose(cheap, condition, "near", True, 10)
    assert again.plan == "exact"
    assert "came back short" in again.reason
    planner.forget()
    assert planner.choose(cheap, condition, "near", True, 10).plan == "ann"


def test_matches_far_from_what_is_asked_are_all_found(large: Collection) -> None:
    for share in (20, 200, 2_000, 10_000):
        hits = large.search(embedding=QUERY, top_k=20, filter={"near": {"$gte": ROWS - share}})
        assert len(hits) == 20


def test_without_statistics_matches_are_counted(large: Collection, sql: psycopg.Connection[Any]) -> None:
    sql.execute(f"DELETE FROM pg_statistic WHERE starelid = 'semsearch.{large.space.table_name}'::regclass")
    try:
        for kind, expected in (("rare", 20), ("common", 20)):
            large._searcher.forget()
            hits = large.search(embedding=QUERY, top_k=20, filter={"kind": kind})
            assert len(hits) == expected
    finally:
        sql.execute(f"ANALYZE semsearch.{large.space.table_name}")


def test_what_costs_less_is_chosen(large: Collection) -> None:
    state = large._searcher.state()
    planner = Planner(large._searcher.engine, large.space)
    dear_walk = State(state.rows, state.index, Calibration(ROWS, exact_row=0.001, ann_start=1e6, ann_node=1e3))
    dear_rows = State(state.rows, state.index, Calibration(ROWS, exact_row=1e3, ann_start=1.0, ann_node=0.001))
    common = large._searcher.condition({"kind": "common"})
    assert planner.choose(dear_walk, common, "a", True, 10).plan == "exact"
    assert planner.choose(dear_rows, common, "b", True, 10).plan == "ann"
    assert planner.choose(State(ROWS, None, Calibration(ROWS)), common, "c", True, 10).plan == "exact"


def test_a_plan_can_be_forced(large: Collection) -> None:
    assert large.search(embedding=QUERY, plan="exact").plan == "exact"
    assert large.search(embedding=QUERY, plan="ann", filter={"kind": "rare"}).plan == "ann"
    with pytest.raises(InvalidInput, match="plan is one of auto, exact, ann"):
        large.search(embedding=QUERY, plan="fast")  # type: ignore[arg-type]


def test_the_answer_says_how_it_was_found(large: Collection) -> None:
    exact = large.search(embedding=QUERY, filter={"at": {"$lt": 300}})
    assert (exact.plan, exact.seen, exact.complete) == ("exact", 300, True)
    walked = large.search(embedding=QUERY)
    assert (walked.plan, walked.complete) == ("ann", True)
    assert walked.seen >= 10


@pytest.mark.parametrize(
    ("filter", "plan", "telling"),
    [
        ({"kind": "rare"}, "exact", "Index Scan"),
        (None, "ann", "Index Scan using chunks_"),
    ],
)
def test_an_explanation_has_reason_figures_statement_and_plan(
    large: Collection, filter: dict[str, Any] | None, plan: str, telling: str
) -> None:
    said = large.search(embedding=QUERY, filter=filter, explain=True).explanation
    assert said is not None
    assert said.startswith(f"plan: {plan}, because")
    for part in ("chunks match", "to compare all takes about", "FROM semsearch.chunks_", "Execution Time", telling):
        assert part in said
