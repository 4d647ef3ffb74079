"""Builds of the ANN index that are cut off, made to wait, or left invalid by others: never taken for done.

Faults P11 and P12: a concurrent build whose backend is terminated or whose program is killed, what REINDEX CONCURRENTLY
leaves, time limits, old snapshots.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

import semsearch
from semsearch import Document
from semsearch.collection import Collection
from semsearch.config import Settings
from semsearch.database import Database
from semsearch.errors import Conflict, DatabaseUnavailable
from semsearch.store import index_build, indexes
from tests.faults.forks import FORKS
from tests.faults.waiting import until

Sql = psycopg.Connection[Any]
ROWS = 3000  # an index on them takes about a tenth of a second to build


@pytest.fixture
def grown(model_db: Database) -> Collection:
    """Enough to be worth an index, and none there yet."""
    collection = model_db.create_collection("grown", dimensions=16, index="none")
    embeddings = np.random.default_rng(1).standard_normal((ROWS, 16)).astype(np.float32)
    collection.put(Document(f"d{n}", "", {"number": n}, embedding=embeddings[n]) for n in range(ROWS))
    return collection


def invalid(sql: Sql, collection: Collection) -> list[str]:
    """The indexes of any kind that PostgreSQL does not use."""
    rows = sql.execute(
        "SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid"
        " WHERE x.indrelid = %s::regclass AND NOT x.indisvalid ORDER BY 1",
        (f"semsearch.{collection._space.table_name}",),
    )
    return [name for (name,) in rows]


def names(sql: Sql, collection: Collection) -> set[str]:
    table = collection._space.table_name
    rows = sql.execute("SELECT indexname FROM pg_indexes WHERE tablename = %s", (table,))
    return {name.removeprefix(f"{table}_") for (name,) in rows}


def check_built(sql: Sql, collection: Collection) -> None:
    assert invalid(sql, collection) == []
    assert names(sql, collection) == {"pkey", "metadata", "terms", "embedding"}
    assert collection.status().index == "hnsw"
    assert collection.search(embedding=[1.0] * 16, top_k=5).plan == "ann"


@contextmanager
def old_transaction(sql: Sql) -> Iterator[int]:
    """Another session that has looked at something and does not end its transaction; its process id."""
    with sql.transaction():
        sql.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        sql.execute("SELECT 1 FROM pg_class LIMIT 1")
        yield sql.info.backend_pid


class Build:
    """A build in a thread, and what it raised."""

    def __init__(self, collection: Collection) -> None:
        self.error: BaseException | None = None
        self._collection = collection
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._collection.create_index()
        except BaseException as error:
            self.error = error

    def end(self) -> BaseException | None:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.error


BUILDING = """
SELECT pid FROM pg_stat_progress_create_index WHERE datname = current_database() AND relid = %s::regclass
"""


def builder(sql: Sql, collection: Collection) -> int | None:
    """The backend that is building an index of the collection."""
    row = sql.execute(BUILDING, (f"semsearch.{collection._space.table_name}",)).fetchone()
    return row[0] if row else None


# Cut off in the middle


@pytest.mark.parametrize("seed", range(5))
def test_a_build_whose_backend_is_ended_is_not_taken_for_done(seed: int, grown: Collection, sql: Sql) -> None:
    chance = random.Random(seed)
    for _ in range(4):
        building = Build(grown)
        until(lambda: builder(sql, grown) or building.error or not building._thread.is_alive())
        time.sleep(chance.uniform(0, 0.1))
        if pid := builder(sql, grown):
            sql.execute("SELECT pg_terminate_backend(%s)", (pid,))
        error = building.end()
        grown._searcher.forget()
        if grown.status().index:  # it was faster
            check_built(sql, grown)
            grown.drop_index()
            sql.execute(f"DROP INDEX semsearch.{grown._space.table_name}_metadata")
            continue
        assert isinstance(error, DatabaseUnavailable)
        assert grown.search(embedding=[1.0] * 16, top_k=5).plan == "exact"
        assert all(not index.valid for index in grown.indexes())
    grown.create_index()
    check_built(sql, grown)


def build(values: dict[str, Any]) -> None:
    """What a program does until it is killed."""
    with semsearch.connect(settings=Settings(**values)) as db:
        db.collection("grown").create_index()


def test_a_program_killed_while_it_builds_leaves_the_index_to_the_server_or_to_the_next(
    grown: Collection, sql: Sql, other_sql: Sql, module_database_url: str, tmp_path: Path
) -> None:
    values = {"database_url": module_database_url, "home": tmp_path}
    with old_transaction(other_sql):  # so that the kill meets a build that is not done
        process = FORKS.Process(target=build, args=(values,))
        process.start()
        until(lambda: builder(sql, grown))
        process.kill()
        process.join()
        until(lambda: invalid(sql, grown))
        assert grown.status().index is None
        # The server knows nothing of the kill and goes on: a second build must not meddle with that.
        with pytest.raises(Conflict, match="just being built"):
            grown.create_index()
    until(lambda: builder(sql, grown) is None)

    def built() -> bool:
        try:
            grown.create_index()
        except Conflict as conflict:
            return "drop it first" in str(conflict)
        return True

    until(built)
    grown._searcher.forget()
    check_built(sql, grown)


def test_a_load_after_a_build_that_was_cut_off_builds_the_index(
    model_db: Database, grown: Collection, sql: Sql, other_sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "AUTOMATIC_FROM", 1000)
    sql.execute("UPDATE semsearch.spaces SET index_kind = 'auto'")
    leave_invalid(grown, sql, other_sql)
    again = model_db.collection("grown")
    again.put([Document("one more", "", embedding=[1.0] * 16)])
    check_built(sql, again)


def leave_invalid(collection: Collection, sql: Sql, other_sql: Sql) -> None:
    with old_transaction(other_sql):
        building = Build(collection)
        until(lambda: invalid(sql, collection) and builder(sql, collection))
        sql.execute("SELECT pg_terminate_backend(%s)", (builder(sql, collection),))
        assert isinstance(building.end(), DatabaseUnavailable)
    assert invalid(sql, collection) != []


# What others leave or do


@pytest.mark.parametrize(("of", "suffix"), [("pkey", "_ccnew"), ("pkey", "_ccold"), ("metadata", "_ccnew1")])
def test_what_reindex_concurrently_leaves_is_cleared_away(of: str, suffix: str, grown: Collection, sql: Sql) -> None:
    table = grown._space.table_name
    method, column = ("btree", "document_id") if of == "pkey" else ("gin", "metadata")
    sql.execute(f"CREATE INDEX {table}_{of}{suffix} ON semsearch.{table} USING {method} ({column})")
    sql.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", (f"semsearch.{table}_{of}{suffix}",)
    )
    grown.create_index()
    check_built(sql, grown)


def test_an_index_somebody_else_is_just_building_is_left_to_him(grown: Collection, sql: Sql, other_sql: Sql) -> None:
    table = grown._space.table_name
    problems: list[BaseException] = []

    def reindex() -> None:
        with psycopg.connect(other_sql.info.dsn, autocommit=True) as administrator:
            try:
                administrator.execute(f"CREATE INDEX CONCURRENTLY {table}_by_hand ON semsearch.{table} (ordinal)")
            except BaseException as problem:
                problems.append(problem)

    administrator = threading.Thread(target=reindex)
    with old_transaction(other_sql):
        administrator.start()
        until(lambda: f"{table}_by_hand" in invalid(sql, grown) and builder(sql, grown))
        with grown._pools.address.connect(autocommit=True) as connection:
            index_build._drop_invalid(connection, grown._space)
        assert f"{table}_by_hand" in invalid(sql, grown)
    administrator.join(60)
    assert not administrator.is_alive()
    assert problems == []
    assert "by_hand" in names(sql, grown)


# Made to wait


def test_a_build_that_waits_says_for_whom_and_outlasts_time_limits(
    grown: Collection, sql: Sql, other_sql: Sql, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(index_build, "LOOK", 0.05)
    database = sql.info.dbname
    sql.execute(f'ALTER DATABASE "{database}" SET lock_timeout = 3000')
    sql.execute(f'ALTER DATABASE "{database}" SET statement_timeout = 3000')
    try:
        other_sql.execute("SET application_name = 'forgotten psql'")
        with caplog.at_level(logging.WARNING, "semsearch"), old_transaction(other_sql) as pid:
            building = Build(grown)
            until(lambda: caplog.records or building.error)
            assert building.error is None
            assert f"The index waits for process {pid} of " in caplog.text
            assert "in forgotten psql since " in caplog.text
            until(lambda: index_waits_longer_than_the_limits(sql) or building.error)
        assert building.end() is None
    finally:
        sql.execute(f'ALTER DATABASE "{database}" RESET ALL')
    assert len(caplog.records) == 1  # once for each who is waited for
    check_built(sql, grown)


def index_waits_longer_than_the_limits(sql: Sql) -> bool:
    row = sql.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND query LIKE 'CREATE INDEX%' AND clock_timestamp() - query_start > interval '4 s'"
    ).fetchone()
    return bool(row and row[0])
