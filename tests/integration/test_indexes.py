"""ANN indexes: built when due, built right, replaced when an interrupted build left them invalid, dropped."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psycopg
import pytest

from semsearch import Document, Progress
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import Conflict, InvalidInput, NotFound
from semsearch.store import index_build, indexes
from semsearch.store.index_statements import Options
from tests.integration.working import until

Sql = psycopg.Connection[Any]


def load(collection: Collection, count: int, **options: Any) -> Any:
    """Random documents: the same ones for the same count."""
    embeddings = np.random.default_rng(count).standard_normal((count, collection.dimensions)).astype(np.float32)
    return collection.put(
        (
            Document(f"d{number}", "", {"number": number}, embedding=embedding)
            for number, embedding in enumerate(embeddings)
        ),
        **options,
    )


@pytest.fixture
def small(model_db: Database) -> Collection:
    collection = model_db.create_collection("small", dimensions=3, distance="l2")
    load(collection, 50)
    return collection


def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects the statements of builds."""
    seen: list[str] = []
    real = index_build.embedding_index

    def spy(*arguments: Any, **options: Any) -> Any:
        made = real(*arguments, **options)
        seen.append(made.as_string())
        return made

    monkeypatch.setattr(index_build, "embedding_index", spy)
    return seen


# By itself


def test_the_index_is_built_when_a_load_makes_it_due(
    model_db: Database, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_build, "LOOK", 0.001)
    collection = model_db.create_collection("grown", dimensions=3)
    load(collection, 9_999)
    assert collection.indexes() == []
    told: list[Progress] = []
    real = index_build.embedding_index

    def held_up(*arguments: Any, **options: Any) -> Any:
        sql.execute(
            "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '60s';"
            f"LOCK semsearch.{collection._space.table_name} IN ROW EXCLUSIVE MODE"
        )
        return real(*arguments, **options)

    def tell(progress: Progress) -> None:
        told.append(progress)
        if progress.stage == "index" and sql.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            sql.execute("COMMIT")  # for which the build waits: else it may be over before anybody has looked at it

    monkeypatch.setattr(index_build, "embedding_index", held_up)
    collection.put([Document("last", "", embedding=[1, 2, 3])], on_progress=tell)
    (index,) = collection.indexes()
    assert (index.kind, index.valid) == ("hnsw", True)
    assert (told[0].stage, told[0].done) == ("ingest", 1)
    build = [progress for progress in told if progress.stage == "index"]
    assert build
    assert all(progress.total is None or 0 <= progress.done <= progress.total for progress in build)
    assert collection.status().index == "hnsw"
    assert collection.search(embedding=[1, 2, 3]).plan == "ann"  # at once, without waiting for old knowledge to age


@pytest.mark.parametrize(
    ("index", "kind"), [("auto", "hnsw"), ("hnsw", "hnsw"), ("ivfflat", "ivfflat"), ("none", None)]
)
def test_the_collection_says_which_index(
    model_db: Database, monkeypatch: pytest.MonkeyPatch, index: str, kind: str | None
) -> None:
    monkeypatch.setattr(indexes, "AUTOMATIC_FROM", 10)
    collection = model_db.create_collection("chosen", dimensions=3, index=index)
    load(collection, 20)
    assert collection.status().index == kind


def test_without_waiting_no_index_is_built(small: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "AUTOMATIC_FROM", 10)
    load(small, 51, wait=False)
    assert small.indexes() == []


@pytest.mark.parametrize(
    ("dimensions", "vector_type", "quantization"),
    [(2000, "vector", "none"), (2001, "vector", "halfvec"), (4000, "halfvec", "none"), (4001, "halfvec", "binary")],
)
def test_too_many_dimensions_for_an_index_are_quantized(
    model_db: Database, monkeypatch: pytest.MonkeyPatch, dimensions: int, vector_type: str, quantization: str
) -> None:
    monkeypatch.setattr(indexes, "AUTOMATIC_FROM", 10)
    collection = model_db.create_collection("wide", dimensions=dimensions, vector_type=vector_type)
    load(collection, 20)
    (index,) = collection.indexes()
    assert (index.quantization, index.dimensions, index.serves) == (quantization, dimensions, True)
    assert len(collection.search(embedding=np.ones(dimensions), top_k=5)) == 5


