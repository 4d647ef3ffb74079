"""What is done with a pool of hits: ranked again, cut into a page, and told more of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import Engine

from semsearch import batching, pages
from semsearch.embedders import Embedder
from semsearch.ranking import boost_syntax, boosts, diversity, highlights
from semsearch.records import Embedding, Hit
from semsearch.request import Request
from semsearch.rerankers import Reranker
from semsearch.retrieval import Asked, Pool
from semsearch.store import boosting, nearest, neighbours
from semsearch.store.deadlines import Deadline, given_up
from semsearch.store.fusion import DEPTH
from semsearch.store.spaces import Space

Group = list[Hit]


@dataclass
class Refiner:
    """Works on the hits of one collection. `embedder` and `reranker` load a model when they are first called."""

    engine: Engine
    space: Space
    embedder: Callable[[], Embedder]
    reranker: Callable[[str], Reranker]

    def ranked(self, asked: Asked, pool: Pool, request: Request, deadline: Deadline) -> Pool:
        """The pool in the order that was asked for; cut off where reranking takes too long. Raises DeadlineExceeded."""
        hits = pool.hits
        if hits and request.rerank is not None:
            scores = self._scores(request.rerank, asked, hits, request, deadline)
            if len(scores) < len(hits):
                return replace(pool, hits=_first(hits, scores, request), complete=False, cut_off=True)
            hits = _by_score(hits, scores)
        if hits and request.boosts:
            hits = self._boosted(request, hits)
        if hits and request.diversity is not None:
            hits = self._diverse(request, hits)
        return replace(pool, hits=hits)

    def _scores(
        self, model: str, asked: Asked, hits: Sequence[Hit], request: Request, deadline: Deadline
    ) -> list[float]:
        """The reranker's, of the first hits only where it takes too long and the best so far were asked for."""
        assert asked.query is not None
        reranker = self.reranker(model)
        texts = [f"{hit.heading}\n{hit.text}".strip() for hit in hits]
        scores: list[float] = []
        with _given_up(request):
            for some in batching.slices(texts, _portion(batching.SLICE, texts, request), deadline):
                scores += reranker.scores(asked.query, some).tolist()
        return scores

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

    def told(self, asked: Asked, hits: list[Hit], request: Request, deadline: Deadline) -> tuple[list[Hit], bool]:
        """The hits with highlights and neighbours, where those are asked for, and whether there was time for it.

        Raises DeadlineExceeded.
        """
        complete = not (hits and request.highlight)
        if not complete:
            with _given_up(request):
                hits, complete = self._highlighted(asked, hits, request, deadline), True
        if hits and request.neighbours:
            around = neighbours.around(self.engine, self.space, [key(hit) for hit in hits], request.neighbours)
            hits = [replace(hit, before=around[key(hit)][0], after=around[key(hit)][1]) for hit in hits]
        return hits, complete

    def _highlighted(self, asked: Asked, hits: list[Hit], request: Request, deadline: Deadline) -> list[Hit]:
        """By meaning where there is a model, else by words."""
        texts = [hit.text for hit in hits]
        if asked.embedding is not None and self.space.model is not None:
            embedder = self.embedder()

            def embed(sentences: Sequence[str]) -> Embedding:
                size = _portion(batching.LARGEST, sentences, request)
                return np.concatenate(list(map(embedder.embed_documents, batching.slices(sentences, size, deadline))))

            found = highlights.best(asked.embedding, texts, embed)
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


def _given_up(request: Request) -> AbstractContextManager[None]:
    return given_up() if request.partial else nullcontext()


def _portion(size: int, texts: Sequence[str], request: Request) -> int:
    """Texts after which the deadline is looked at: all of them, which the model does fastest, where there is none."""
    return len(texts) if request.deadline is None else size


def _first(hits: Sequence[Hit], scores: Sequence[float], request: Request) -> list[Hit]:
    """The hits that have a score, and behind them the others.

    On a later page without the others: nobody knows whether they were shown.
    """
    count = len(scores)
    rest = [] if request.after is not None else [replace(hit, score=None) for hit in hits[count:]]
    return [*_by_score(hits[:count], scores), *rest]


def _by_score(hits: Sequence[Hit], scores: Sequence[float]) -> list[Hit]:
    scored = [replace(hit, score=score) for hit, score in zip(hits, scores, strict=True)]
    return sorted(scored, key=pages.order)


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


def ends(hits: Sequence[Hit], request: Request) -> bool:
    """Whether all that would come behind these, as they were fetched, is beyond the thresholds."""
    if not hits:
        return False
    last = hits[-1]
    # A fusion has what its legs found first, by score; the rest by distance.
    by_distance = request.mode == "vector" or len(hits) > 2 * (request.depth or DEPTH)
    by_score = not (request.mode == "vector" or request.is_ranked_again)
    return (by_distance and _is_far(last, request)) or (by_score and _is_low(last, request))


def is_near(hit: Hit, request: Request) -> bool:
    """Whether the hit is within the thresholds; one whose score was not computed for want of time is."""
    return not (_is_far(hit, request) or _is_low(hit, request))


def _is_far(hit: Hit, request: Request) -> bool:
    return request.max_distance is not None and hit.distance is not None and hit.distance > request.max_distance


def _is_low(hit: Hit, request: Request) -> bool:
    return request.min_score is not None and hit.score is not None and hit.score < request.min_score
