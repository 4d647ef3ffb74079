"""Searches: complete at every selectivity, near enough to exact, refused in a sentence, and the same in psql."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import FilterError, InvalidInput, NotFound, ProviderBusy
from semsearch.records import Hits
from semsearch.store import nearest, query_cache
from tests.integration.hands import inputs
from tests.provider import Provider, vector

Sql = psycopg.Connection[Any]
Vectors = npt.NDArray[np.float32]

ROWS, DIMENSIONS = 20_000, 32


def distances(space: str, vectors: Vectors, query: Vectors) -> npt.NDArray[np.float64]:
    """What pgvector's operators say (README, "Querying"): inner_product is negated."""
    rows, asked = vectors.astype(np.float64), query.astype(np.float64)
    if space == "l2":
        return np.asarray(np.sqrt(((rows - asked) ** 2).sum(axis=1)))
    if space == "l1":
        return np.asarray(np.abs(rows - asked).sum(axis=1))
    if space == "inner_product":
        return np.asarray(-(rows @ asked))
    return np.asarray(1 - rows @ asked / np.linalg.norm(rows, axis=1) / np.linalg.norm(asked))


class Big:
    """20,000 random embeddings with an index; `at` is independent of them, `along` is their order in one direction."""

    def __init__(self, collection: Collection) -> None:
        random = np.random.default_rng(7)
        self.collection = collection
        self.vectors: Vectors = random.standard_normal((ROWS, DIMENSIONS)).astype(np.float32)
        self.direction: Vectors = random.standard_normal(DIMENSIONS).astype(np.float32)
        self.at = random.permutation(ROWS)
        self.along = np.argsort(np.argsort(self.vectors @ self.direction))
        self.queries: Vectors = random.standard_normal((20, DIMENSIONS)).astype(np.float32)

    def load(self) -> None:
        self.collection.put(
            Document(
                f"d{row}",
                "",
                {"at": int(self.at[row]), "along": int(self.along[row]), "free": int(self.at[row]), "half": row % 2},
                embedding=self.vectors[row],
            )
            for row in range(ROWS)
        )

    def best(self, query: Vectors, rows: npt.NDArray[np.bool_], top_k: int) -> list[str]:
        found = np.where(rows, distances("cosine", self.vectors, query), np.inf)
        return [f"d{row}" for row in np.argsort(found, kind="stable")[:top_k] if np.isfinite(found[row])]


@pytest.fixture(scope="module")
def big(module_db: Database) -> Iterator[Big]:
    made = Big(module_db.create_collection("big", dimensions=DIMENSIONS, fields={"at": "integer", "along": "integer"}))
    made.load()
    assert made.collection.status().index == "hnsw"
    yield made


def ids(hits: Hits) -> list[str]:
    return [hit.document_id for hit in hits]


# Complete, and near enough


@pytest.mark.parametrize("top_k", [1, 10, 100, 1000])
def test_without_a_filter_the_index_answers_with_high_recall(big: Big, top_k: int) -> None:
    everything = np.ones(ROWS, dtype=bool)
    found = 0
    for query in big.queries:
        hits = big.collection.search(embedding=query, top_k=top_k)
        assert (hits.plan, len(hits)) == ("ann", top_k)
        assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)
        found += len(set(ids(hits)) & set(big.best(query, everything, top_k)))
    assert found / (top_k * len(big.queries)) >= 0.95


@pytest.mark.parametrize("matches", [10_000, 2_000, 200, 20, 2, 0])
@pytest.mark.parametrize("key", ["at", "along", "free"])
def test_filtered_answers_are_complete_at_every_selectivity(big: Big, key: str, matches: int) -> None:
    """50, 10, 1, 0.1 and 0.01 %. `along` is correlated: what matches lies just where these queries do not look."""
    values = big.along if key == "along" else big.at
    rows = values < matches
    found = right = 0
    for query in (big.direction, *big.queries[:9]):
        hits = big.collection.search(embedding=query, filter={key: {"$lt": matches}})
        assert len(hits) == min(10, matches)
        best = big.best(query, rows, 10)
        assert all(rows[int(id[1:])] for id in ids(hits))
        if hits.plan == "exact":
            assert ids(hits) == best
        found += len(best)
        right += len(set(ids(hits)) & set(best))
    assert right >= 0.9 * found  # completeness is promised; recall at this size is 0.95 to 1