def test_a_large_load_gathers_statistics(model_db: Database, sql: Sql) -> None:
    """A load is large that adds a tenth: many small ones would each pay for the same sample."""
    collection = model_db.create_collection("known", dimensions=3, index="none")
    sql.execute(f"ALTER TABLE semsearch.{collection._space.table_name} SET (autovacuum_enabled = off)")
    query = f"SELECT reltuples FROM pg_class WHERE oid = 'semsearch.{collection._space.table_name}'::regclass"
    total = 0
    for count, known in ((1000, 1000), (10_000, 11_000), (1050, 11_000), (2000, 14_050)):
        collection.put(Document(str(total + n), "", embedding=[1, 2, 3]) for n in range(count))
        total += count
        assert sql.execute(query).fetchone() == (known,)


# On demand


@pytest.mark.parametrize("vector_type", ["vector", "halfvec"])
@pytest.mark.parametrize("distance", ["cosine", "l2", "inner_product", "l1"])
@pytest.mark.parametrize("kind", ["hnsw", "ivfflat"])
def test_every_kind_is_built_for_every_distance(model_db: Database, distance: str, vector_type: str, kind: str) -> None:
    collection = model_db.create_collection("each", dimensions=3, distance=distance, vector_type=vector_type)
    load(collection, 30)
    if (kind, distance) == ("ivfflat", "l1"):
        with pytest.raises(InvalidInput, match="use hnsw"):
            collection.create_index(kind)
        return
    collection.create_index(kind)
    (index,) = collection.indexes()
    assert (index.kind, index.valid, index.name) == (kind, True, f"{collection._space.table_name}_embedding")
    assert index.bytes > 0
    assert f"{vector_type}_{indexes.OPERATOR_CLASSES[distance]}" in index.definition or distance == "l2"


def test_the_options_reach_the_index(small: Collection) -> None:
    small.create_index(m=8, ef_construction=32)
    assert "WITH (m='8', ef_construction='32')" in small.indexes()[0].definition
    small.drop_index()
    small.create_index("ivfflat", lists=7)
    assert "WITH (lists='7')" in small.indexes()[0].definition


