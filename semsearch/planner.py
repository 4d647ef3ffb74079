"""Chooses, for each query, between comparing all chunks that match (exact) and walking the ANN index (ann).

To compare m matching chunks costs m * exact_row; where no index serves the filter, all chunks are read for it. To walk
the index costs ann_start + visited * ann_node, and of a filter that keeps m of N chunks anywhere among the embeddings
about top_k * N / m nodes are visited. The constants are measured when the index is built (`store.calibration`); they
meet at about sqrt(12 * top_k * N) matches (40,000 x 384).

How many match is taken from PostgreSQL's estimate where it has statistics and the answer is clear, else counted, no
further than it matters. What was found out is remembered for a while, also that the index came back short: then the
matches lie apart from what is asked, and comparing all of them is cheaper and right.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from sqlalchemy import ColumnElement, Engine

from semsearch.errors import InvalidInput
from semsearch.store import estimates, nearest
from semsearch.store.calibration import Calibration
from semsearch.store.connection import EF_SEARCH
from semsearch.store.indexes import Index
from semsearch.store.nearest import Plan, Scan
from semsearch.store.spaces import Space

AGE = 60.0  # seconds for which what is known of a filter is believed
REMEMBERED = 1024  # filters
SCANNED_ROW = 0.45  # microseconds to read a chunk that does not match: 100,000 with a condition on jsonb
IN_FAVOUR = 1.2  # of comparing all, which is always right
CLEAR = 3.0  # an estimate is believed when it is so many times away from where the plans cost the same
# With a filter the walk is to find so many times top_k, and may visit so many times the nodes that this would take if
# the matches lay anywhere; else they lie apart from what is asked, what was found first is not the nearest, and all
# that match are compared. Of 100,000 passages, those of one source: where enough was found, recall@10 was 0.81 to 1.0
# (0.5 to 0.93 without this), and with the others compared 0.93 to 1.0.
WIDER = 6
# A filter leaves some of the candidates: of 0.5 and 0.1 of 100,000 passages recall@10 was 0.97 with 75, 0.99 with 150.
FILTERED = 2
PATIENCE = 3.0
LEAST_BUDGET = 600  # nodes; pgvector does not count the first batch, of ef_search
# A filter for which so many of the walks came short is not walked for any more.
TRIES, OFTEN = 5, 0.25
USUAL_BUDGET = 20_000  # pgvector's default of hnsw.max_scan_tuples
MOST_BUDGET = 2**18  # of about 200 bytes each: 50 MB


@dataclass(frozen=True)
class State:
    """What there is to search in: about how many chunks, the valid ANN index, what was measured of it.

    `share` of the collection's chunks: those of a tenant with an index of its own, for which `within` makes it.
    """

    rows: int
    index: Index | None
    calibration: Calibration
    share: float = 1.0

    def within(self, own: Index) -> State:
        return replace(self, rows=own.rows, index=own, share=min(1.0, own.rows / max(self.rows, 1)))


@dataclass(frozen=True)
class Choice:
    """A plan with the figures it was chosen by, where there are any: microseconds, and chunks that match (`counted`,
    or estimated).
    """

    scan: Scan
    reason: str
    matches: int | None
    counted: bool
    exact_cost: float | None
    ann_cost: float | None

    @property
    def plan(self) -> Plan:
        return self.scan.plan


@dataclass
class _Known:
    """What was found out about a filter."""

    matches: int
    counted: bool
    scanned: bool  # no index serves it: every chunk is read
    since: float = field(default_factory=time.monotonic)
    walks: int = 0
    shorts: int = 0  # walks that did not find enough

    @property
    def short(self) -> bool:
        return self.walks >= TRIES and self.shorts > OFTEN * self.walks


class Planner:
    """Chooses plans for one collection, and remembers its filters. Safe to use from several threads."""

    def __init__(self, engine: Engine, space: Space) -> None:
        self._engine = engine
        self._space = space
        self._known: OrderedDict[Hashable, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def choose(
        self,
        state: State,
        condition: ColumnElement[bool] | None,
        key: Hashable,
        estimable: bool,
        top_k: int,
        timeout: float | None = None,
    ) -> Choice:
        """The plan for `top_k` hits among the chunks that meet the condition; `key` is what it is remembered by.

        `timeout` seconds may be taken to find out how many match.
        """
        if condition is None:
            return self._unfiltered(state, top_k)
        even = self._even(state, wider(top_k))
        known = self._recall(key) or self._find_out(state, condition, key, estimable, even, timeout)
        exact = self._exact_cost(state, known)
        all_of_them = nearest.FEW if known.matches <= nearest.MOST_FEW else nearest.EXACT
        if state.index is None:
            return Choice(all_of_them, "there is no ANN index", known.matches, known.counted, exact, None)
        visited = self._visited(state, known.matches, wider(top_k))
        ann = state.calibration.ann_start + visited * state.calibration.ann_node
        if known.short:
            why = "the index came back short for this filter: its matches lie far from what is asked"
            return Choice(all_of_them, why, known.matches, known.counted, exact, ann)
        if exact <= IN_FAVOUR * ann:
            why = "so few chunks match that to compare them all is cheaper"
            return Choice(all_of_them, why, known.matches, known.counted, exact, ann)
        scan = walk(self._space, state, top_k, self._budget(visited))
        return Choice(scan, "to walk the index is cheaper", known.matches, known.counted, exact, ann)

    def share(
        self,
        state: State,
        condition: ColumnElement[bool] | None,
        key: Hashable,
        estimable: bool,
        timeout: float | None = None,
    ) -> float:
        """About how much of the collection meets the condition, from 0 to 1."""
        if condition is None or not state.rows:
            return 1.0
        known = self._recall(key) or self._find_out(
            state, condition, key, estimable, self._even(state, wider(10)), timeout
        )
        return state.share * min(1.0, known.matches / state.rows)

    def walked(self, key: Hashable, *, short: bool) -> None:
        """The index was walked, and found enough or not: after some walks that did not, all matches are compared."""
        with self._lock:
            if known := self._known.get(key):
                known.walks += 1
                known.shorts += short

    def forced(self, state: State, plan: str, filtered: bool, top_k: int) -> Choice:
        """The plan that was asked for. Raises InvalidInput for `ann` without an index."""
        if plan == "ann" and state.index is None:
            raise InvalidInput(f"collection {self._space.name!r} has no ANN index to walk: leave plan out.")
        budget = USUAL_BUDGET if filtered else None
        scan = walk(self._space, state, top_k, budget) if plan == "ann" else nearest.EXACT
        return Choice(scan, "it was asked for", None, False, None, None)

    def fallen_back(self, choice: Choice) -> Choice:
        """All matches were compared after the index had come back short."""
        return replace(choice, scan=nearest.EXACT, reason="the index came back short, so all that match were compared")

    def forget(self) -> None:
        """Find out anew: the index or the fields have changed."""
        with self._lock:
            self._known.clear()

    def _unfiltered(self, state: State, top_k: int) -> Choice:
        exact = state.rows * state.calibration.exact_row
        if state.index is None:
            return Choice(nearest.EXACT, "there is no ANN index", state.rows or None, False, exact or None, None)
        visited = self._visited(state, state.rows, top_k)
        ann = state.calibration.ann_start + visited * state.calibration.ann_node
        return Choice(walk(self._space, state, top_k), "there is no filter", state.rows, False, exact, ann)

    def _find_out(
        self,
        state: State,
        condition: ColumnElement[bool],
        key: Hashable,
        estimable: bool,
        even: int,
        timeout: float | None,
    ) -> _Known:
        estimate = estimates.estimate(self._engine, self._space, condition, timeout)
        estimable = estimable and state.rows > 0  # else ANALYZE has not been there
        clear = estimate.rows * CLEAR < even or estimate.rows > even * CLEAR
        if estimable and clear:
            known = _Known(estimate.rows, False, estimate.scanned)
        else:
            limit = math.ceil(even * CLEAR)
            counted = estimates.count_up_to(self._engine, self._space, condition, limit, timeout)
            certain = counted < limit  # else there are more, perhaps as many as are estimated
            known = _Known(counted if certain else max(counted, estimate.rows), certain, estimate.scanned)
        if not key:  # not to come again
            return known
        with self._lock:
            self._known[key] = known
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return known

    def _recall(self, key: Hashable) -> _Known | None:
        with self._lock:
            known = self._known.get(key)
            if known is None or time.monotonic() - known.since > AGE:
                return None
            self._known.move_to_end(key)
            return known

    def _even(self, state: State, top_k: int) -> int:
        """So many matches cost the same either way."""
        ratio = state.calibration.ann_node / state.calibration.exact_row
        return max(1, math.ceil(math.sqrt(ratio * top_k * max(state.rows, 1))))

    def _exact_cost(self, state: State, known: _Known) -> float:
        scan = state.rows * SCANNED_ROW if known.scanned else 0.0
        return scan + known.matches * state.calibration.exact_row

    def _budget(self, visited: float) -> int:
        return round(min(max(PATIENCE * visited, LEAST_BUDGET), MOST_BUDGET))

    def _visited(self, state: State, matches: int, top_k: int) -> float:
        return max(asked(state, top_k), top_k * state.rows / max(matches, 1))


def asked(state: State, top_k: int) -> int:
    """Candidates that the index is asked for in its first batch."""
    enough = state.calibration.ef_search or max(EF_SEARCH, nearest.ef_search(state.rows))
    return min(nearest.MOST_CANDIDATES, max(2 * top_k, enough))


def wider(top_k: int) -> int:
    """Matches that a walk is to find for so many hits."""
    return min(WIDER * top_k, max(nearest.MOST_CANDIDATES, 2 * top_k))


def walk(space: Space, state: State, top_k: int, budget: int | None = None) -> Scan:
    """A walk of the index for so many hits; of a filter, one that ends after about `budget` nodes."""
    assert state.index is not None
    candidates = 0 if budget is None else wider(top_k)
    if not nearest.is_direct(space, state.index):
        candidates = max(candidates, math.ceil(state.calibration.oversampling * top_k), top_k + 20)
    if state.index.kind == "ivfflat":
        settings = nearest.ivfflat_settings(state.calibration.probes or max(1, math.isqrt(max(1, state.rows // 1000))))
    else:
        first = max(asked(state, top_k) * (1 if budget is None else FILTERED), candidates)
        settings = nearest.hnsw_settings(first, budget)
    return Scan("ann", state.index, candidates, settings)
