"""Filters on 100,000 given vectors: complete answers, recall and time, however few chunks a filter leaves."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from semsearch import Collection
from tests.benchmarks import asking, home, vectors
from tests.benchmarks.asking import TOP_K, Asked
from tests.benchmarks.report import Report
from tests.benchmarks.vectors import Vectors

NAME = "filters"
QUERIES = 200
SHARES = (0.5, 0.1, 0.01, 0.001)

UNINDEXED = "metadata, $lt"  # what no index serves: every row must be looked at

Ranks = dict[str, npt.NDArray[np.int64]]


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("--sample", type=int, default=vectors.NUMBER, help="use so many vectors")
    options = parser.parse_args(arguments)
    given = vectors.load(options.sample)
    ranks = {"anywhere": _anywhere(given), "together": _together(given)}
    report = Report(NAME, f"{options.sample:,} x {vectors.DIMENSIONS}, {QUERIES} queries: {given.label}")
    with home.database() as db:
        report.ask(db)
        collection = db.create_collection(
            NAME, dimensions=vectors.DIMENSIONS, fields=dict.fromkeys(ranks, "integer"), index="hnsw"
        )
        collection.put(vectors.documents(given, **_metadata(ranks)))
        if not collection.indexes():
            collection.create_index()
        measure(report, collection, given, ranks)
    return report.finish()


def _anywhere(given: Vectors) -> npt.NDArray[np.int64]:
    """Every row's rank; the lowest match. Here those lie anywhere among the vectors."""
    return np.random.default_rng(1).permutation(len(given.base))


def _together(given: Vectors) -> npt.NDArray[np.int64]:
    """Here they are the nearest to one vector, and so far from most that are asked: the index's worst case."""
    return np.argsort(np.argsort(-(given.base @ given.base[0]), kind="stable"), kind="stable")


def _metadata(ranks: Ranks) -> dict[str, list[Any]]:
    """The ranks as the declared fields, under an undeclared name, and as one flag for each share."""
    found: dict[str, list[Any]] = {}
    for place, rank in ranks.items():
        found |= {place: rank.tolist(), f"{place}_rank": rank.tolist()}
        found |= {_flag(place, share): (rank < share * len(rank)).tolist() for share in SHARES}
    return found


def _flag(place: str, share: float) -> str:
    return f"{place}_{round(share * 1000)}"


def measure(report: Report, collection: Collection, given: Vectors, ranks: Ranks) -> None:
    queries = given.queries[:QUERIES]
    unfiltered, _ = _ask(collection, queries, None)
    report.add("no filter, p50", unfiltered.milliseconds(0.5), "ms")
    report.add(f"no filter, recall@{TOP_K}", unfiltered.recall(given.base, queries), at_least=0.95)
    found: list[dict[str, Any]] = []
    for place, rank in ranks.items():
        for share in SHARES:
            kept = rank < share * len(rank)
            for kind, filter in (
                ("declared field, $lt", {place: {"$lt": int(kept.sum())}}),
                ("metadata, $eq", {_flag(place, share): True}),
                (UNINDEXED, {f"{place}_rank": {"$lt": int(kept.sum())}}),
            ):
                some = queries if kind != UNINDEXED else queries[: len(queries) // 4]  # they take long
                asked, exact = _ask(collection, some, filter)
                figures = {
                    "exact": exact,
                    "complete": asked.completeness(int(kept.sum())),
                    "recall": asked.recall(given.base, some, kept),
                    "p50": asked.milliseconds(0.5),
                    "p95": asked.milliseconds(0.95),
                }
                report.add(f"{share:.1%} {place}, {kind}", figures, "ms")
                found.append({**figures, "indexed": kind != UNINDEXED})
    report.add("least completeness", min(each["complete"] for each in found), at_least=1.0)
    report.add(f"least recall@{TOP_K}", min(each["recall"] for each in found), at_least=0.95)
    served = [each["recall"] for each in found if each["exact"] == 1]
    report.add(f"least recall@{TOP_K}, all plans exact", min(served, default=1.0), at_least=0.99)
    worst = max(each["p95"] for each in found if each["indexed"])
    report.add("largest p95 / p50 without filter", worst / unfiltered.milliseconds(0.5), at_most=5)
    slowest = max(each["p95"] for each in found)
    report.add(f"largest p95 / p50 without filter, {UNINDEXED} too", slowest / unfiltered.milliseconds(0.5))


def _ask(collection: Collection, queries: Any, filter: Mapping[str, Any] | None) -> tuple[Asked, float]:
    """What was found, and the share of the queries for which all matching chunks were compared."""
    plans: list[str] = []

    def answer(query: Any) -> list[str]:
        hits = collection.search(embedding=query, top_k=TOP_K, filter=filter)
        plans.append(hits.plan)
        return [hit.document_id for hit in hits]

    return asking.in_turns(queries, answer, warm=20)[0], plans.count("exact") / len(plans)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
