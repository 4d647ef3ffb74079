"""What is done with a pool of hits: ranked again, cut into a page, and told more of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import Engine

from semsearch import pages
from semsearch.embedders import Embedder
from semsearch.ranking import boost_syntax, boosts, diversity, highlights
from semsearch.records import Hit
from semsearch.request import Request
from semsearch.rerankers import Reranker
from semsearch.retrieval import Asked
from semsearch.store import boosting, nearest, neighbours
from semsearch.store.spaces import Space

Group = list[Hit]


@dataclass
class Refiner:
    """Works on the hits of one collection. `embedder` and `reranker` load a model when they are first called."""

    engine: Engine
    space: Space
    embedder: Callable[[], Embedder]
    reranker: Callable[[str], Reranker]

    def ranked(self, asked: Asked, hits: list[Hit], request: Request) -> list[Hit]:
        """The hits in the order that was asked for."""
        if not hits:
            return hits
        if request.rerank is not None:
            hits = self._reranked(request.rerank, asked, hits)
        if request.boosts:
            hits = self._boosted(request, hits)
        if request.diversity is not None:
            hits = self._diverse(request, hits)
        return hits

    def _reranked(self, model: str, asked: Asked, hits: list[Hit]) -> list[Hit]:
        assert asked.query is not None
        texts = [f"{hit.heading}\n{hit.text}".strip() for hit in hits]
        return _by_score(hits, self.reranker(model).scores(asked.query, texts).tolist())

    def _boosted(self, request: Request, hits: list[Hit]) -> list[Hit]:
        parsed = boost_syntax.parse(request.boosts, self.space.field_types)
        worth = boosting.values(self.engine, self.space, [key(hit) for hit in hits], parsed)
        return _by_score(hits, boosts.boosted(self._relevance(hits), worth, parsed).tolist())

    def _diverse(self, request: Request, hits: list[Hit]) -> list[Hit]:
        assert request.diversity is not None
        stored = nearest.embeddings(self.engine, self.space, hits)
        whole = request.per_document is not None or request.max_distance is not None or request.min_score is not None
        most = len(hits) if whole else min(request.top_k + 1, len(hits))
        chosen = diversity.select(self._relevance(hits), stored, most, request.diversity)
        return [hits[at] for at in chosen]

    def _relevance(self, hits: Sequence[Hit]) -> np.ndarray:
        """Larger is better: the score, else the similarity that the distance means."""
        return np.array([similarity(hit, self.space.distance) if hit.score is None else hit.score for hit in hits])

    def told(self, asked: Asked, hits: list[Hit], request: Request) -> list[Hit]:
        """The hits with highlights and neighbours, where those are asked for."""
        if hits and request.highlight:
            hits = self._highlighted(asked, hits)
        if hits and request.neighbours:
            around = neighbours.around(self.engine, self.space, [key(hit) for hit in hits], request.neighbours)
            hits = [replace(hit, before=around[key(hit)][0], after=around[key(hit)][1]) for hit in hits]
        return hits

    def _highlighted(self, asked: Asked, hits: list[Hit]) -> list[Hit]:
        """By meaning where there is a model, else by words."""
        texts = [hit.text for hit in hits]
        if asked.embedding is not None and self.space.model is not None:
            found = highlights.best(asked.embedding, texts, self.embedder())
        else:
            found = highlights.best_by_words(asked.query or "", texts)
        return [replace(hit, highlight=place) for hit, place in zip(hits, found, strict=True)]


def key(hit: Hit) -> tuple[str, int]:
    """What names the hit's chunk."""
    return hit.document_id, hit.ordinal


def similarity(hit: Hit, distance: str) -> float:
    """A distance turned round: the cosine, the inner product, or 1 / (1 + distance)."""
    if hit.distance is None:
        return 0.0
    if distance == "cosine":
        return 1 - hit.distance
    return -hit.distance if distance == "inner_product" else 1 / (1 + hit.distance)


def _by_score(hits: Sequence[Hit], scores: Sequence[float]) -> list[Hit]:
    scored = [replace(hit, score=score) for hit, score in zip(hits, scores, strict=True)]
    return sorted(scored, key=lambda hit: (pages.key(hit), hit.document_id, hit.ordinal))


def groups(hits: Sequence[Hit], request: Request) -> list[Group]:
    """What one of `top_k` is: a hit, or with `per_document` the best hits of a document. Without what is too far, and
    without what was on the pages before.
    """
    gathered: dict[object, Group] = {}
    for hit in hits:
        if is_near(hit, request):
            key = (hit.document_id, None if request.per_document else hit.ordinal)
            gathered.setdefault(key, []).append(hit)
    found = [group[: request.per_document] for group in gathered.values()]
    page = request.page
    return found if page is None else [group for group in found if pages.follows(group[0], page)]


def is_near(hit: Hit, request: Request) -> bool:
    """Whether the hit is within the thresholds; one whose score was not computed for want of time is."""
    if request.max_distance is not None and hit.distance is not None and hit.distance > request.max_distance:
        return False
    return request.min_score is None or hit.score is None or hit.score >= request.min_score
