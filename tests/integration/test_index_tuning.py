"""What is measured of an index: the effort that reaches a recall, what searches cost, the recall that users have."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest

from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import InvalidInput, NotFound
from semsearch.store import calibration, ground_truth, index_build, index_tuning, recall
from semsearch.store.calibration import Calibration
from semsearch.store.ground_truth import Query
from semsearch.store.index_statements import Options
from semsearch.store.nearest import EXACT
from tests.integration.indexing import clustered, filled

Sql = psycopg.Connection[Any]


@pytest.fixture
def grown(model_db: Database) -> Collection:
    return filled(model_db, "grown", 2000, 16)


def build(collection: Collection, **options: Any) -> None:
    index_build.build(collection._pools.address, collection._pools.writing, collection.space, Options(**options))


def measure(collection: Collection, **options: Any) -> Calibration:
    return index_tuning.measure(collection._pools.searching, collection.space, **options)


def ask(collection: Collection, sql: Sql, filter: Any = None, number: int = 1) -> None:
    """As if users had asked."""
    for vector in clustered(number, collection.dimensions, seed=7):
        sql.execute(
            "INSERT INTO semsearch.sampled_queries (collection_id, embedding, filter, top_k) VALUES (%s, %s, %s, 10)",
            (collection.space.collection_id, str(vector.tolist()), None if filter is None else json.dumps(filter)),
        )


# Calibration


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"quantization": "halfvec"},
        {"quantization": "binary"},
        {"dimensions": 8},
        {"kind": "ivfflat", "lists": 20},
        {"kind": "ivfflat", "lists": 20, "quantization": "binary"},
    ],
    ids=str,
)
def test_the_least_effort_that_reaches_the_recall_is_found(grown: Collection, options: dict[str, Any]) -> None:
    build(grown, **options)
    found = measure(grown, seconds=600)  # enough for all queries
    assert found.recall is not None
    assert found.recall >= 0.95
    assert found.reached
    assert (found.ef_search is None, found.probes is None) == (
        ("kind" in options),
        ("kind" not in options),
    )
    indirect = "quantization" in options or "dimensions" in options
    assert (found.oversampling > 1) == indirect
    assert (found.rows, found.queries) == (2000, index_tuning.MOST_QUERIES)
    assert min(found.exact_row, found.ann_node) > 0


def test_signs_need_more_candidates_than_the_embeddings(grown: Collection) -> None:
    build(grown)
    direct = measure(grown)
    grown.drop_index()
    build(grown, quantization="binary")
    signs = measure(grown)
    assert direct.ef_search is not None
    assert signs.ef_search is not None
    assert signs.ef_search > direct.ef_search


def test_more_recall_takes_more_effort(grown: Collection, sql: Sql) -> None:
    ask(grown, sql, number=100)
    build(grown, m=4, ef_construction=8)
    some, more = measure(grown, target=0.5), measure(grown, target=0.99)
    assert some.ef_search is not None
    assert more.ef_search is not None
    assert more.ef_search > some.ef_search


def test_what_reads_much_survives_the_loss_of_its_connections(grown: Collection, sql: Sql) -> None:
    build(grown)
    reads = {
        "tune": lambda: grown.tune(0.9),
        "recall": lambda: grown.measure_recall(queries=5),
        "facets": lambda: grown.facets(["at"]),
        "chunks": lambda: grown.chunks(grown.documents(limit=1)[0].id),
    }
    for name, read in reads.items():
        grown.search(embedding=[1.0] * grown.dimensions)  # there are connections in the pools now
        sql.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert read(), name


def test_what_was_measured_is_kept_and_read(grown: Collection) -> None:
    build(grown)
    kept = index_tuning.calibrate(grown._pools.searching, grown._pools.writing, grown.space)
    with grown._pools.writing.begin() as connection:
        assert calibration.read(connection, grown.space) == kept
        calibration.write(connection, grown.space, None)
        assert calibration.read(connection, grown.space) is None


def test_the_recall_that_was_asked_for_is_kept_for_the_next_time(grown: Collection) -> None:
    build(grown)
    searching, writing = grown._pools.searching, grown._pools.writing
    assert index_tuning.tune(searching, writing, grown.space, 0.8).target == 0.8
    assert index_tuning.calibrate(searching, writing, grown.space).target == 0.8


def test_a_recall_that_cannot_be_reached_is_an_error_that_tells_the_best(grown: Collection) -> None:
    build(grown, dimensions=1)  # orders the chunks by the sign of a number: by cosine all are equally near
    with pytest.raises(InvalidInput, match=r"recall 1 cannot be reached: the best of this index is 0\.\d+, with"):
        index_tuning.tune(grown._pools.searching, grown._pools.writing, grown.space, 1.0)
    with grown._pools.writing.connect() as connection:
        assert calibration.read(connection, grown.space) is None


@pytest.mark.parametrize("target", [0, 1.5, "high", float("nan")])
def test_a_recall_that_is_none_is_refused(grown: Collection, target: Any) -> None:
    with pytest.raises(InvalidInput, match="recall is a number above 0"):
        index_tuning.tune(grown._pools.searching, grown._pools.writing, grown.space, target)


def test_without_an_index_there_is_nothing_to_measure(grown: Collection) -> None:
    with pytest.raises(NotFound, match="every search is exact"):
        measure(grown)


def test_it_is_measured_anew_when_the_collection_has_doubled(grown: Collection) -> None:
    measured = calibration.presumed(grown.space, 1000, None)
    assert calibration.stale(None, 10)
    assert not calibration.stale(measured, 1999)
    assert calibration.stale(measured, 2000)


def test_little_time_still_asks_enough_queries(grown: Collection) -> None:
    build(grown)
    assert measure(grown, seconds=0).queries == index_tuning.LEAST_QUERIES


def test_users_queries_are_asked_before_embeddings_of_chunks(grown: Collection, sql: Sql) -> None:
    ask(grown, sql, number=3)
    ask(grown, sql, {"part": 1}, number=2)
    sql.execute(
        "INSERT INTO semsearch.sampled_queries (collection_id, embedding, top_k) VALUES (%s, '[1,2]', 10)",
        (grown.space.collection_id,),
    )  # of another model
    with grown._pools.writing.connect() as connection:
        plain = ground_truth.asked(connection, grown.space, 10, filtered=False)
        filtered = ground_truth.asked(connection, grown.space, 10, filtered=True)
    assert [query.filter for query in (*plain, *filtered)] == [None, None, None, {"part": 1}, {"part": 1}]
    assert np.allclose(plain[-1].embedding, clustered(3, 16, seed=7)[0])


def test_a_query_that_is_made_up_is_no_chunk_itself(grown: Collection) -> None:
    with grown._pools.writing.connect() as connection:
        query = ground_truth.stored(connection, grown.space, 1)[0]
        distances = ground_truth.nearest_distances(connection, grown.space, EXACT, query, 10)
    assert len(distances) == 10
    assert distances == sorted(distances)
    assert distances[0] > 1e-6


# Recall


def exactly(collection: Collection) -> recall.Search:
    return lambda query, top_k: collection.search(
        embedding=query.embedding, filter=query.filter, tenant=query.tenant, top_k=top_k
    )


def test_the_recall_of_exact_searches_is_one(grown: Collection, sql: Sql) -> None:
    ask(grown, sql, {"part": 1}, number=3)
    measured = recall.measure(grown._pools.searching, grown.space, exactly(grown), queries=20)
    assert (measured.recall, measured.queries, measured.filtered_recall, measured.filtered_queries) == (1, 20, 1, 3)


def test_what_searches_miss_lowers_the_recall(grown: Collection, sql: Sql) -> None:
    ask(grown, sql, {"part": 1})
    search = exactly(grown)

    def half(query: Query, top_k: int) -> Any:
        return search(query, top_k)[: 10 // 2] if query.filter else search(query, top_k)

    measured = recall.measure(grown._pools.searching, grown.space, half, queries=5)
    assert (measured.recall, measured.filtered_recall) == (1, 0.5)


def test_fewer_matches_than_hits_asked_for_are_no_loss(grown: Collection, sql: Sql) -> None:
    ask(grown, sql, {"part": 77})
    measured = recall.measure(grown._pools.searching, grown.space, exactly(grown), queries=1)
    assert measured.filtered_recall == 1


def test_a_query_whose_filter_no_longer_fits_is_left_out(grown: Collection, sql: Sql) -> None:
    ask(grown, sql, {"part": {"$near": 1}})
    measured = recall.measure(grown._pools.searching, grown.space, exactly(grown), queries=1)
    assert (measured.filtered_queries, measured.filtered_recall) == (0, None)


def test_the_chunks_of_each_tenant_are_looked_for_among_his_own(model_db: Database) -> None:
    shared = filled(model_db, "shared", 300, 8, fields={"owner": "text"}, tenant="owner")
    asked: list[Query] = []

    def search(query: Query, top_k: int) -> Any:
        asked.append(query)
        return exactly(shared)(query, top_k)

    measured = recall.measure(shared._pools.searching, shared.space, search, queries=10)
    assert (measured.recall, measured.queries) == (1, 10)
    assert all(query.tenant and query.tenant.startswith("o") for query in asked)


def test_the_history_tells_the_latest_first(grown: Collection) -> None:
    measured = [
        recall.measure(grown._pools.searching, grown.space, exactly(grown), queries=number) for number in (1, 2)
    ]
    with grown._pools.writing.begin() as connection:
        for one in measured:
            recall.keep(connection, grown.space, replace(one, ef_search=40))
        history = recall.history(connection, grown.space)
    assert [(one.queries, one.ef_search) for one in history] == [(2, 40), (1, 40)]