@pytest.mark.parametrize("top_k", [1, 100, 1000])
def test_many_filtered_answers_are_complete(big: Big, top_k: int) -> None:
    for matches in (10_000, 1_500, 500):
        hits = big.collection.search(embedding=big.direction, top_k=top_k, filter={"along": {"$lt": matches}})
        assert len(hits) == min(top_k, matches)
        assert len(set(ids(hits))) == len(hits)


def test_a_rare_filter_takes_the_exact_plan_and_a_common_one_the_index(big: Big) -> None:
    assert big.collection.search(embedding=big.queries[0], filter={"at": {"$lt": 50}}).plan == "exact"
    assert big.collection.search(embedding=big.queries[0], filter={"half": 1}).plan == "ann"


def test_an_index_that_comes_back_short_is_followed_by_the_exact_plan(big: Big) -> None:
    # 4,000 of 20,000 rows are too many for the exact plan at top_k 10, but the index does not come near them:
    # iterative scans stop after 20,000 tuples or where the graph ends.
    hits = big.collection.search(embedding=big.direction, top_k=10, filter={"along": {"$lt": 4_000}})
    assert len(hits) == 10


def explain(sql: Sql, hits: Hits, *values: str) -> str:
    sql.execute(f"PREPARE asked AS {hits.sql}")
    try:
        return str(sql.execute(f"EXPLAIN EXECUTE asked({', '.join(values)})").fetchall())
    finally:
        sql.execute("DEALLOCATE asked")


def literal(query: Vectors) -> str:
    return f"'{query.tolist()}'"


def test_the_ann_plan_walks_the_index_and_the_exact_plan_cannot(big: Big, sql: Sql) -> None:
    collection = big.collection
    query = literal(big.queries[0])
    ann = collection.search(embedding=big.queries[0])
    assert f"{collection._space.table_name}_embedding" in explain(sql, ann, query, "10")
    exact = nearest.run(collection._pools.searching, collection._space, nearest.EXACT, big.queries[0], None, 10)
    assert f"{collection._space.table_name}_embedding" not in explain(sql, exact, query, "10")
    assert exact.seen == ROWS


def test_a_filter_on_a_declared_field_uses_its_index(big: Big, sql: Sql) -> None:
    hits = big.collection.search(embedding=big.queries[0], filter={"at": {"$lt": 20}})
    assert "field_1" in explain(sql, hits, literal(big.queries[0]), "20", "10")


def test_a_filter_on_any_key_uses_the_index_on_the_metadata(big: Big, sql: Sql) -> None:
    hits = big.collection.search(embedding=big.queries[0], filter={"free": 20})
    assert f"{big.collection._space.table_name}_metadata" in explain(
        sql, hits, literal(big.queries[0]), """'{"free": 20}'""", "10"
    )


def test_the_sql_of_a_search_runs_in_psql_as_it_stands(big: Big, sql: Sql) -> None:
    hits = big.collection.search(embedding=big.queries[0], top_k=3, filter={"at": {"$lt": 20}})
    assert set(re.findall(r"\$\d", hits.sql)) == {"$1", "$2", "$3"}
    assert "%" not in hits.sql
    sql.execute(f"PREPARE asked AS {hits.sql}")
    rows = sql.execute(f"EXECUTE asked({literal(big.queries[0])}, 20, 3)").fetchall()
    sql.execute("DEALLOCATE asked")
    assert [row[1] for row in rows] == ids(hits)
    assert [row[0] for row in rows] == pytest.approx([hit.distance for hit in hits])