@pytest.mark.parametrize(
    ("kind", "options", "problem"),
    [
        ("diskann", {}, "not one of hnsw, ivfflat"),
        ("hnsw", {"quantization": "int8"}, "not one of none, halfvec, binary"),
        ("hnsw", {"dimensions": 4}, "dimensions is a whole number from 1 to 3"),
        ("hnsw", {"tenant": "acme"}, "has no tenants"),
        ("hnsw", {"m": 1}, "m is a whole number from 2 to 100"),
        ("hnsw", {"m": 16.5}, "m is a whole number"),
        ("hnsw", {"ef_construction": 1001}, "from 4 to 1000"),
        ("hnsw", {"m": 50, "ef_construction": 64}, "at least twice m"),
        ("ivfflat", {"lists": 0}, "from 1 to 32768"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    small: Collection, kind: str, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidInput, match=problem):
        small.create_index(kind, **options)


def test_a_second_index_is_a_conflict(small: Collection) -> None:
    small.create_index()
    with pytest.raises(Conflict, match="drop it first"):
        small.create_index("ivfflat")


def test_a_dropped_index_is_gone(small: Collection) -> None:
    small.create_index()
    assert small.search(embedding=[1, 2, 3], top_k=5).plan == "ann"
    assert small.drop_index() == [f"{small._space.table_name}_embedding"]
    assert small.indexes() == []
    assert small.search(embedding=[1, 2, 3], top_k=5).plan == "exact"
    with pytest.raises(NotFound, match="no index"):
        small.drop_index()


def test_filters_on_other_keys_get_an_index_too(small: Collection, sql: Sql) -> None:
    small.create_index()
    found = sql.execute("SELECT indexdef FROM pg_indexes WHERE tablename = %s", (small._space.table_name,)).fetchall()
    assert any("USING gin (metadata jsonb_path_ops)" in definition for (definition,) in found)


def test_memory_is_computed_from_the_rows(small: Collection) -> None:
    # N * (202 + 32 m + payload): 10,000 * (202 + 512 + 1,536) = 22.5 MB, 2 % and 4 MB on top
    assert indexes.build_bytes(10_000, 384, "vector") == 22_950_000 + 4 * 2**20
    assert indexes.build_bytes(10_000, 384, "halfvec") == 15_116_400 + 4 * 2**20
    assert [indexes.lists(rows) for rows in (10, 50_000, 1_000_000, 4_000_000)] == [1, 50, 1000, 2000]
    with small._pools.address.connect(autocommit=True) as connection:
        index_build.set_resources(small._pools.address, connection, small._space, Options(), 10**9)
        row = connection.execute(
            "SELECT pg_size_bytes(current_setting('maintenance_work_mem')) "
            "    <= greatest(pg_size_bytes(current_setting('shared_buffers')) / 2, 64 * 1024 * 1024)"
        ).fetchone()
    assert row == (True,)


# Others are not disturbed


def test_a_build_is_concurrent_when_somebody_else_is_connected(
    small: Collection, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = statements(monkeypatch)
    small.create_index()
    assert seen[0].startswith("CREATE INDEX CONCURRENTLY ")


def test_a_build_locks_the_table_for_a_moment_when_nobody_else_is_there(
    small: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = statements(monkeypatch)
    with small._pools.address.connect(autocommit=True) as connection:  # who was there for another test has left
        until(lambda: not index_build._others(small._pools.address, connection))
    small.create_index()
    assert "CONCURRENTLY" not in seen[0]


def test_another_process_of_ours_counts_as_somebody_else(
    small: Collection, module_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = statements(monkeypatch)
    with psycopg.connect(module_database_url, application_name="semsearch 1", autocommit=True):
        small.create_index()
    assert seen[0].startswith("CREATE INDEX CONCURRENTLY ")


def test_of_two_builds_at_once_one_is_told_to_wait(small: Collection) -> None:
    with small._pools.address.connect(autocommit=True) as building:
        building.execute("SELECT pg_advisory_lock(%s, %s)", (index_build.BUILD_LOCK, small._space.id))
        with pytest.raises(Conflict, match="just being built"):
            small.create_index()
        building.execute("SELECT pg_advisory_unlock_all()")  # a closed session may keep it for a moment
    small.create_index()


def test_a_load_that_ends_while_the_index_is_being_built_is_no_error(
    small: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "AUTOMATIC_FROM", 10)
    with small._pools.address.connect(autocommit=True) as building:
        building.execute("SELECT pg_advisory_lock(%s, %s)", (index_build.BUILD_LOCK, small._space.id))
        assert load(small, 51).changed + load(small, 51).unchanged > 0
    assert small.indexes() == []


def test_two_loads_that_end_together_build_one_index(model_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "AUTOMATIC_FROM", 1000)
    collection = model_db.create_collection("both", dimensions=3)
    together = threading.Barrier(2)
    problems: list[BaseException] = []

    def write(start: int) -> None:
        try:
            together.wait(10)
            collection.put(Document(f"d{n}", "", embedding=[n + 1, 1, 1]) for n in range(start, start + 1000))
        except BaseException as problem:
            problems.append(problem)

    writers = [threading.Thread(target=write, args=(start,)) for start in (0, 1000)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert problems == []
    assert [(index.kind, index.valid) for index in collection.indexes()] == [("hnsw", True)]


# What an interrupted build leaves


def test_an_invalid_index_is_not_used_and_the_next_build_replaces_it(small: Collection, sql: Sql) -> None:
    small.create_index()
    name = f"{small._space.table_name}_embedding"
    sql.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", (f"semsearch.{name}",))
    small._searcher.forget()
    assert [index.valid for index in small.indexes()] == [False]
    assert small.status().index is None
    assert small.search(embedding=[1, 2, 3], top_k=5).plan == "exact"
    small.create_index()
    assert [index.valid for index in small.indexes()] == [True]


def test_a_concurrent_build_that_was_cancelled_is_replaced(small: Collection, sql: Sql, other_sql: Sql) -> None:
    table = small._space.table_name
    made = f"CREATE INDEX CONCURRENTLY {table}_metadata ON semsearch.{table} USING gin (metadata jsonb_path_ops)"
    there = f"SELECT EXISTS (SELECT FROM pg_class WHERE relname = '{table}_metadata')"
    with ThreadPoolExecutor(1) as pool, sql.transaction():
        sql.execute(f"LOCK semsearch.{table} IN ROW EXCLUSIVE MODE")
        building = pool.submit(other_sql.execute, made)
        until(lambda: sql.execute(there).fetchone() == (True,))  # from then on it waits for this transaction
        sql.execute("SELECT pg_cancel_backend(%s)", (other_sql.info.backend_pid,))
        with pytest.raises(psycopg.errors.QueryCanceled):
            building.result()
    query = "SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass"
    assert sql.execute(query, (f"semsearch.{table}_metadata",)).fetchone() == (False,)
    small.create_index()
    assert sql.execute(query, (f"semsearch.{table}_metadata",)).fetchone() == (True,)


def test_a_watcher_that_cannot_connect_says_nothing(small: Collection) -> None:
    told: list[Any] = []
    stop = threading.Event()

    class Gone:
        def connect(self, **options: Any) -> Any:
            raise psycopg.OperationalError("gone")

    index_build._watch(Gone(), 0, lambda done, total: told.append(done), stop)  # type: ignore[arg-type]
    assert told == []
