"""Fetches the best chunks for a query, as many as are wanted or all that match: one statement, another if that came
short.

A pool is what was fetched, best first; `exhausted` says that nothing else matches.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_

from semsearch.pages import Page
from semsearch.planner import Choice, Planner, State
from semsearch.records import Embedding, Hit
from semsearch.request import Request
from semsearch.store import fusion as fused
from semsearch.store import lexical, nearest, portions
from semsearch.store.deadlines import Deadline, given_up, limited
from semsearch.store.explaining import explain
from semsearch.store.fusion import DEPTH, WEIGHTS, Fusion, Within, depth
from semsearch.store.lexical import Lexemes
from semsearch.store.nearest import Found, Prepared, Scan
from semsearch.store.session import transaction
from semsearch.store.spaces import Space

PARTIAL_SHARE = 0.5  # of the time that is left, for the plan that was chosen; the rest is for the best so far
REMEMBERED = 256  # compiled statements
WORDS_AGE = 60.0  # seconds for which the frequencies of words are believed

Condition = ColumnElement[bool] | None


@dataclass(frozen=True)
class Where:
    """What chunks must meet; `name` is what it is remembered by.

    `estimable` says whether PostgreSQL has statistics for all of it, `filtered` whether it is more than the tenant.
    """

    condition: Condition
    name: str
    estimable: bool
    filtered: bool


@dataclass(frozen=True)
class Asked:
    """What the chunks are compared with, and what they must meet."""

    query: str | None
    embedding: Embedding | None
    where: Where

    @property
    def condition(self) -> Condition:
        return self.where.condition

    def within(self, further: ColumnElement[bool]) -> Asked:
        """With a further condition, which is not remembered."""
        condition = further if self.condition is None else and_(self.condition, further)
        return replace(self, where=Where(condition, "", False, True))


@dataclass(frozen=True)
class Pool:
    """The best that were fetched, and how; `cut_off` when the deadline came before all of them were."""

    hits: list[Hit]
    plan: Literal["exact", "ann", "text"]
    sql: str
    seen: int
    exhausted: bool
    complete: bool = True
    cut_off: bool = False
    choice: Choice | None = None
    explain: Callable[[], list[str]] = list


@dataclass
class Known:
    """What searches of a collection keep for the next one. Safe to use from several threads."""

    space: Space
    _words: lexical.Statistics | None = None
    _read: float = 0.0
    _statements: OrderedDict[Hashable, Prepared] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def words(self, connection: Connection) -> lexical.Statistics:
        """What BM25 knows of the collection, read anew every minute."""
        words = self._words
        if words is None or time.monotonic() - self._read > WORDS_AGE:
            words = self._words = lexical.statistics(connection, self.space)
            self._read = time.monotonic()
        return words

    def statement(self, asked: Asked, scan: Scan) -> Prepared:
        """To compile one takes 2 ms; filters come again."""
        key = (asked.where.name, scan.plan, scan.index, scan.few)
        with self._lock:
            found = self._statements.get(key)
            if found is None:
                found = self._statements[key] = nearest.prepared(self.space, scan, asked.condition)
            self._statements.move_to_end(key)
            if len(self._statements) > REMEMBERED:
                self._statements.popitem(last=False)
            return found


@dataclass
class Retrieval:
    """Fetches for one search."""

    engine: Engine
    space: Space
    planner: Planner
    state: State
    known: Known
    request: Request
    deadline: Deadline

    def fetch(self, asked: Asked, limit: int, page: Page | None = None, within: Within | None = None) -> Pool:
        """The best `limit`; behind the page, if one is given, which only mode vector can.

        With more hits of the documents `within`, which only mode hybrid can.
        """
        if self.request.mode == "text":
            return self._worded(asked, limit)
        if self.request.mode == "hybrid":
            return self._fused(asked, limit, within)
        return self._nearest(asked, limit, page)

    def _worded(self, asked: Asked, limit: int) -> Pool:
        with self._cut_off():
            lexemes = self._lexemes(asked)
            found = lexical.run(self.engine, self.space, lexemes, asked.condition, limit, self.deadline.remaining())
            seen = found.seen or 0
            complete = lexemes.complete and seen < lexical.CANDIDATES
            pool = Pool(found.hits, "text", found.sql, seen, len(found.hits) < limit, complete)
            return replace(pool, explain=lambda: self._explained_words(asked, lexemes, limit))
        return Pool([], "text", "", 0, False, False, True)

    def _fused(self, asked: Asked, limit: int, within: Within | None) -> Pool:
        """Meaning and words in one statement. Its nearest leg is planned as if it were asked alone."""
        fusion = self._fusion()
        with self._cut_off():
            lexemes = self._lexemes(asked)
            choice = self.choose(asked, depth(fusion, limit))
            run = partial(self._run_fused, asked, lexemes, fusion, limit, within)
            if within is None:
                found, choice = self._all_there_are(asked, choice, limit, run)
            else:  # to find fewer than the limit says nothing of the index
                found = run(choice.scan)
            pool = self._pool(found, choice, limit)
            pool = replace(pool, complete=pool.complete and lexemes.complete and found.is_whole)
            return replace(pool, explain=lambda: self._explained_fused(asked, choice.scan, lexemes, fusion, limit))
        if self.request.page is not None or within is not None:  # distances cannot be put behind a page of scores
            return Pool([], "exact", "", 0, False, False, True)
        return replace(self._best_so_far(asked, asked.condition, limit), complete=False, cut_off=True)

    def _run_fused(
        self, asked: Asked, lexemes: Lexemes, fusion: Fusion, limit: int, within: Within | None, scan: Scan
    ) -> Found:
        assert asked.embedding is not None
        timeout = self.deadline.remaining()
        if self.request.partial and timeout is not None:
            timeout *= PARTIAL_SHARE
        condition = asked.condition
        return fused.run(
            self.engine, self.space, scan, asked.embedding, lexemes, condition, fusion, limit, timeout, within
        )

    def _fusion(self) -> Fusion:
        kind = self.request.fusion or "scores"
        meaning, words = self.request.weights or WEIGHTS[kind]
        each = self.request.depth or DEPTH
        return Fusion(kind, (meaning, words), (each, each))

    def _lexemes(self, asked: Asked) -> Lexemes:
        assert asked.query is not None
        where, left = asked.where, self.deadline.remaining()
        share = self.planner.share(self.state, where.condition, where.name, where.estimable, left)
        with self.engine.connect() as connection, transaction(connection, limited(left)):
            return lexical.parse(connection, self.space, asked.query, self.known.words(connection), share)

    def _cut_off(self) -> AbstractContextManager[None]:
        """Go on after the block when the time is over, if the best so far was asked for."""
        return given_up() if self.request.partial else nullcontext()

    def _nearest(self, asked: Asked, limit: int, page: Page | None) -> Pool:
        condition = asked.condition
        if page is not None:
            further = nearest.beyond(self.space, page.key, page.shown)
            condition = further if condition is None else and_(condition, further)
        wanted = limit + (page.seen if page else 0)
        if self.request.partial:
            return self._best_so_far(asked, condition, limit, wanted)
        choice = self.choose(asked, wanted)
        found, choice = self._all_there_are(
            asked,
            choice,
            limit,
            lambda scan: self._run(asked, condition, scan, limit, self.deadline.remaining()),
            remember=page is None,
        )
        pool = self._pool(found, choice, limit)
        return replace(pool, explain=lambda: self._explained_nearest(asked, condition, choice.scan, limit))

    def _all_there_are(
        self, asked: Asked, choice: Choice, limit: int, run: Callable[[Scan], Found], *, remember: bool = True
    ) -> tuple[Found, Choice]:
        """What the plan finds; when the index comes back short, what there is among all that match."""
        found = run(choice.scan)
        if choice.plan == "exact" or self.request.plan != "auto":
            return found, choice
        short = len(found.hits) < limit or (found.seen is not None and found.seen < choice.scan.candidates)
        if remember:
            self.planner.walked(asked.where.name, short=short)
        if short:
            choice = self.planner.fallen_back(choice)
            found = run(choice.scan)
        return found, choice

    def _explained_nearest(self, asked: Asked, condition: Condition, scan: Scan, limit: int) -> list[str]:
        return self._explained(asked, nearest.statement(self.space, scan, condition), scan, limit)

    def _explained_fused(self, asked: Asked, scan: Scan, lexemes: Lexemes, fusion: Fusion, limit: int) -> list[str]:
        leg = fused.vector_leg(self.space, scan, asked.condition)
        statement = fused.statement(self.space, leg, lexemes, asked.condition, fusion, limit)
        return self._explained(asked, statement, scan, depth(fusion, limit))

    def _explained_words(self, asked: Asked, lexemes: Lexemes, limit: int) -> list[str]:
        return explain(self.engine, lexical.statement(self.space, lexemes, asked.condition, limit), {})

    def _explained(self, asked: Asked, statement: Select[Any], scan: Scan, limit: int) -> list[str]:
        assert asked.embedding is not None
        values = nearest.parameters(self.space, scan, asked.embedding, limit)
        return explain(self.engine, statement, values, scan.settings)

    def choose(self, asked: Asked, limit: int) -> Choice:
        """The plan for so many hits."""
        if self.request.plan != "auto":
            return self.planner.forced(self.state, self.request.plan, asked.where.filtered, limit)
        # A tenant's own index holds nothing else: there the tenant alone is no filter.
        own = self.state.index is not None and self.state.index.predicate is not None
        condition = asked.condition if asked.where.filtered or not own else None
        where, left = asked.where, self.deadline.remaining()
        return self.planner.choose(self.state, condition, where.name, where.estimable, limit, left)

    def _run(self, asked: Asked, condition: Condition, scan: Scan, limit: int, timeout: float | None) -> Found:
        assert asked.embedding is not None
        known = self.known.statement(asked, scan) if condition is asked.condition and asked.where.name else None
        return nearest.run(self.engine, self.space, scan, asked.embedding, condition, limit, timeout, known)

    def _pool(self, found: Found, choice: Choice, limit: int) -> Pool:
        seen = max(found.seen or 0, self._presumed(choice, len(found.hits) < limit), len(found.hits))
        exhausted = len(found.hits) < limit and (choice.plan == "exact" or self.request.plan == "ann")
        complete = choice.plan == "exact" or len(found.hits) == limit
        return Pool(found.hits, choice.plan, found.sql, seen, exhausted, complete, choice=choice)

    def _presumed(self, choice: Choice, is_short: bool) -> int:
        """How many chunks a plan looks at, where it does not count them."""
        if choice.plan == "exact":
            return 0 if is_short else choice.matches or 0
        return min(choice.scan.candidates, self.state.rows)

    def _best_so_far(self, asked: Asked, condition: Condition, limit: int, wanted: int | None = None) -> Pool:
        """The plan, if it ends in its share of the time; else portion after portion until the deadline."""
        assert asked.embedding is not None
        with given_up():
            share = (self.deadline.remaining() or 0) * PARTIAL_SHARE
            choice = self.choose(asked, wanted or limit)
            found = self._run(asked, condition, choice.scan, limit, share)
            enough = found.seen is None or found.seen >= choice.scan.candidates
            if choice.plan == "exact" or (len(found.hits) == limit and enough):
                return self._pool(found, choice, limit)
        found, done = portions.run(self.engine, self.space, asked.embedding, condition, limit, self.deadline)
        return Pool(found.hits, "exact", found.sql, found.seen or 0, done and len(found.hits) < limit, done, not done)
