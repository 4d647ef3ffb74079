"""Maximal marginal relevance: hits that are relevant and unlike one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from semsearch.errors import InvalidInput
from semsearch.ranking.directions import directions
from semsearch.records import Embedding

LEAST_SPREAD = 1e-6  # below it float32 cosines differ by rounding alone


def check(diversity: Any) -> float:
    """The diversity as it was asked for. Raises InvalidInput."""
    if isinstance(diversity, bool) or not isinstance(diversity, int | float) or not 0 <= diversity <= 1:
        raise InvalidInput(f"diversity is a number from 0 (the nearest) to 1 (the most unlike); got {diversity!r}.")
    return float(diversity)


def select(relevance: npt.ArrayLike, embeddings: Embedding, top_k: int, diversity: float) -> list[int]:
    """Places of up to `top_k` hits, in the order in which they are chosen (Carbonell & Goldstein, SIGIR 1998).

    `relevance`, shape (n,), is larger for the better: a score, or a distance with its sign changed. The most relevant
    comes first; then always the one with the largest (1 - diversity) * relevance - diversity * similarity, where the
    similarity is that to the nearest of those chosen before. Among equals the more relevant comes first.

    Both are scaled to the pool, so that 0.5 weighs them alike whatever the score: relevance is 0 for the least and 1
    for the most relevant; similarity is the cosine, 1 for the same direction and 0 for that of the hit least like the
    first. With `diversity` 0 this is the order by relevance. Raises InvalidInput.
    """
    diversity = check(diversity)
    relevance = np.asarray(relevance, dtype=np.float64)
    order = np.argsort(-relevance, kind="stable")
    if diversity == 0 or len(order) < 2:
        return [int(place) for place in order[:top_k]]
    worth = (1 - diversity) * _scaled(relevance[order])
    pool = directions(np.asarray(embeddings, dtype=np.float32)[order])
    to_first = pool @ pool[0]
    least = float(to_first.min())
    spread = max(1 - least, LEAST_SPREAD)
    nearest = np.full(len(order), -np.inf)
    chosen: list[int] = []
    place = 0
    while True:
        chosen.append(place)
        if len(chosen) >= min(top_k, len(order)):
            return [int(place) for place in order[chosen]]
        similarity = to_first if place == 0 else pool @ pool[place]
        nearest = np.maximum(nearest, (similarity - least) / spread)
        marginal = worth - diversity * nearest
        marginal[chosen] = -np.inf
        place = int(np.argmax(marginal))


def _scaled(relevance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    spread = relevance.max() - relevance.min()
    return (relevance - relevance.min()) / spread if spread > 0 else np.zeros_like(relevance)
