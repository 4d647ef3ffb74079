"""Asks the same queries of several contenders in turns, and judges what they find by exact search."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from semsearch.records import Embedding
from tests.benchmarks import exact

TOP_K = 10
BLOCK = 50  # queries by one contender before the other has its turn

Answer = Callable[[Embedding], list[str]]  # the ids of the documents found, nearest first


@dataclass
class Asked:
    """What one contender found for each query, and the seconds it took."""

    seconds: list[float] = field(default_factory=list)
    found: list[list[int]] = field(default_factory=list)

    def ask(self, queries: Embedding, answer: Answer) -> None:
        for query in queries:
            begun = time.perf_counter()
            ids = answer(query)
            self.seconds.append(time.perf_counter() - begun)
            self.found.append([int(id[1:]) for id in ids])

    def milliseconds(self, quantile: float) -> float:
        return float(np.quantile(self.seconds, quantile)) * 1000

    def blocks(self) -> npt.NDArray[np.float64]:
        """The median of each block, in seconds."""
        found: npt.NDArray[np.float64] = np.median(np.reshape(self.seconds, (-1, BLOCK)), axis=1)
        return found

    def recall(self, base: Embedding, queries: Embedding, allowed: npt.NDArray[np.bool_] | None = None) -> float:
        """Mean share of the exact answers that were found, among the rows `allowed`; ties count."""
        rows = base if allowed is None else base[allowed]
        top_k = min(TOP_K, len(rows))
        if top_k == 0:
            return 1.0
        _, similarities = exact.nearest(rows, queries, top_k)
        asked = zip(queries, self.found, similarities[:, -1], strict=True)
        return float(np.mean([exact.recall(base, query, found, least, top_k) for query, found, least in asked]))

    def completeness(self, matches: int) -> float:
        """Least share, over all queries, of the hits there should have been that came."""
        return min(map(len, self.found)) / min(TOP_K, matches) if matches else 1.0


def in_turns(queries: Embedding, *contenders: Answer, warm: int = 200) -> list[Asked]:
    """Every contender answers every query, block by block; who goes first changes every block."""
    for answer in contenders:
        Asked().ask(queries[:warm], answer)
    asked = [Asked() for _ in contenders]
    for number, start in enumerate(range(0, len(queries), BLOCK)):
        for turn in range(len(contenders)):
            which = (number + turn) % len(contenders)
            asked[which].ask(queries[start : start + BLOCK], contenders[which])
    return asked
