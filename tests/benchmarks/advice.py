"""What `index advise` predicts, against what PostgreSQL does: size of the index, memory and seconds of its build.

Embeddings of real passages at three sizes, and longer ones in half precision made of them. The memory is judged by the
row at which pgvector says that the graph no longer fits; the seconds at what the machine is capable of just then.
"""

from __future__ import annotations

import re
import sys
import time
from typing import Any

import numpy as np
import psycopg

from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.records import Embedding
from semsearch.store import index_build, index_sizes, indexes, server_memory
from semsearch.store.index_advice import Candidate, Data, advise
from semsearch.store.index_statements import Options
from semsearch.store.server_memory import Server
from tests.benchmarks import vectors
from tests.benchmarks.home import database
from tests.benchmarks.report import Report

SIZES = (5_000, 20_000, 80_000)
LONG = 20_000, 1024  # rows, dimensions in half precision
LITTLE = 16 * 2**20  # bytes of maintenance_work_mem that the largest graph does not fit into
VARIANTS = (("hnsw", "none"), ("hnsw", "halfvec"), ("hnsw", "binary"), ("ivfflat", "none"))


def main() -> int:
    base = vectors.load(SIZES[-1])
    report = Report("advice", f"Predictions for an index, against the index: {base.label}")
    with database() as db:
        report.ask(db)
        for rows in SIZES:
            collection = filled(db, f"rows_{rows}", base.base[:rows])
            for kind, quantization in VARIANTS if rows == SIZES[1] else VARIANTS[:1]:
                compare(db, collection, kind, quantization, report)
        threshold(collection, report)
        collection = filled(db, "long", lengthened(base.base[: LONG[0]], LONG[1]))
        compare(db, collection, "hnsw", "none", report)
    return report.finish()


def lengthened(some: Embedding, dimensions: int) -> Embedding:
    """As many dimensions by a random projection, which keeps their distances."""
    matrix = np.random.default_rng(0).standard_normal((some.shape[1], dimensions)) / dimensions**0.5
    made: Embedding = (some @ matrix).astype(np.float32)
    return made


def filled(db: Database, name: str, some: Embedding) -> Collection:
    collection = db.create_collection(name, dimensions=some.shape[1], index="none", language=None)
    collection.put({"id": f"d{at}", "text": "", "embedding": vector} for at, vector in enumerate(some))
    return collection


def compare(db: Database, collection: Collection, kind: str, quantization: str, report: Report) -> None:
    space, pools = collection.space, db.pools
    with pools.writing.connect() as connection:
        server = server_memory.look(connection)
        rows = indexes.count_up_to(connection, space, 10**9)
    predicted = candidate(Data(rows, space.dimensions, space.distance, space.vector_type), server, kind, quantization)
    begun = time.perf_counter()
    options = Options(kind, quantization=None if quantization == "none" else quantization)  # type: ignore[arg-type]
    with index_build.alone(pools.address, space) as connection:
        index_build.create(pools.address, connection, space, options, indexes.name(space), None)
    seconds = time.perf_counter() - begun
    (index,) = collection.indexes()
    what = f"{rows:,} x {space.dimensions} {space.vector_type} {kind} {quantization}"
    report.add(f"{what}: bytes", predicted.index_bytes / index.bytes, "of the measured", at_most=1.1)
    report.add(f"{what}: bytes, inverse", index.bytes / predicted.index_bytes, "of the predicted", at_most=1.1)
    report.add(f"{what}: seconds", {"predicted": predicted.build_seconds, "measured": seconds, "scale": server.scale})
    report.add(f"{what}: seconds, off by", off(predicted.build_seconds, seconds), "times", at_most=2.0)
    collection.drop_index()


def candidate(data: Data, server: Server, kind: str, quantization: str) -> Candidate:
    advice = advise(data, server)
    every = (advice.best, *advice.alternatives)
    return next(each for each in every if (each.kind, each.quantization) == (kind, quantization))


def off(predicted: float, measured: float) -> float:
    return max(predicted / measured, measured / predicted)


def threshold(collection: Collection, report: Report) -> None:
    """The rows that fit into little memory, by pgvector's own notice."""
    space = collection.space
    notices: list[str] = []
    with collection._pools.address.connect(autocommit=True, patient=True) as connection:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        connection.execute(f"SET maintenance_work_mem = '{LITTLE // 1024}kB'")
        connection.execute("SET max_parallel_maintenance_workers = 0")
        build(connection, space.table_name)
    (found,) = (re.search(r"after (\d+) tuples", notice) for notice in notices if "no longer fits" in notice)
    assert found
    predicted = index_sizes.fitting_rows(LITTLE, space.dimensions, space.vector_type)
    report.add("rows whose graph fits 16 MB", {"predicted": float(predicted), "measured": float(found[1])})
    report.add("rows whose graph fits 16 MB, off by", off(predicted, int(found[1])), "times", at_most=1.03)


def build(connection: psycopg.Connection[Any], table: str) -> None:
    """Of a part of the chunks only: what does not fit is inserted slowly."""
    connection.execute(f"CREATE TEMPORARY TABLE part AS SELECT embedding FROM semsearch.{table} LIMIT 9000")
    connection.execute("CREATE INDEX ON part USING hnsw (embedding vector_cosine_ops)")


if __name__ == "__main__":
    sys.exit(main())
