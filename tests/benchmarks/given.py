"""Given vectors, 100,000 x 384: put, index build and search, each against plain PostgreSQL in the same run."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

import numpy as np

from semsearch import Collection, Database, Document, planner
from semsearch.store import index_build
from semsearch.store.connection import Address
from semsearch.store.index_statements import Options
from tests.benchmarks import asking, home, plain_sql, vectors
from tests.benchmarks.plain_sql import Connection
from tests.benchmarks.report import Report
from tests.benchmarks.rounds import interleave, ratio
from tests.benchmarks.vectors import Vectors

NAME = "given"


def main(arguments: Sequence[str] = ()) -> int:
    options = _options(arguments)
    given = vectors.load(options.sample, real=options.real)
    documents = vectors.documents(given, source=[f"s{at % 100}" for at in range(options.sample)])
    report = Report(NAME, f"{options.sample:,} x {vectors.DIMENSIONS}: {given.label}")
    with home.database() as db, Address(db.settings) as address, address.connect(autocommit=True) as connection:
        report.ask(db)
        collection = measure_put(report, db, connection, documents, options.rounds)
        measure_build(report, collection, connection, options.builds)
        measure_search(report, collection, connection, given)
    return report.finish()


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("--sample", type=int, default=vectors.NUMBER, help="use so many vectors")
    parser.add_argument("--rounds", type=int, default=5, help="loads of each kind")
    parser.add_argument("--builds", type=int, default=2, help="index builds of each kind")
    parser.add_argument("--real", action="store_true", help="embed real passages first, once; takes minutes")
    return parser.parse_args(arguments)


def measure_put(
    report: Report, db: Database, connection: Connection, documents: list[Document], rounds: int
) -> Collection:
    """Every load goes into an empty table of the same shape. Leaves the collection and its copy loaded."""
    rows = plain_sql.rows(documents)
    blocks = plain_sql.encode(rows)
    copies = {
        "COPY by write_row": lambda _: plain_sql.copy_rows(connection, rows),
        "COPY by write_row of documents, too": lambda _: plain_sql.copy_both(connection, rows),
        "COPY packed by struct": lambda _: plain_sql.copy_blocks(connection, plain_sql.encode(rows)),
        "COPY packed beforehand": lambda _: plain_sql.copy_blocks(connection, blocks),
    }
    put, *copied = interleave(
        rounds,
        lambda _: db.collection(NAME).put(documents),
        *copies.values(),
        before=lambda: _empty(db, connection),
    )
    report.add("put", len(documents) / float(np.median(put)), "rows/s")
    for what, seconds in zip(copies, copied, strict=True):
        report.add(what, len(documents) / float(np.median(seconds)), "rows/s")
    for what, seconds in zip(copies, copied, strict=True):
        report.add(f"put / {what}, rate", ratio(seconds, put), at_least=None if "beforehand" in what else 0.7)
    _empty(db, connection)
    plain_sql.copy_blocks(connection, blocks)
    db.collection(NAME).put(documents)
    return db.collection(NAME)


def _empty(db: Database, connection: Connection) -> None:
    if any(status.name == NAME for status in db.collections()):
        db.drop_collection(NAME)
        connection.execute("VACUUM semsearch.documents")
    db.create_collection(NAME, dimensions=vectors.DIMENSIONS, index="none")
    plain_sql.make_copy_of(connection, plain_sql.chunks_table(connection, NAME))
    connection.execute("CHECKPOINT")


def measure_build(report: Report, collection: Collection, connection: Connection, rounds: int) -> None:
    """Both over the same rows in the same order. Leaves the collection with its index, the copy without.

    `create_index` also measures what was built, which nobody does by hand: that is told apart.
    """
    cores = os.cpu_count() or 1
    workers = sorted({max(1, cores - 1), cores})

    def drop() -> None:
        plain_sql.drop_index(connection)
        if collection.indexes():
            collection.drop_index()

    address, engine, wished = collection._pools.address, collection._pools.writing, Options()
    own, *by_hand = interleave(
        rounds,
        lambda _: index_build.build(address, engine, collection.space, wished),
        *(lambda _, count=count: plain_sql.build_index(connection, count) for count in workers),
        before=drop,
    )
    report.add("our build", float(np.median(own)), "s")
    for count, seconds in zip(workers, by_hand, strict=True):
        report.add(f"CREATE INDEX by hand, {count} workers", float(np.median(seconds)), "s")
    report.add("our build / best by hand, time", ratio(own, min(by_hand, key=np.median)), at_most=1.03)
    drop()
    begun = time.perf_counter()
    collection.create_index()
    report.add("create_index, which measures it, too", time.perf_counter() - begun, "s")
    report.add("index", collection.indexes()[0].bytes / 2**20, "MB")


def measure_search(report: Report, collection: Collection, connection: Connection, given: Vectors) -> None:
    """The same queries with the same ef_search on the same index, in turns; both return all columns of a hit."""
    ef_search = planner.asked(collection._searcher.state(), asking.TOP_K)
    connection.execute(f"SET hnsw.ef_search = {ef_search:d}")
    connection.execute("SET plan_cache_mode = force_custom_plan")
    statement = plain_sql.nearest(plain_sql.chunks_table(connection, NAME))
    own, by_hand = asking.in_turns(
        given.queries,
        lambda query: [hit.document_id for hit in collection.search(embedding=query, top_k=asking.TOP_K)],
        lambda query: [row[1] for row in plain_sql.search(connection, statement, query)],
    )
    for what, asked in (("search", own), ("prepared psycopg", by_hand)):
        report.add(f"{what}, p50", asked.milliseconds(0.5), "ms")
        report.add(f"{what}, p95", asked.milliseconds(0.95), "ms")
        report.add(f"{what}, recall@{asking.TOP_K} at ef_search {ef_search}", asked.recall(given.base, given.queries))
    report.add("search / prepared psycopg, p50", ratio(own.blocks(), by_hand.blocks()), at_most=1.25)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
