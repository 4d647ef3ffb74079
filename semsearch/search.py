"""The way out: a query becomes an embedding, a filter, a plan (exact or ann), one SQL statement, and hits.

Answers are complete: as many hits as `top_k`, or all that match. The index is asked with an iterative scan; when the
filter leaves so few chunks that comparing them all is cheaper, or the index comes back short, all are compared.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Engine, and_

from semsearch import cleaning, filters
from semsearch.embedders import Embedder, checks
from semsearch.embedding import check_fits
from semsearch.errors import InvalidInput, NotFound, UnusableEmbedding
from semsearch.records import Embedding, Hits
from semsearch.store import indexes, queries, query_cache, spaces
from semsearch.store.spaces import Space
from semsearch.store.transactions import again_when_lost

MAX_TOP_K = 1000  # hnsw.ef_search goes no further (pgvector README, "Query Options")
MAX_QUERY_BYTES = 32 * 2**10
REMEMBERED = 256  # queries whose embeddings a searcher keeps
STATE_AGE = 10.0  # seconds for which what we know of the index is believed


@dataclass(frozen=True)
class State:
    """The valid ANN index, if any, and about how many chunks there are."""

    kind: str | None
    rows: int


@dataclass
class Searcher:
    """Answers queries on one collection. `embedder` loads the model when it is first called."""

    engine: Engine
    space: Space
    embedder: Callable[[], Embedder]
    _state: State | None = None
    _looked: float = 0.0
    _asked: dict[str, Embedding] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def search(
        self,
        query: str | None = None,
        *,
        embedding: Sequence[float] | Embedding | None = None,
        document_id: str | None = None,
        top_k: int = 10,
        filter: Mapping[str, Any] | None = None,
    ) -> Hits:
        """The nearest chunks to a text, an embedding, or a document (which is itself left out of the hits)."""
        if sum(given is not None for given in (query, embedding, document_id)) != 1:
            raise InvalidInput("a search takes one of query, embedding and document_id.")
        if not isinstance(top_k, int) or isinstance(top_k, bool) or not 1 <= top_k <= MAX_TOP_K:
            raise InvalidInput(f"top_k is a whole number from 1 to {MAX_TOP_K}; got {top_k!r}.")
        condition = self._condition(filter, document_id)

        def answer() -> Hits:
            if query is not None:
                asked = self.embed(query)
            elif document_id is not None:
                asked = self._of_document(document_id)
            else:
                asked = self._checked(embedding)
            return self._answer(asked, condition, top_k)

        return again_when_lost(self.engine, answer)

    def _condition(self, filter: Mapping[str, Any] | None, excluded: str | None) -> ColumnElement[bool] | None:
        chunks = spaces.queried(self.space)
        conditions = []
        if filter is not None:
            columns = spaces.field_columns(chunks, self.space)
            conditions.append(filters.compile(filters.parse(filter), chunks.c.metadata, columns))
        if excluded is not None:
            conditions.append(chunks.c.document_id != excluded)
        return and_(*conditions) if conditions else None

    def _answer(self, asked: Embedding, condition: ColumnElement[bool] | None, top_k: int) -> Hits:
        state = self.state()
        if state.kind is None or (condition is not None and self._few(condition, top_k, state)):
            return queries.run(self.engine, self.space, "exact", asked, condition, top_k, state.kind, state.rows)
        hits = queries.run(self.engine, self.space, "ann", asked, condition, top_k, state.kind, state.rows)
        if len(hits) < top_k:
            return queries.run(self.engine, self.space, "exact", asked, condition, top_k, state.kind, state.rows)
        return hits

    def _few(self, condition: ColumnElement[bool], top_k: int, state: State) -> bool:
        """Whether so few chunks match that comparing them all costs less than walking the index.

        A walked node costs 12 times an exactly compared row, and about top_k / selectivity nodes are walked; equal
        at sqrt(12 top_k rows) matches (measured at 40,000 x 384). Exact is also always right, hence the 1.5.
        """
        bound = math.ceil(1.5 * math.sqrt(12 * top_k * max(state.rows, 1)))
        return queries.count_up_to(self.engine, self.space, condition, bound + 1) <= bound

    def state(self) -> State:
        if self._state is None or time.monotonic() - self._looked > STATE_AGE:
            with self.engine.connect() as connection:
                valid = [index.kind for index in indexes.every(connection, self.space) if index.valid]
                self._state = State(valid[0] if valid else None, indexes.rows(connection, self.space))
            self._looked = time.monotonic()
        return self._state

    def forget(self) -> None:
        """Look at the index anew: it was built or dropped."""
        self._state = None

    def embed(self, query: str) -> Embedding:
        """The query's embedding: remembered here, else cached in the database, else made by the model."""
        if not isinstance(query, str) or not query.strip():
            raise InvalidInput("the query is empty.")
        if len(query.encode("utf-8", "replace")) > MAX_QUERY_BYTES:
            raise InvalidInput(f"the query is longer than {MAX_QUERY_BYTES // 2**10} kB.")
        if self.space.model is None or self.space.fingerprint is None:
            raise InvalidInput(
                f"collection {self.space.name!r} has no model: search it by embedding or by document_id."
            )
        found = self._asked.get(query)
        if found is None:
            found = self._embedded(self.space.fingerprint, query)
            with self._lock:
                if len(self._asked) >= REMEMBERED:
                    self._asked.pop(next(iter(self._asked)))
                self._asked[query] = found
        return found

    def _embedded(self, fingerprint: str, query: str) -> Embedding:
        found = query_cache.get(self.engine, fingerprint, query)
        if found is None:
            found = self.embedder().embed_query(query)
            query_cache.put(self.engine, fingerprint, query, found)
        return found

    def _of_document(self, document_id: str) -> Embedding:
        found = queries.mean_embedding(self.engine, self.space, document_id) if cleaning.is_id(document_id) else None
        if found is None:
            raise NotFound(f"document {document_id!r:.80} has no embedding in collection {self.space.name!r}.")
        return self._checked(found)

    def _checked(self, embedding: Any) -> Embedding:
        try:
            with np.errstate(over="ignore"):  # becomes infinite, which `check` refuses
                array = np.asarray(embedding, dtype=np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidInput(f"the embedding is not a sequence of numbers: {error}") from error
        if array.shape != (self.space.dimensions,):
            raise InvalidInput(
                f"the embedding has shape {array.shape}; collection {self.space.name!r} has "
                f"{self.space.dimensions} dimensions."
            )
        try:
            checks.check(array[np.newaxis], 1, self.space.dimensions)
            check_fits(self.space, array[np.newaxis])
        except UnusableEmbedding as error:
            raise InvalidInput(str(error)) from error
        return array
