"""A database that may only be read, and one full of dead rows: searches go on, nothing is lost, claims stay cheap.

Faults P10, P13 and P14. Plans are looked at, not clocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text

import semsearch
from semsearch import Document
from semsearch.collection import Collection
from semsearch.errors import DatabaseUnavailable
from semsearch.store import tasks
from tests.faults import stored
from tests.faults.stored import read_only
from tests.faults.waiting import until

Sql = psycopg.Connection[Any]
DEAD = 100_000
LIVE = 1_000


def test_a_database_that_may_only_be_read_is_searched(notes: Collection, sql: Sql) -> None:
    texts = stored.texts(10)
    notes.put(stored.documents(texts))
    with read_only(sql), semsearch.connect(settings=notes._settings) as db:
        replica = db.collection("notes")
        assert replica.search("text 7", top_k=1)[0].document_id == "d007"  # never asked before: cannot be remembered
        assert replica.search(document_id="d001", top_k=3)
        assert replica.get("d001").text == "text 1"
        assert replica.status().documents == 10
        with pytest.raises(DatabaseUnavailable, match="read-only: connect to the primary server"):
            replica.put([Document("new", "one more")])
        with pytest.raises(DatabaseUnavailable, match="read-only"):
            replica.delete(["d001"])
    stored.check(notes, texts)
    stored.check_waiting(notes, ())


def test_work_left_in_a_database_that_may_only_be_read_waits(notes: Collection, sql: Sql) -> None:
    texts = stored.texts(10)
    notes.put(stored.documents(texts), wait=False)
    with read_only(sql), semsearch.connect(settings=notes._settings) as db:
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable, match="read-only"):
                db.collection("notes").work()
    stored.check_waiting(notes, texts)
    notes.work()
    stored.check(notes, texts)


# Dead rows


def claim_plan(connection: Connection, collection: Collection) -> dict[str, Any]:
    """The plan of a claim of 32, with what it read; rolled back."""
    plans: list[dict[str, Any]] = []

    class Explaining:
        """Takes the place of the connection, and explains the claim's statement before it is executed."""

        def __getattr__(self, name: str) -> Any:
            return getattr(connection, name)

        def execute(self, statement: Any, values: Any = None) -> Any:
            if "INSERT INTO semsearch.leases" in str(statement):
                explain = text(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {statement}")
                with connection.begin_nested() as savepoint:
                    plans.append(connection.execute(explain, values).scalar_one()[0]["Plan"])
                    savepoint.rollback()
            return connection.execute(statement, values)

    claimed = tasks.claim(Explaining(), collection._space, 1, 32, 60.0)  # type: ignore[arg-type]
    assert len(claimed) == 32
    connection.rollback()
    return plans[0]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def fill(sql: Sql) -> None:
    """Tasks that were done and are dead rows now, and some that are to be done."""
    sql.execute("ALTER TABLE semsearch.tasks SET (autovacuum_enabled = off)")
    insert = (
        "INSERT INTO semsearch.tasks (collection_id, document_id)"
        " SELECT c.id, %s || n FROM semsearch.collections c, generate_series(1, %s) n WHERE c.name = 'notes'"
    )
    sql.execute(insert, ("dead ", DEAD))
    sql.execute("DELETE FROM semsearch.tasks")
    sql.execute(insert, ("live ", LIVE))


@pytest.fixture
def bloated(notes: Collection, sql: Sql) -> Iterator[Collection]:
    fill(sql)
    yield notes
    sql.execute("TRUNCATE semsearch.tasks")
    sql.execute("ALTER TABLE semsearch.tasks RESET (autovacuum_enabled)")


def test_a_claim_among_dead_rows_follows_the_index(bloated: Collection) -> None:
    with bloated._pools.writing.connect() as connection:
        plan = claim_plan(connection, bloated)
        scans = [node for node in nodes(plan) if node.get("Relation Name") == "tasks"]
        assert {node["Node Type"] for node in scans} <= {"Index Scan", "Index Only Scan"}, plan
        # A claim marks the dead entries it meets in the index, once nobody can need them any more: a transaction
        # anywhere in the cluster can delay that. From then on hardly more pages than rows are read.
        until(lambda: pages(claim_plan(connection, bloated)) < 2000)


def pages(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def test_a_claim_beside_a_transaction_that_holds_dead_rows_takes_what_is_due(
    bloated: Collection, other_sql: Sql, sql: Sql
) -> None:
    with other_sql.transaction():
        other_sql.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other_sql.execute("SELECT 1 FROM pg_class LIMIT 1")
        sql.execute("TRUNCATE semsearch.tasks")
        fill(sql)
        with bloated._pools.writing.connect() as connection:
            plan = claim_plan(connection, bloated)
    assert not [node for node in nodes(plan) if node["Node Type"] == "Sort" and node["Actual Rows"] > 1000]
