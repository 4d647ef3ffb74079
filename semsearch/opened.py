"""A collection as it is opened: what it is, its connections, its models when they are first needed."""

from __future__ import annotations

import functools

from semsearch import embedders, rerankers
from semsearch import fields as declared_fields
from semsearch.config import Settings
from semsearch.embedders import Embedder, Tokenizer, checks
from semsearch.errors import Conflict, InvalidInput
from semsearch.estimate import Estimator
from semsearch.rerankers import Reranker
from semsearch.road import OnProgress, Progress, Road
from semsearch.search import Searcher
from semsearch.store import (
    index_build,
    query_cache,
    spaces,
)
from semsearch.store.connection import Pools
from semsearch.store.spaces import Space


class Opened:
    """What everything that can be done with a collection stands on."""

    def __init__(self, pools: Pools, settings: Settings, space: Space) -> None:
        self._pools = pools
        self._settings = settings
        self._space = space
        self._searcher = self._new_searcher()

    @property
    def space(self) -> Space:
        """What the store knows it by."""
        return self._space

    @property
    def name(self) -> str:
        return self._space.name

    @property
    def model(self) -> str | None:
        return self._space.model

    @property
    def dimensions(self) -> int:
        return self._space.dimensions

    @property
    def distance(self) -> str:
        return self._space.distance

    @property
    def vector_type(self) -> str:
        return self._space.vector_type

    @property
    def fields(self) -> dict[str, declared_fields.FieldType]:
        return self._space.field_types

    @property
    def chunk_size(self) -> int:
        return self._space.chunk_size

    @property
    def chunk_overlap(self) -> int:
        return self._space.chunk_overlap

    def estimator(self, on_progress: OnProgress | None) -> Estimator:
        """Tells what work on this collection would cost."""
        pools, tokenizer = self._pools, functools.cache(self._tokenizer)
        return Estimator(pools.writing, self._space, tokenizer, self._embedder, on_progress)

    def road(self, on_progress: OnProgress | None = None) -> Road:
        """A run on the way in."""
        pools = self._pools
        return Road(pools.address, pools.writing, self._space, self._embedder, on_progress)

    def _reopen(self, space: Space) -> None:
        """Go on with a collection that has changed."""
        self._space = space
        self._searcher = self._new_searcher()

    def _new_searcher(self) -> Searcher:
        limits = query_cache.Limits(self._settings.query_cache_size, self._settings.query_cache_days)
        return Searcher(self._pools.searching, self._space, self._embedder, self._reranker, limits)

    def _tell(self, on_progress: OnProgress | None, stage: str = "index") -> index_build.OnTuples | None:
        return (lambda done, total: on_progress(Progress(stage, done, total))) if on_progress else None

    def _tokenizer(self) -> Tokenizer:
        model = self._space.model or ""
        return self._embedder() if embedders.is_local(model) else embedders.tokenizer(model, self._settings)

    def _embedder(self) -> Embedder:
        space = self._space
        if space.model is None:
            raise InvalidInput(f"collection {space.name!r} has no model.")
        embedder = embedders.load(space.model, self._settings, dimensions=space.asked_dimensions)
        if embedder.fingerprint != space.fingerprint or not self._answers_as_before(embedder):
            raise Conflict(
                f"model {space.model!r} is not what it was when collection {space.name!r} was created: its weights or "
                "settings have changed, and new embeddings would not be comparable with the stored ones. Bring the "
                "old model back, or create a new collection."
            )
        return embedder

    def _answers_as_before(self, embedder: Embedder) -> bool:
        """Whether the known text still becomes what it was; a difference is believed only when asked anew."""
        probe = embedder.probe()
        if probe is None:
            return True
        with self._pools.writing.connect() as connection:
            stored = spaces.probe(connection, self._space)
        if stored is None or checks.same(probe, stored):
            return True
        again = embedder.probe(fresh=True)
        return again is not None and checks.same(again, stored)

    def _reranker(self, model: str) -> Reranker:
        return rerankers.load(model, self._settings)
