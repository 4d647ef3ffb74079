"""Measures an ANN index: the least effort that reaches a recall, and what it costs."""

from __future__ import annotations

import bisect
import functools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Engine, func, select

from semsearch.errors import InvalidInput, NotFound
from semsearch.fields import describe
from semsearch.store import calibration, ground_truth, indexes, nearest, spaces
from semsearch.store.calibration import TARGET, Calibration
from semsearch.store.connection import EF_SEARCH
from semsearch.store.ground_truth import Query
from semsearch.store.indexes import Index
from semsearch.store.nearest import EXACT, MOST_CANDIDATES, Scan
from semsearch.store.session import Setting, transaction
from semsearch.store.spaces import Space
from semsearch.store.transactions import again_when_lost

TOP_K = 10
SECONDS = 6.0  # in which to measure, half of it for the exact answers
MOST_QUERIES, LEAST_QUERIES = 100, 20
TIMED = 10  # queries by which costs are measured
# With so many, recall@10 of queries from outside was 0.993 (100,000 passages). Made-up queries go no lower than the
# default.
LEAST_CANDIDATES = 24
LEAST_COMPARED = 1_000
COMPARED = 5_000  # chunks by which the cost of one is measured
WALKED = 2_000  # nodes by which the cost of one is measured

OnQuery = Callable[[int, int | None], None]


@dataclass(frozen=True)
class _Truth:
    query: Query
    distances: list[float]


def measure(
    engine: Engine,
    space: Space,
    *,
    target: float = TARGET,
    seconds: float = SECONDS,
    on_query: OnQuery | None = None,
) -> Calibration:
    """Ask the index with more and more effort until `target` recall@10 is reached: that and its costs.

    Where it cannot be reached the most effort is told, with the recall that has. It takes about `seconds`. Raises
    NotFound without an index or chunks.
    """
    with engine.connect() as connection:
        index = indexes.main(indexes.every(connection, space))
        rows = indexes.rows(connection, space)
        now = connection.execute(select(func.now())).scalar_one()
        if index is None:
            spaces.check_exists(connection, space)
            raise NotFound(f"collection {space.name!r} has no index, so every search is exact.")
        asked = ground_truth.asked(connection, space, MOST_QUERIES, filtered=False)
        queries = asked + ground_truth.stored(connection, space, MOST_QUERIES - len(asked))
    if not queries:
        raise NotFound(f"collection {space.name!r} has no chunks to measure its index by.")
    least = LEAST_CANDIDATES if len(asked) >= LEAST_QUERIES else EF_SEARCH
    trial = Trial(engine, space, index, _answers(engine, space, queries, seconds / 2, on_query), least)
    tuned = replace(trial.tuned(target), rows=rows, target=target, measured_at=now)
    return trial.costs(tuned)


def calibrate(searching: Engine, writing: Engine, space: Space, on_query: OnQuery | None = None) -> Calibration:
    """Measure for the recall that was asked for last, and keep it, for all who search. Raises NotFound."""
    with writing.connect() as connection:
        known = calibration.read(connection, space)
    target = known.target if known else TARGET
    measured = again_when_lost(searching, lambda: measure(searching, space, target=target, on_query=on_query))
    with writing.begin() as connection:
        calibration.write(connection, space, measured)
    return measured


def tune(
    searching: Engine, writing: Engine, space: Space, target: float, on_query: OnQuery | None = None
) -> Calibration:
    """Have searches reach this recall@10 from now on. Raises InvalidInput when the index cannot, NotFound without."""
    if not isinstance(target, int | float) or not 0 < target <= 1:
        raise InvalidInput(f"recall is a number above 0, at most 1; got {describe(target)}.")
    measured = again_when_lost(searching, lambda: measure(searching, space, target=float(target), on_query=on_query))
    if not measured.reached:
        raise InvalidInput(
            f"recall {target:g} cannot be reached: the best of this index is {measured.recall:.3f}, with "
            f"{_effort(measured)}. "
            "Build one with more neighbours (m, ef_construction), or with less quantization, or search exactly."
        )
    with writing.begin() as connection:
        calibration.write(connection, space, measured)
    return measured


def _effort(measured: Calibration) -> str:
    return f"ef_search {measured.ef_search}" if measured.ef_search else f"probes {measured.probes}"


def _answers(
    engine: Engine, space: Space, queries: Sequence[Query], seconds: float, on_query: OnQuery | None
) -> list[_Truth]:
    """The exact answers of as many queries as there is time for."""
    ends = time.monotonic() + seconds
    truths: list[_Truth] = []
    for query in queries:
        if len(truths) >= LEAST_QUERIES and time.monotonic() > ends:
            break
        with engine.connect() as connection:
            truths.append(_Truth(query, ground_truth.nearest_distances(connection, space, EXACT, query, TOP_K)))
        if on_query:
            on_query(len(truths), len(queries))
    return truths


