"""The cells of the grid: a filter and a top_k, what is right there, and how well an answer does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from semsearch.records import Embedding
from tests.benchmarks import exact, shared_data
from tests.benchmarks.asking import Asked

SHARES = (50, 10, 3, 1, 0.1, 0.01)  # percent of the rows, each with its place here as its category
TOP_KS = (10, 100)
DEALT = ("anywhere", "together")
FIELDS = {**dict.fromkeys(DEALT, "integer"), "source": "text"}

Categories = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cell:
    """A filter of one field, or none; `least` is the similarity of the last exact answer to each query."""

    name: str
    filter: dict[str, Any] | None
    top_k: int
    allowed: npt.NDArray[np.bool_]
    least: npt.NDArray[np.float32]

    def judge(self, base: Embedding, queries: Embedding, asked: Asked) -> dict[str, float]:
        """Means over the queries: completeness is hits / min(top_k, matches), recall counts ties; times in ms.

        A row that does not match the filter, or comes twice, is no hit.
        """
        expected = min(self.top_k, int(self.allowed.sum()))
        complete, recall = [], []
        for query, found, least in zip(queries, asked.found, self.least, strict=True):
            hits = [row for row in dict.fromkeys(found) if self.allowed[row]]
            complete.append(len(hits) / expected)
            recall.append(exact.recall(base, query, hits, least, expected))
        return {
            "complete": float(np.mean(complete)),
            "recall": float(np.mean(recall)),
            "p50": asked.milliseconds(0.5),
            "p95": asked.milliseconds(0.95),
            "mean": float(np.mean(asked.seconds)) * 1000,
        }


def metadata(base: Embedding) -> dict[str, list[Any]]:
    """The value of every field for every row.

    `anywhere` is independent of the vectors; a category of `together` has the nearest rows to one vector, and so is far
    from most that are asked: the index's worst case. `source` is where the text comes from, as correlated as life is.
    """
    random = np.random.default_rng(1)
    return {
        "anywhere": _dealt(len(base), lambda _: random.permutation(len(base))).tolist(),
        "together": _dealt(len(base), lambda category: np.argsort(-(base @ base[category]))).tolist(),
        "source": _sources()[: len(base)],
    }


def _dealt(rows: int, order: Callable[[int], Categories]) -> Categories:
    """Categories of the sizes of SHARES, the smallest first, each the first rows in its order that are left."""
    nobody = len(SHARES)
    found = np.full(rows, nobody)
    for category in reversed(range(len(SHARES))):
        ranked = order(category)
        left = ranked[found[ranked] == nobody]
        found[left[: max(1, round(SHARES[category] / 100 * rows))]] = category
    return found


def _sources() -> list[str]:
    """Of the texts whose embeddings `vectors` keeps, in its order: shuffling depends on the number alone."""
    found = [row["metadata"]["source"] for row in shared_data.passages()]
    found += ["scifact"] * len(shared_data.retrieval_set("scifact").documents)
    np.random.default_rng(0).shuffle(found)
    return found


def every(base: Embedding, queries: Embedding, values: dict[str, list[Any]]) -> list[Cell]:
    """All cells, those without a filter first."""
    filters: list[tuple[str, dict[str, Any] | None]] = [("no filter", None)]
    filters += [(f"{share:g} % {place}", {place: at}) for place in DEALT for at, share in enumerate(SHARES)]
    sources = values["source"]
    shares = {each: round(100 * sources.count(each) / len(sources)) for each in sorted(set(sources))}
    filters += [(f"{share} % {source}", {"source": source}) for source, share in shares.items()]
    return [_cell(base, queries, values, *filter, top_k) for filter in filters for top_k in TOP_KS]


def _cell(
    base: Embedding,
    queries: Embedding,
    values: dict[str, list[Any]],
    name: str,
    filter: dict[str, Any] | None,
    top_k: int,
) -> Cell:
    allowed = np.ones(len(base), dtype=bool)
    for field, value in (filter or {}).items():
        allowed = np.array([each == value for each in values[field]])
    rows = base[allowed]
    _, similarities = exact.nearest(rows, queries, min(top_k, len(rows)))
    return Cell(f"{name} @{top_k}", filter, top_k, allowed, similarities[:, -1])
