"""What the triggers of an attached table cost whoever writes to it: the same statements with and without them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from semsearch import Database
from semsearch.store.connection import Address
from tests.benchmarks import home
from tests.benchmarks.plain_sql import Connection
from tests.benchmarks.report import Report
from tests.benchmarks.rounds import Seconds, interleave

NAME = "triggers"
TABLE = """
CREATE TABLE {} (
    id bigint PRIMARY KEY, title text, body text, author text, published_at timestamptz,
    views integer NOT NULL DEFAULT 0
) WITH (autovacuum_enabled = false)
"""
INSERT = """
INSERT INTO {} SELECT i, 'title ' || i, repeat('some words ', 20) || i, 'ann', now(), 0 FROM generate_series(1, {}) i
"""
STATEMENTS = {
    "INSERT": INSERT,
    "UPDATE of the text": "UPDATE {} SET body = body || '!'",
    "UPDATE of another column": "UPDATE {} SET views = views + 1",
    "DELETE": "DELETE FROM {}",
}
LONG = "UPDATE {} SET body = (SELECT string_agg(md5(random()::text || i), '') FROM generate_series(1, 300) i)"
TARGETS = {"INSERT": 10.0, "UPDATE of the text": 10.0}  # microseconds


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of a statement")
    parser.add_argument("--rounds", type=int, default=5, help="how often each statement runs, with and without")
    parser.add_argument("--commits", type=int, default=5000, help="commits of one row")
    options = parser.parse_args(arguments)
    report = Report(NAME, f"{options.rows:,} rows in a statement; {options.commits:,} commits of one row")
    with home.database() as db, Address(db.settings) as address, address.connect(autocommit=True) as connection:
        report.ask(db)
        prepare(db, connection)
        measure_bulk(report, connection, options.rows, options.rounds)
        measure_long(report, connection, min(options.rows, 2000), options.rounds)
        measure_single(report, connection, options.commits)
    return report.finish()


def prepare(db: Database, connection: Connection) -> None:
    """Two tables alike, one of them attached. There is no model: nothing of this is embedded."""
    for name in ("plain", "attached"):
        connection.execute(TABLE.format(name))
    space = db.create_collection(NAME, dimensions=8).space
    connection.execute("UPDATE semsearch.spaces SET model = 'openai:none' WHERE id = %s", [space.id])
    connection.execute(
        "SELECT semsearch.attach(%s, 'attached', text => '{title,body}', metadata => '{author,published_at}')", [NAME]
    )


def measure_bulk(report: Report, connection: Connection, rows: int, rounds: int) -> None:
    """Each statement with all rows there; a DELETE has no chunks to remove but looks for them."""
    for what, statement in STATEMENTS.items():
        without, attached = compare(connection, statement, rows, rounds, filled=what != "INSERT")
        more = float(np.median(attached - without)) / rows * 1e6
        report.add(f"{what}, without", float(np.median(without)) / rows * 1e6, "us/row")
        report.add(f"{what}, more with triggers", more, "us/row", at_most=TARGETS.get(what))


def measure_long(report: Report, connection: Connection, rows: int, rounds: int) -> None:
    """Texts of 9.6 kB, kept out of line: to see that they have not changed, they are read."""
    statement = STATEMENTS["UPDATE of another column"]
    without, attached = compare(connection, statement, rows, rounds, filled=True, then=LONG)
    more = float(np.median(attached - without)) / rows * 1e6
    report.add("UPDATE of another column, more with texts of 9.6 kB", more, "us/row")


def compare(
    connection: Connection, statement: str, rows: int, rounds: int, *, filled: bool, then: str | None = None
) -> list[Seconds]:
    """Seconds of a statement on either table, which has been emptied, or filled with so many rows, before."""

    def before() -> None:
        connection.execute("SET semsearch.bulk = 'on'")
        for name in ("plain", "attached"):
            connection.execute(f"TRUNCATE {name}")
            if filled:
                connection.execute(INSERT.format(name, rows))
            if then:
                connection.execute(then.format(name))
        connection.execute("TRUNCATE semsearch.tasks")
        connection.execute("RESET semsearch.bulk")
        connection.execute("CHECKPOINT")

    def run(name: str) -> Callable[[int], object]:
        return lambda _: connection.execute(statement.format(name, rows))

    return interleave(rounds, run("plain"), run("attached"), before=before)


def measure_single(report: Report, connection: Connection, commits: int) -> None:
    """One row a transaction, in turns: what one user notices."""
    statement = "INSERT INTO {} (id, title, body) VALUES (%s, 'title', 'some words') "
    connection.execute("TRUNCATE plain, attached")
    taken: dict[str, list[float]] = {"plain": [], "attached": []}
    for number in range(commits):
        for name, seconds in taken.items():
            begun = time.perf_counter()
            connection.execute(statement.format(name), [number])
            seconds.append(time.perf_counter() - begun)
    for quantile in (0.5, 0.99):
        without, attached = (float(np.quantile(seconds, quantile)) * 1000 for seconds in taken.values())
        name = f"p{quantile * 100:.0f}"
        report.add(f"commit of one row, {name}, without", without, "ms")
        report.add(f"commit of one row, {name}, with", attached, "ms", at_most=None if quantile < 0.9 else without + 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