def test_a_percent_sign_in_a_filter_is_only_a_percent_sign(big: Big, sql: Sql) -> None:
    hits = big.collection.search(embedding=big.queries[0], filter={"50%": "100%", "half": 1})
    assert len(hits) == 0
    sql.execute(f"PREPARE asked AS {hits.sql}")
    sql.execute("DEALLOCATE asked")


def test_ivfflat_is_complete_too(model_db: Database) -> None:
    random = np.random.default_rng(3)
    vectors = random.standard_normal((3_000, 8)).astype(np.float32)
    collection = model_db.create_collection("lists", dimensions=8, distance="l2")
    collection.put(Document(f"d{row}", "", {"row": row}, embedding=vectors[row]) for row in range(3_000))
    collection.create_index("ivfflat", lists=20)
    for matches in (3_000, 1_500, 30, 3):
        hits = collection.search(embedding=vectors[0], filter={"row": {"$lt": matches}})
        assert len(hits) == min(10, matches)
        assert ids(hits)[0] == "d0"
    assert collection.search(embedding=vectors[0], top_k=1000).plan == "ann"


# Exact


@pytest.mark.parametrize("vector_type", ["vector", "halfvec"])
@pytest.mark.parametrize("distance", ["cosine", "l2", "inner_product", "l1"])
def test_exact_searches_agree_with_numpy(model_db: Database, distance: str, vector_type: str) -> None:
    random = np.random.default_rng(5)
    vectors = random.standard_normal((300, 16)).astype(np.float32)
    query = random.standard_normal(16).astype(np.float32)
    collection = model_db.create_collection("exact", dimensions=16, distance=distance, vector_type=vector_type)
    collection.put(Document(f"d{row}", "", {"half": row % 2}, embedding=vectors[row]) for row in range(300))
    if vector_type == "halfvec":
        vectors, query = vectors.astype(np.float16).astype(np.float32), query.astype(np.float16).astype(np.float32)
    expected = distances(distance, vectors, query)
    for filter, rows in ((None, np.arange(300)), ({"half": 1}, np.arange(1, 300, 2))):
        hits = collection.search(embedding=query, top_k=20, filter=filter)
        order = rows[np.argsort(expected[rows], kind="stable")][:20]
        assert ids(hits) == [f"d{row}" for row in order]
        assert [hit.distance for hit in hits] == pytest.approx(expected[order].tolist(), rel=1e-4, abs=1e-5)


def test_all_that_match_are_fewer_than_asked_for(model_db: Database) -> None:
    collection = model_db.create_collection("few", dimensions=2)
    assert len(collection.search(embedding=[1, 2])) == 0
    collection.put([Document("a", "x", embedding=[1, 2]), Document("b", "y", embedding=[2, 1])])
    hits = collection.search(embedding=[1, 2], top_k=1000)
    assert ids(hits) == ["a", "b"]
    assert hits[0].text == "x"
    assert hits[:1] == (hits[0],)


# By a text, by a document


def test_a_query_is_embedded_once(notes: Collection, provider: Provider) -> None:
    notes.put([Document("a", "one"), Document("b", "two")])
    provider.reset()
    for _ in range(2):
        hit = notes.search("one", top_k=1)[0]
        assert (hit.document_id, hit.distance) == ("a", pytest.approx(0, abs=1e-6))
    assert inputs(provider) == ["one"]


def test_a_query_that_somebody_else_asked_needs_no_model(
    model_db: Database, notes: Collection, provider: Provider
) -> None:
    notes.put([Document("a", "one")])
    notes.search("one")
    provider.reset()
    assert model_db.collection("notes").search("one")[0].distance == pytest.approx(0, abs=1e-6)
    assert inputs(provider) == []


def test_another_model_does_not_share_the_cache(model_db: Database, notes: Collection, provider: Provider) -> None:
    other = model_db.create_collection("other", model="openai:other-model")
    notes.search("one")
    provider.reset()
    other.search("one")
    assert inputs(provider) == ["one"]


