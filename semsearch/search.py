"""The way out: a query becomes an embedding, a filter, a plan, one SQL statement, and hits.

    query -> embedding -> condition -> pool of the best (exact, ann, words, or meaning and words)
          -> rerank -> boosts -> diversity -> documents -> threshold -> page -> highlights, neighbours

Answers are complete: as many hits as `top_k`, or all that match. Where something behind the pool leaves too few (hits
of one document, pages further on), a larger pool is fetched.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Unpack

from sqlalchemy import ColumnElement, Engine, and_, not_

from semsearch import explanation, filters, pages, refining
from semsearch.embedders import Embedder
from semsearch.errors import InvalidInput
from semsearch.planner import Planner, State
from semsearch.questions import Questions
from semsearch.ranking import boost_syntax
from semsearch.ranking.boosts import DecayBoost
from semsearch.records import Hits
from semsearch.refining import Refiner
from semsearch.request import Options, Request, Target
from semsearch.rerankers import Reranker
from semsearch.retrieval import Asked, Known, Pool, Retrieval, Where
from semsearch.store import calibration, indexes, query_cache, samples, spaces, tenants
from semsearch.store.deadlines import Deadline, kept, limited
from semsearch.store.documents import any_of
from semsearch.store.fusion import Within
from semsearch.store.indexes import Index
from semsearch.store.session import transaction
from semsearch.store.spaces import Space
from semsearch.store.transactions import again_when_lost

STATE_AGE = 10.0  # seconds for which what we know of the index is believed
MET = 256  # conditions that are kept
DEEPER = 4  # times as large is the next pool, where one left too few


@dataclass
class Searcher:
    """Answers queries on one collection. `embedder` and `reranker` load a model when they are first called."""

    engine: Engine
    space: Space
    embedder: Callable[[], Embedder]
    reranker: Callable[[str], Reranker]
    limits: query_cache.Limits = field(default_factory=query_cache.Limits)
    _state: State | None = None
    _looked: float = 0.0
    _own: Mapping[str, Index] = field(default_factory=dict)  # of tenants, by name
    _met: dict[str, Where] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.planner = Planner(self.engine, self.space)
        self.questions = Questions(self.engine, self.space, self.embedder, self.limits)
        self.refiner = Refiner(self.engine, self.space, self.embedder, self.reranker)
        self.known = Known(self.space)
        self.sampler = samples.Sampler(self.engine, self.space)

    def search(self, target: Target, *, sampled: bool = True, **options: Unpack[Options]) -> Hits:
        """The best chunks for a target: `top_k` of them, or all that match; `sampled` when a user asks."""
        request = Request.of(options)
        deadline = Deadline(request.deadline)
        self._check(target, request)
        where = self._where(request, self.questions.excluded(target))

        def answer() -> Hits:
            with kept(deadline):
                embedding = (
                    None if request.mode == "text" else self.questions.embedding(target, request.tenant, deadline)
                )
                hits = self._answer(Asked(target.query, embedding, where), request, deadline)
            if sampled and target.document_id is None and self.space.tenant is None:
                self.sampler.take(embedding, request.filter, request.top_k)
            return hits

        return again_when_lost(self.engine, answer)

    def condition(
        self, filter: Mapping[str, Any] | None, tenant: str | None = None, excluded: Sequence[str] = ()
    ) -> ColumnElement[bool] | None:
        """What hits must meet: the filter, the tenant, and not to be what was asked with. Raises FilterError."""
        columns = spaces.filter_columns(self.space)
        conditions = tenants.condition(self.space, tenant)
        if filter is not None:
            conditions.append(filters.compile(filters.parse(filter), columns))
        if excluded:
            conditions.append(not_(spaces.queried(self.space).c.document_id == any_of(excluded)))
        return and_(*conditions) if conditions else None

    def _check(self, target: Target, request: Request) -> None:
        """What can be seen to be wrong before a model is called."""
        self.questions.check(target.query)
        boost_syntax.parse(request.boosts, self.space.field_types)
        if request.after is not None and self._moves(request):
            raise InvalidInput("after and a decay from now do not go together: every hit moves. Name an origin.")
        if target.query is None and (request.mode != "vector" or request.rerank is not None):
            what = f"mode {request.mode!r}" if request.mode != "vector" else "rerank"
            raise InvalidInput(f"{what} reads the query: it takes one in words.")
        if request.mode != "vector" and self.space.language is None:
            raise InvalidInput(f"collection {self.space.name!r} has no full text: it was made without a language.")

    def _moves(self, request: Request) -> bool:
        """Whether the order changes while time goes by."""
        parsed = boost_syntax.parse(request.boosts, self.space.field_types)
        return any(isinstance(boost, DecayBoost) and boost.is_moment and boost.origin is None for boost in parsed)

    def _where(self, request: Request, excluded: Sequence[str]) -> Where:
        """The condition, from those that were met before if it is one of them."""
        # Read first: as JSON, a key that is no text becomes one.
        parsed = None if request.filter is None else filters.parse(request.filter)
        try:
            name = json.dumps([request.filter, request.tenant, excluded], default=samples.plain)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInput(f"the filter is no JSON: {error}") from error
        found = self._met.get(name)
        if found is None:
            columns = spaces.filter_columns(self.space)
            estimable = parsed is None or filters.estimable(parsed, columns)
            condition = self.condition(request.filter, request.tenant, excluded)
            found = Where(condition, name, estimable, request.filter is not None or bool(excluded))
            with self._lock:
                if len(self._met) >= MET:
                    self._met.pop(next(iter(self._met)))
                self._met[name] = found
        return found

    def _answer(self, asked: Asked, request: Request, deadline: Deadline) -> Hits:
        state = self.state(request.tenant, deadline.remaining())
        retrieval = Retrieval(self.engine, self.space, self.planner, state, self.known, request, deadline)
        if request.is_plain:
            pool = retrieval.fetch(asked, request.top_k + 1, request.page)
            groups = refining.groups(pool.hits, request)
        elif request.is_ranked_again:
            candidates = self._candidates(asked, request, retrieval)
            pool = self.refiner.ranked(asked, candidates, request, deadline)
            groups = refining.groups(pool.hits, request)
            # The last page says it too: others that match were no candidates.
            is_short = len(groups) < request.top_k + (request.page is not None)
            if is_short and not (pool.exhausted or refining.ends(candidates.hits, request)):
                pool = replace(pool, complete=False)
        else:
            pool, groups = self._deep_enough(asked, request, retrieval)
        hits = self._page(groups, asked, pool, request, deadline)
        if not request.partial:
            deadline.remaining()
        return hits

    def _candidates(self, asked: Asked, request: Request, retrieval: Retrieval) -> Pool:
        """The best, to be ranked again: the same for every page, and of as many documents as there have to be."""
        limit, most = request.pool, request.most_candidates
        while True:
            pool = retrieval.fetch(asked, limit)
            documents = len({hit.document_id for hit in pool.hits})
            enough = not request.per_document or documents > request.top_k
            if enough or pool.exhausted or pool.cut_off or limit == most:
                return pool
            limit = min(DEEPER * limit, most)

    def _deep_enough(self, asked: Asked, request: Request, retrieval: Retrieval) -> tuple[Pool, list[refining.Group]]:
        """The best, so many that enough is left of them for the page, or all."""
        limit = request.top_k + (request.page.seen if request.page else 0) + 1
        pool = Pool([], "exact", "", 0, False)
        while True:
            before, pool = pool, retrieval.fetch(asked, limit)
            if pool.cut_off and not pool.hits:
                pool = replace(before, complete=False, cut_off=True)
            groups = refining.groups(pool.hits, request)
            enough = len(groups) > request.top_k or refining.ends(pool.hits, request)
            if enough or pool.exhausted or pool.cut_off:
                break
            limit *= DEEPER
        if (request.per_document or 1) == 1 or pool.exhausted or pool.cut_off:
            return pool, groups
        groups, is_whole = self._filled_up(groups[: request.top_k + 1], asked, request, retrieval, limit)
        return replace(pool, complete=pool.complete and is_whole), groups

    def _filled_up(
        self, groups: list[refining.Group], asked: Asked, request: Request, retrieval: Retrieval, limit: int
    ) -> tuple[list[refining.Group], bool]:
        """The documents with all the hits that each may show: some of them lie deeper than the pool of `limit`. And
        whether there was time for it.
        """
        assert request.per_document is not None
        ids = [group[0].document_id for group in groups]
        if request.mode == "hybrid":  # whose scores are those of this pool
            pool = retrieval.fetch(asked, limit, within=Within(tuple(ids), request.per_document))
            found = {group[0].document_id: group for group in refining.groups(pool.hits, replace(request, after=None))}
            return [found.get(id, group) for id, group in zip(ids, groups, strict=True)], not pool.cut_off
        limit = DEEPER * len(ids) * request.per_document
        while True:
            pool = retrieval.fetch(asked.within(spaces.queried(self.space).c.document_id == any_of(ids)), limit)
            found = {group[0].document_id: group for group in refining.groups(pool.hits, replace(request, after=None))}
            if pool.exhausted or pool.cut_off or all(len(found.get(id, ())) == request.per_document for id in ids):
                return [found.get(id, group) for id, group in zip(ids, groups, strict=True)], not pool.cut_off
            limit *= DEEPER

    def _page(
        self, groups: Sequence[refining.Group], asked: Asked, pool: Pool, request: Request, deadline: Deadline
    ) -> Hits:
        shown = groups[: request.top_k]
        further = None
        if len(groups) > len(shown) and not (request.diversity is not None or pool.cut_off or self._moves(request)):
            further = str(pages.end([group[0] for group in shown], request.page))
        hits, told = self.refiner.told(asked, [hit for group in shown for hit in group], request, deadline)
        explained = explanation.of(pool) if request.explain else None
        return Hits(tuple(hits), pool.plan, pool.sql, pool.seen, pool.complete and told, further, explained)

    def state(self, tenant: str | None = None, timeout: float | None = None) -> State:
        """The index and what was measured of it, at most ten seconds ago; a tenant's own index where it has one.

        No statement takes longer than `timeout` seconds.
        """
        state = self._state
        if state is None or time.monotonic() - self._looked > STATE_AGE:
            with self.engine.connect() as connection, transaction(connection, limited(timeout)):
                there = indexes.every(connection, self.space)
                index = indexes.main(there)
                rows = indexes.rows(connection, self.space)
                measured = calibration.read(connection, self.space) or calibration.presumed(self.space, rows, index)
                state = self._state = State(rows, index, measured)
                self._own = {one.name: one for one in there if one.serves and one.predicate is not None}
            self._looked = time.monotonic()
        own = None if tenant is None else self._own.get(indexes.name(self.space, tenant))
        return state if own is None else state.within(own)

    def forget(self) -> None:
        """Look at the index anew: it was built, measured or dropped."""
        self._state = None
        self.planner.forget()
