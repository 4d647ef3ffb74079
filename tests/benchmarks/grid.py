"""Filtered search, cell by cell: how few rows a filter leaves, where they lie, and top_k. With --peers, theirs too.

Completeness, recall, times and plan of the automatic choice, and what the best fixed plan would have taken.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql

from semsearch import Collection, Database, Document
from semsearch.records import Embedding
from semsearch.store.connection import Address
from tests.benchmarks import cells, home, plain_sql, vectors
from tests.benchmarks.asking import Answer, Asked
from tests.benchmarks.cells import Cell
from tests.benchmarks.peers import environment, measuring
from tests.benchmarks.report import Report
from tests.benchmarks.vectors import Vectors

NAME = "grid"
WARM = 20
BLOCK = 10  # queries by one plan before the next has its turn
COMMON = 60  # more than any plan cache waits before it settles: psycopg 5 and PostgreSQL 5
RECALL = 0.95  # a plan that finds less is no choice

Figures = dict[str, Any]


def main(arguments: Sequence[str] = ()) -> int:
    options = _options(arguments)
    given = vectors.load(options.sample, real=True)
    given = Vectors(given.base, given.queries[: options.queries], given.label)
    values = cells.metadata(given.base)
    documents = vectors.documents(given, **values)
    every = cells.every(given.base, given.queries, values)
    report = Report(NAME, f"{options.sample:,} x {vectors.DIMENSIONS}, {options.queries} queries: {given.label}")
    with home.database() as db, Address(db.settings) as address:
        report.ask(db)
        collection = load(report, db, address, documents)
        measure_own(report, collection, given, every)
        measure_common_then_rare(report, collection, address, given, every)
        if options.peers is not None:
            names = options.peers or list(environment.PEERS)
            measuring.measure(report, names, address, documents, given, every)
    return report.finish()


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("--sample", type=int, default=vectors.NUMBER, help="use so many vectors")
    parser.add_argument("--queries", type=int, default=100, help="ask so many in each cell")
    parser.add_argument("--peers", nargs="*", choices=environment.PEERS, help="ask these, too; all if none is named")
    return parser.parse_args(arguments)


def load(report: Report, db: Database, address: Address, documents: list[Document]) -> Collection:
    collection = db.create_collection(NAME, dimensions=vectors.DIMENSIONS, fields=cells.FIELDS, index="hnsw")
    begun = time.perf_counter()
    collection.put(documents)
    if not collection.indexes():
        collection.create_index()
    report.add("semsearch: put and index", len(documents) / (time.perf_counter() - begun), "rows/s")
    with address.connect(autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")  # as the peers get it
    return collection


def measure_own(report: Report, collection: Collection, given: Vectors, every: list[Cell]) -> None:
    busy = os.getloadavg()[0]
    measured = [_own(report, collection, given, cell) for cell in every]
    served = [each for each in measured if each["exact %"] == 100]
    others = [each for each in measured if each["exact %"] < 100]
    report.add("least completeness", min(each["complete"] for each in measured), at_least=1.0)
    report.add("least recall, all plans exact", min((each["recall"] for each in served), default=1.0), at_least=0.99)
    report.add("least recall, others", min((each["recall"] for each in others), default=1.0), at_least=RECALL)
    report.add("largest auto / best fixed, mean", max(each["auto / best"] for each in measured), at_most=1.3)
    for top_k in cells.TOP_KS:
        unfiltered, *filtered = [each for cell, each in zip(every, measured, strict=True) if cell.top_k == top_k]
        worst = max(each["p95"] for each in filtered)
        report.add(f"largest p95 / unfiltered p50 @{top_k}", worst / unfiltered["p50"], at_most=5)
    report.add("semsearch: load", {"before": busy, "after": os.getloadavg()[0]})


def _own(report: Report, collection: Collection, given: Vectors, cell: Cell) -> Figures:
    """The figures of the automatic choice; the plans take turns."""
    exact: list[bool] = []

    def ask(plan: str) -> Answer:
        def answer(query: Embedding) -> list[str]:
            hits = collection.search(embedding=query, top_k=cell.top_k, filter=cell.filter, plan=plan)
            if plan == "auto":
                exact.append(hits.plan == "exact")
            return [hit.document_id for hit in hits]

        return answer

    every = _in_turns(given.queries, [ask(plan) for plan in ("auto", "exact", "ann")])
    auto, *fixed = [cell.judge(given.base, given.queries, asked) for asked in every]
    auto["exact %"] = round(100 * float(np.mean(exact)))
    report.add(f"semsearch: {cell.name}", {name: each for name, each in auto.items() if name != "mean"}, "ms")
    return auto | _choice(report, cell, auto, *fixed)


def _choice(report: Report, cell: Cell, auto: Figures, exact: Figures, ann: Figures) -> Figures:
    """The automatic choice against the faster plan; ann is one only where it is complete and its recall suffices."""
    fault = "incomplete" if ann["complete"] < 1 else f"recall {ann['recall']:.2f}" if ann["recall"] < RECALL else None
    best = exact if fault else min(exact, ann, key=lambda plan: plan["mean"])
    ratios = {"mean": auto["mean"] / best["mean"], "p50": auto["p50"] / best["p50"]}
    report.add(f"auto / best: {cell.name}", {**ratios, "exact ms": exact["mean"], "ann ms": fault or ann["mean"]})
    return {"auto / best": ratios["mean"]}


def _in_turns(queries: Embedding, answers: list[Answer]) -> list[Asked]:
    for answer in answers:
        Asked().ask(queries[:WARM], answer)
    asked = [Asked() for _ in answers]
    for number, start in enumerate(range(0, len(queries), BLOCK)):
        for turn in range(len(answers)):
            which = (number + turn) % len(answers)
            asked[which].ask(queries[start : start + BLOCK], answers[which])
    return asked


def measure_common_then_rare(
    report: Report, collection: Collection, address: Address, given: Vectors, every: list[Cell]
) -> None:
    """A statement prepared for a common value may keep its plan for the rarest one, and then finds too little."""
    *common, rare = (cell for cell in every if "anywhere" in (cell.filter or {}) and cell.top_k == 10)
    number = next(field.number for field in collection.space.fields if field.name == "anywhere")

    def search(query: Embedding, cell: Cell) -> list[str]:
        return [hit.document_id for hit in collection.search(embedding=query, top_k=10, filter=cell.filter)]

    def by_hand(common: Cell) -> float:
        with psycopg.connect(address.conninfo or "", autocommit=True) as connection:
            register_vector(connection)
            statement = sql.SQL("SELECT document_id FROM {} WHERE {} = %s ORDER BY embedding <=> %s LIMIT 10").format(
                plain_sql.chunks_table(connection, NAME), sql.Identifier(f"field_{number}")
            )

            def select(query: Embedding, cell: Cell) -> list[str]:
                values = (cell.filter or {}).values()
                return [row[0] for row in connection.execute(statement, (*values, query)).fetchall()]

            return _after(common, rare, select, given)

    own = min(_after(each, rare, search, given) for each in common)
    report.add("complete, rare after common", own, at_least=1.0)
    shown = {f"{share:g} %": by_hand(each) for share, each in zip(cells.SHARES, common, strict=False)}
    report.add("the same, psycopg, common being", shown)


def _after(common: Cell, rare: Cell, search: Callable[[Embedding, Cell], list[str]], given: Vectors) -> float:
    """Completeness of the rare filter once the common one was asked for often."""
    for at in range(COMMON):
        search(given.queries[at % len(given.queries)], common)
    asked = Asked()
    asked.ask(given.queries, lambda query: search(query, rare))
    return rare.judge(given.base, given.queries, asked)["complete"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