@dataclass(frozen=True)
class Trial:
    """An index under trial, with queries whose answers are known."""

    engine: Engine
    space: Space
    index: Index
    truths: Sequence[_Truth]
    least: int  # candidates

    def tuned(self, target: float) -> Calibration:
        """The least effort that reaches the target, and the recall it has."""
        candidates = _steps(self.least, MOST_CANDIDATES)
        if self.index.kind == "hnsw":
            return self._least(candidates, self._hnsw, target)
        lists = self.index.settings.get("lists", 100)  # pgvector's default (README, "IVFFlat")
        probes = _steps(1, lists)
        if nearest.is_direct(self.space, self.index):
            return self._least(probes, self._ivfflat, target)
        # First the candidates, all lists being looked at; half of what may be lost is left to the lists.
        half = self._least(candidates, lambda number: self._ivfflat(lists, number), (1 + target) / 2)
        enough = round(half.oversampling * TOP_K)
        return self._least(probes, lambda number: self._ivfflat(number, enough), target)

    def _hnsw(self, effort: int) -> Calibration:
        oversampling = 1.0 if nearest.is_direct(self.space, self.index) else effort / TOP_K
        return Calibration(0, ef_search=effort, oversampling=oversampling)

    def _ivfflat(self, probes: int, candidates: int = TOP_K) -> Calibration:
        return Calibration(0, probes=probes, oversampling=candidates / TOP_K)

    def _least(self, efforts: Sequence[int], made: Callable[[int], Calibration], target: float) -> Calibration:
        """Bisection: recall grows with the effort. For sure, if that can be, else as these queries have it."""
        judged = functools.cache(lambda place: self._judged(made(efforts[place])))
        most = len(efforts) - 1
        if judged(most)[1] >= target:
            return judged(bisect.bisect_left(range(most), target, key=lambda place: judged(place)[1]))[0]
        return judged(bisect.bisect_left(range(most), target, key=lambda place: judged(place)[0].recall or 0.0))[0]

    def _judged(self, tried: Calibration) -> tuple[Calibration, float]:
        """With its recall; and the recall less twice its standard error, which holds for other queries, too."""
        scan = self._scan(tried, TOP_K)
        with self.engine.connect() as connection, transaction(connection, scan.settings):
            each = [
                ground_truth.recall(
                    ground_truth.nearest_distances(connection, self.space, scan, truth.query, TOP_K), truth.distances
                )
                for truth in self.truths
            ]
        mean = statistics.fmean(each)
        error = statistics.stdev(each) / len(each) ** 0.5 if len(each) > 1 else 0.0
        return replace(tried, recall=mean, queries=len(each)), mean - 2 * error

    def _scan(self, tried: Calibration, nodes: int) -> Scan:
        # Of a small table PostgreSQL would rather compare all chunks.
        settings: list[Setting] = [("enable_seqscan", 0)]
        if self.index.kind == "hnsw":
            settings.append(("hnsw.ef_search", tried.ef_search or MOST_CANDIDATES))
        else:
            settings += nearest.ivfflat_settings(tried.probes or 1)
        return Scan("ann", self.index, max(nodes, round(tried.oversampling * TOP_K)), tuple(settings))

    def costs(self, tuned: Calibration) -> Calibration:
        """With what it costs to compare a chunk, to begin to walk the index, and to go past one of its nodes."""
        rows = max(tuned.rows, 1)
        with self.engine.connect() as connection:
            places = ground_truth.places(connection, self.space, min(rows, COMPARED))
        compared = max(len(places), 1)
        exact = self._microseconds(ground_truth.compared(self.space, places, TOP_K), EXACT)
        first = min(rows, max(tuned.ef_search or 0, round(tuned.oversampling * TOP_K), TOP_K))
        more = min(rows // 2, first + WALKED)
        presumed = calibration.presumed(self.space, rows, self.index)
        begun = self._walk(tuned, first)
        node = (self._walk(tuned, more) - begun) / (more - first) if more > 2 * first else presumed.ann_node
        node = max(node, 0.1)
        start = max(begun - first * node, 0.0)
        # Of few the time is that of a statement, whatever it compares.
        row = exact / compared if compared >= LEAST_COMPARED else presumed.exact_row
        return replace(tuned, exact_row=row, ann_start=start, ann_node=node)

    def _walk(self, tuned: Calibration, nodes: int) -> float:
        scan = self._scan(tuned, nodes)
        return self._microseconds(ground_truth.walked(self.space, scan, nodes), scan)

    def _microseconds(self, statement: Any, scan: Scan) -> float:
        """The least, for what else the machine does only adds to it; the first time warms the caches."""
        taken = []
        settings = (("max_parallel_workers_per_gather", 0), *scan.settings)
        with self.engine.connect() as connection, transaction(connection, settings):
            for truth in self.truths[: TIMED + 1]:
                values = nearest.parameters(self.space, scan, truth.query.embedding, TOP_K)
                begun = time.perf_counter()
                connection.execute(statement, values).all()
                taken.append(time.perf_counter() - begun)
        return min(taken[1:] or taken) * 1e6


def _steps(first: int, last: int) -> list[int]:
    """From the first to the last by 15 %, which is finer than what a hundred queries can tell apart.

    >>> _steps(1, 10)
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    """
    steps = [first]
    while steps[-1] < last:
        steps.append(min(last, max(steps[-1] + 1, round(steps[-1] * 1.15))))
    return steps
