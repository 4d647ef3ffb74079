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
# How the matching rows lie: anywhere, near one another, or far from what is asked.
PLACES = ("independent", "correlated")


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("--sample", type=int, default=vectors.NUMBER, help="use so many vectors")
    options = parser.parse_args(arguments)
    given = vectors.load(options.sample)
    ranks = {place: _ranks(place, given) for place in PLACES}
    report = Report(NAME, f"{options.sample:,} x {vectors.DIMENSIONS}, {QUERIES} queries: {given.label}")
    with home.database() as db:
        report.ask(db)
        fields = dict.fromkeys(PLACES, "integer")
        collection = db.create_collection(NAME, dimensions=vectors.DIMENSIONS, fields=fields, index="hnsw")
        tags = [[f"{place}{share}" for place in PLACES for share in SHARES if ranks[place][at] < share * options.sample]
                for at in range(options.sample)]  # fmt: skip
        collection.put(vectors.documents(given, **{place: found.tolist() for place, found in ranks.items()}, tags=tags))
        if not collection.indexes():
            collection.create_index()
        measure(report, collection, given, ranks)
    return report.finish()


def _ranks(place: str, given: Vectors) -> npt.NDArray[np.int64]:
    """A number from 0 on for every vector; a filter keeps the lowest. Correlated: the nearest to one vector first."""
    if place == "independent":
        return np.random.default_rng(1).permutation(len(given.base))
    nearness = given.base @ given.base[0]
    ranks = np.empty(len(given.base), np.int64)
    ranks[np.argsort(-nearness)] = np.arange(len(given.base))
    return ranks


def measure(report: Report, collection: Collection, given: Vectors, ranks: dict[str, npt.NDArray[np.int64]]) -> None:
    asked = given.queries[:QUERIES]
    unfiltered = _ask(collection, asked, None)
    report.add("no filter, p50", unfiltered.milliseconds(0.5), "ms")
    report.add(f"no filter, recall@{TOP_K}", unfiltered.recall(given.base, asked), at_least=0.95)
    for place, rank in ranks.items():
        for share in SHARES:
            kept = rank < share * len(given.base)
            for kind, filter in (
                ("field", {place: {"$lt": int(kept.sum())}}),
                ("metadata", {"tags": f"{place}{share}"}),
            ):
                found = _ask(collection, asked, filter)
                what = f"{share:.1%} {place}, {kind}"
                report.add(f"{what}: completeness", found.completeness(int(kept.sum())), at_least=1.0)
                report.add(f"{what}: recall@{TOP_K}", found.recall(given.base, asked, kept), at_least=0.95)
                ratio = found.milliseconds(0.95) / unfiltered.milliseconds(0.5)
                report.add(f"{what}: p95 / p50 of no filter", ratio, at_most=5)


def _ask(collection: Collection, queries: Any, filter: Mapping[str, Any] | None) -> Asked:
    def answer(query: Any) -> list[str]:
        return [hit.document_id for hit in collection.search(embedding=query, top_k=TOP_K, filter=filter)]

    return asking.in_turns(queries, answer)[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
