"""What is asked, as an embedding: of a text, given, of a document, or of examples."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Engine

from semsearch import batching, cleaning
from semsearch.embedders import Embedder, checks
from semsearch.embedding import check_fits
from semsearch.errors import InvalidInput, NotFound, UnusableEmbedding
from semsearch.ranking import recommend
from semsearch.records import Embedding
from semsearch.request import MAX_EXAMPLES, Target
from semsearch.store import nearest, query_cache, tenants
from semsearch.store.deadlines import Deadline
from semsearch.store.spaces import Space

MAX_QUERY_BYTES = 32 * 2**10
REMEMBERED = 256  # queries whose embeddings are kept here


@dataclass
class Questions:
    """Embeds what one collection is asked. `embedder` loads the model when it is first called."""

    engine: Engine
    space: Space
    embedder: Callable[[], Embedder]
    limits: query_cache.Limits = field(default_factory=query_cache.Limits)
    _asked: dict[str, Embedding] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def excluded(self, target: Target) -> list[str]:
        """The documents that are asked with: they are no answers."""
        ids = [*target.positive, *target.negative] if target.document_id is None else [target.document_id]
        return [id for id in ids if cleaning.is_id(id)]

    def embedding(self, target: Target, tenant: str | None, deadline: Deadline) -> Embedding:
        """The embedding of shape (dimensions,). Raises InvalidInput, NotFound, ModelUnavailable."""
        if target.query is not None:
            return self.embed(target.query, deadline)
        if target.document_id is not None:
            return self._of_document(target.document_id, tenant, deadline)
        if target.embedding is not None:
            return self._checked(target.embedding)
        return self._of_examples(target, tenant, deadline)

    def _of_examples(self, target: Target, tenant: str | None, deadline: Deadline) -> Embedding:
        stored = functools.partial(self._of_document, tenant=tenant, deadline=deadline)
        given = (target.positive, target.negative, target.positive_texts, target.negative_texts)
        if sum(map(len, given)) > MAX_EXAMPLES:
            raise InvalidInput(f"at most {MAX_EXAMPLES} examples can be given; got {sum(map(len, given))}.")
        texts = (target.positive_texts, target.negative_texts)
        asked = self.embed_all([*texts[0], *texts[1]], deadline) if any(texts) else np.empty((0, self.space.dimensions))
        liked = [*map(stored, target.positive), *asked[: len(texts[0])]]
        disliked = [*map(stored, target.negative), *asked[len(texts[0]) :]]
        shape = (-1, self.space.dimensions)
        positive, negative = (np.array(some, np.float32).reshape(shape) for some in (liked, disliked))
        return self._checked(recommend.combine(positive, negative, self.space.distance))

    def check(self, query: str | None, *, needed: bool = False) -> None:
        """Raise InvalidInput for a text that cannot be asked."""
        if query is None and not needed:
            return
        if not isinstance(query, str):
            raise InvalidInput(f"the query is no text: {query!r:.80}.")
        if not query.strip():
            raise InvalidInput("the query is empty.")
        if any("\ud800" <= character <= "\udfff" for character in query):
            raise InvalidInput("the query is not valid Unicode: it holds half of a surrogate pair.")
        if len(query.encode()) > MAX_QUERY_BYTES:
            raise InvalidInput(f"the query is longer than {MAX_QUERY_BYTES // 2**10} kB.")

    def embed(self, query: str, deadline: Deadline | None = None) -> Embedding:
        """The query's embedding. Raises as `embed_all`."""
        embedding: Embedding = self.embed_all([query], deadline)[0]
        return embedding

    def embed_all(self, queries: Sequence[str], deadline: Deadline | None = None) -> Embedding:
        """Their embeddings, shape (n, dimensions): remembered here, else cached in the database, else the model's.

        The cache is read in one statement, the model asked together with others (`batching`). Raises InvalidInput,
        ModelUnavailable, Overloaded, DeadlineExceeded.
        """
        for query in queries:
            self.check(query, needed=True)
        if self.space.model is None or self.space.fingerprint is None:
            raise InvalidInput(
                f"collection {self.space.name!r} has no model: search it by embedding, by document_id, or "
                "for words alone (mode 'text')."
            )
        known = {query: embedding for query in queries if (embedding := self._asked.get(query)) is not None}
        fresh = [query for query in dict.fromkeys(queries) if query not in known]
        if fresh:
            known |= self._embedded(self.space.fingerprint, fresh, deadline)
            self._remember({query: known[query] for query in fresh})
        return np.array([known[query] for query in queries], np.float32).reshape(-1, self.space.dimensions)

    def prepare(self, queries: Sequence[str], deadline: Deadline) -> None:
        """Embed those that are not known yet, REMEMBERED at most, together, so that each is found remembered."""
        if self.space.model is not None:
            self.embed_all(queries, deadline)

    def _remember(self, embeddings: Mapping[str, Embedding]) -> None:
        with self._lock:
            self._asked |= embeddings
            for query in [*self._asked][: max(0, len(self._asked) - REMEMBERED)]:
                del self._asked[query]

    def _embedded(self, fingerprint: str, queries: Sequence[str], deadline: Deadline | None) -> dict[str, Embedding]:
        found = query_cache.several(self.engine, fingerprint, queries)
        unknown = [query for query in queries if query not in found]
        if unknown:
            made = batching.of(self.embedder()).embed(unknown, deadline)
            fresh = dict(zip(unknown, made, strict=True))
            query_cache.put_several(self.engine, fingerprint, fresh, self.limits)
            found |= fresh
        return found

    def _of_document(self, document_id: str, tenant: str | None, deadline: Deadline) -> Embedding:
        found = None
        if cleaning.is_id(document_id):
            owned = tenants.condition(self.space, tenant)
            found = nearest.mean_embedding(self.engine, self.space, document_id, owned, deadline.remaining())
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