def test_only_so_many_queries_are_remembered(notes: Collection, provider: Provider, sql: Sql) -> None:
    for number in range(260):
        notes._searcher.questions._asked[f"q{number}"] = vector(f"q{number}")
    for number in range(260, 263):
        notes.search(f"q{number}")
    assert len(notes._searcher.questions._asked) <= 263
    assert f"q{0}" not in notes._searcher.questions._asked


def test_the_cache_in_the_database_has_limits(notes: Collection, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go, and those that nobody has asked for lately; to ask makes young again."""
    engine = notes._pools.searching
    monkeypatch.setattr(query_cache, "TIDY", 2.0)  # always
    for number in range(6):
        query_cache.put(engine, "model", f"q{number}", vector(f"q{number}"), query_cache.Limits(size=3))
    assert sorted(query_cache.several(engine, "model", [f"q{number}" for number in range(6)])) == ["q3", "q4", "q5"]
    sql.execute("UPDATE semsearch.query_embeddings SET created_at = now() - interval '20 days'")
    assert query_cache.get(engine, "model", "q4") is not None
    query_cache.put(engine, "model", "new", vector("new"), query_cache.Limits(days=10))
    assert sorted(query_cache.several(engine, "model", ["q3", "q4", "q5", "new"])) == ["new", "q4"]


def test_a_cached_embedding_is_bit_for_bit_the_models(notes: Collection) -> None:
    asked = vector("anything")
    query_cache.put(notes._pools.searching, "model", "q", asked)
    found = query_cache.get(notes._pools.searching, "model", "q")
    assert found is not None
    assert found.dtype == np.float32
    assert np.array_equal(found, asked)


def test_whoever_may_only_read_searches_all_the_same(model_db: Database, notes: Collection, sql: Sql) -> None:
    notes.put([Document("a", "one")])
    sql.execute(f"ALTER DATABASE {sql.info.dbname} SET default_transaction_read_only = on")
    try:
        model_db._pools.searching.dispose()
        assert ids(model_db.collection("notes").search("never asked before")) == ["a"]
        assert ids(notes.search("nor this", filter={"year": {"$exists": False}})) == ["a"]
    finally:
        sql.execute("SET default_transaction_read_only = off")
        sql.execute(f"ALTER DATABASE {sql.info.dbname} RESET default_transaction_read_only")
        model_db._pools.searching.dispose()
    assert sql.execute("SELECT count(*) FROM semsearch.query_embeddings").fetchone() == (0,)


def test_a_document_finds_its_neighbours_but_not_itself(model_db: Database) -> None:
    collection = model_db.create_collection("near", dimensions=2, distance="l2", vector_type="halfvec")
    collection.put([Document(str(n), "", {"even": n % 2 == 0}, embedding=[n, 1]) for n in range(1, 8)])
    assert ids(collection.search(document_id="1", top_k=3)) == ["2", "3", "4"]
    assert ids(collection.search(document_id="1", top_k=3, filter={"even": False})) == ["3", "5", "7"]
    with pytest.raises(NotFound, match="'99'"):
        collection.search(document_id="99")


def test_a_document_of_several_chunks_stands_for_their_mean(notes: Collection) -> None:
    text = "\n\n".join(f"Sentence {number} is short enough." for number in range(4))
    notes.put([Document("a", text), Document("b", "another")])
    chunks = [hit.text for hit in notes.search(embedding=vector("x"), top_k=10) if hit.document_id == "a"]
    assert len(chunks) == 2
    mean = np.mean([vector(chunk) for chunk in chunks], axis=0)
    expected = 1 - mean @ vector("another") / np.linalg.norm(mean)
    assert notes.search(document_id="a")[0].distance == pytest.approx(expected, abs=1e-5)


def test_documents_whose_embeddings_cancel_out_are_no_query(model_db: Database, notes: Collection, sql: Sql) -> None:
    text = "\n\n".join(f"Sentence {number} is short enough." for number in range(4))
    notes.put([Document("a", text), Document("b", "another")])
    sql.execute(f"UPDATE semsearch.{notes._space.table_name} SET embedding = '[1,0,0,0,0,0,0,0]' WHERE ordinal = 0")
    sql.execute(f"UPDATE semsearch.{notes._space.table_name} SET embedding = '[-1,0,0,0,0,0,0,0]' WHERE ordinal = 1")
    with pytest.raises(InvalidInput, match="zero"):
        notes.search(document_id="a")


# What makes no sense


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"query": "x", "embedding": [1.0] * 8},
        {"query": ""},
        {"query": " \n"},
        {"query": 5},
        {"query": "x" * 40_000},
        {"query": "lone \ud800"},
        {"embedding": [1.0] * 7},
        {"embedding": [[1.0] * 8]},
        {"embedding": []},
        {"embedding": "abc"},
        {"embedding": ["a"] * 8},
        {"embedding": [0.0] * 8},
        {"embedding": [float("nan")] * 8},
        {"embedding": [1e39] * 8},
        {"query": "x", "top_k": 0},
        {"query": "x", "top_k": 1001},
        {"query": "x", "top_k": True},
        {"query": "x", "top_k": 2.5},
        {"query": "x", "top_k": "10"},
    ],
)
def test_a_search_that_makes_no_sense_is_refused(notes: Collection, asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        notes.search(**asked)


@pytest.mark.parametrize("filter", [{"$near": 1}, {"year": {"$gte": []}}, ["year"], {"year": "a\x00b"}, {"a\x00b": 1}])
def test_a_filter_that_makes_no_sense_says_where(notes: Collection, filter: Any) -> None:
    with pytest.raises(FilterError, match=r"filter \$"):
        notes.search(embedding=vector("x"), filter=filter)


def test_a_key_that_is_no_text_is_refused_whatever_was_asked_before(notes: Collection) -> None:
    notes.search(embedding=vector("x"), filter={"1": 3})
    other: Any = {1: 3}
    with pytest.raises(FilterError, match="keys are text"):
        notes.search(embedding=vector("x"), filter=other)


def test_without_a_model_a_text_cannot_be_asked(model_db: Database) -> None:
    collection = model_db.create_collection("given", dimensions=2)
    with pytest.raises(InvalidInput, match="search it by embedding"):
        collection.search("text")


def test_a_provider_that_is_down_is_named(notes: Collection, provider: Provider) -> None:
    provider.script({"fault": "status", "status": 503, "headers": {"Retry-After": "100"}})
    with pytest.raises(ProviderBusy):
        notes.search("never asked before either")


def test_a_search_survives_the_loss_of_its_connections(notes: Collection, sql: Sql) -> None:
    notes.put([Document("a", "one", {"year": 1})])
    for options in ({}, {"filter": {"year": 1}}):
        notes.search(embedding=vector("one"), **options)  # there is a connection in the pool now
        sql.execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert len(notes.search(embedding=vector("one"), **options)) == 1


def test_what_is_known_of_the_index_ages(notes: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    first = notes._searcher.state()
    assert notes._searcher.state() is first
    monkeypatch.setattr("semsearch.search.STATE_AGE", -1.0)
    assert notes._searcher.state() is not first


def test_candidates_grow_with_the_collection() -> None:
    # 40 at 10,000, then 35 more for each factor of ten
    assert [nearest.ef_search(rows) for rows in (0, 10_000, 100_000, 1_000_000)] == [40, 40, 75, 110]
    assert nearest.hnsw_settings(75) == ()
    assert nearest.hnsw_settings(110) == (("hnsw.ef_search", 110),)
    assert nearest.hnsw_settings(2000) == (("hnsw.ef_search", 1000),)
    assert nearest.ivfflat_settings(20) == (("ivfflat.probes", 20),)
