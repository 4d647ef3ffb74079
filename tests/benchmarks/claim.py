"""How long a claim takes from a backlog: as it is, with edits on top, and behind tasks that others hold."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, text

from semsearch import Database
from semsearch.store import leases, tasks
from semsearch.store.spaces import Space
from tests.benchmarks import home
from tests.benchmarks.report import Report

NAME = "claim"
COUNTS = (256, 32)
HELD = 8192  # tasks at the head that others hold: 16 pipelines with two claims each

FILL = text("""
INSERT INTO semsearch.tasks (collection_id, document_id, lane)
SELECT :collection_id, :prefix || n, :lane FROM generate_series(1, :count) n
""")
HOLD = text("""
INSERT INTO semsearch.leases (collection_id, document_id, token, version, worker, attempt, claimed_at, expires_at,
                              not_before)
SELECT collection_id, document_id, 1, version, 999999, 1, now(), now() + interval '10 min', '-infinity'
FROM semsearch.tasks WHERE collection_id = :collection_id ORDER BY lane, version LIMIT :count
""")
RESET = text("TRUNCATE semsearch.tasks, semsearch.leases")
FINISH = text("""
WITH done AS (DELETE FROM semsearch.leases WHERE worker = 1 RETURNING collection_id, document_id)
DELETE FROM semsearch.tasks t USING done d WHERE (t.collection_id, t.document_id) = (d.collection_id, d.document_id)
""")


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("--sample", type=int, default=200_000, help="tasks that wait")
    parser.add_argument("--rounds", type=int, default=200, help="claims of each kind, finished one by one")
    options = parser.parse_args(arguments)
    report = Report(NAME, f"claims from a backlog of {options.sample:,} documents, {options.rounds} of each kind")
    with home.database() as db:
        report.ask(db)
        space = db.create_collection("backlog", dimensions=2).space
        for count in COUNTS:
            for kind, (edits, held) in {
                "": (0, 0),
                ", edits on top": (options.sample // 100, 0),
                f", {HELD:,} held by others": (0, HELD),
            }.items():
                fill(db, space, options.sample, edits, held)
                report_claims(report, claims(db, space, count, options.rounds), f"claim of {count}{kind}")
        fill(db, space, options.sample, 0, 0)
        for what, number in rows_read(db, space).items():
            report.add(f"{what} by a claim of {COUNTS[0]}", number)
    return report.finish()


def fill(db: Database, space: Space, count: int, edits: int, held: int) -> None:
    with db.pools.writing.begin() as connection:
        connection.execute(RESET)
        values = {"collection_id": space.collection_id}
        connection.execute(FILL, {**values, "prefix": "row ", "lane": 1, "count": count})
        if edits:
            connection.execute(FILL, {**values, "prefix": "edit ", "lane": 0, "count": edits})
        if held:
            connection.execute(HOLD, {**values, "count": held})
    with db.pools.writing.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE semsearch.tasks, semsearch.leases"))


def report_claims(report: Report, taken: npt.NDArray[np.float64], what: str) -> None:
    claimed, commits, found = taken.T
    figures = {"p50": np.quantile(claimed, 0.5), "p99": np.quantile(claimed, 0.99), "commit p50": np.median(commits)}
    report.add(
        what, {**{name: float(value) * 1000 for name, value in figures.items()}, "documents": found.mean()}, "ms"
    )
    if what == f"claim of {COUNTS[-1]}":
        report.add(f"median of a {what}", float(figures["p50"]) * 1000, "ms", at_most=2)


def claims(db: Database, space: Space, count: int, rounds: int) -> npt.NDArray[np.float64]:
    """Seconds of each claim, seconds of its commit, documents it got; each is finished, which is not timed."""
    place = tasks.Place()
    taken = []
    for _ in range(rounds):
        with db.pools.writing.connect() as connection:
            connection.exec_driver_sql("SELECT 1")  # begins the transaction
            begun = time.perf_counter()
            found = tasks.claim(connection, space, 1, count, leases.LEASE, place)
            claimed = time.perf_counter()
            connection.commit()
            taken.append((claimed - begun, time.perf_counter() - claimed, len(found)))
            connection.execute(FINISH)
            connection.commit()
    return np.array(taken)


def rows_read(db: Database, space: Space) -> dict[str, int]:
    """From EXPLAIN ANALYZE: entries of the index on tasks that were read, leases looked up, pages touched."""
    plans: list[dict[str, Any]] = []

    class Explaining:
        def __init__(self, connection: Connection) -> None:
            self._connection = connection

        def execute(self, statement: Any, values: Any = None) -> Any:
            if values:
                explain = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}")
                with self._connection.begin_nested() as savepoint:
                    plans.append(self._connection.execute(explain, values).scalar_one()[0]["Plan"])
                    savepoint.rollback()
            return self._connection.execute(statement, values)

    with db.pools.writing.connect() as connection:
        tasks.claim(Explaining(connection), space, 1, COUNTS[0], leases.LEASE)  # type: ignore[arg-type]
    found = {"tasks read": 0, "leases looked up": 0}
    for node in nodes(plans[0]):
        if node.get("Index Name") == "tasks_order":
            found["tasks read"] += round(node["Actual Rows"] * node["Actual Loops"])
        elif node.get("Index Name") == "leases_pkey":
            found["leases looked up"] += node["Actual Loops"]
    return {**found, "pages touched": plans[0]["Shared Hit Blocks"] + plans[0]["Shared Read Blocks"]}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
