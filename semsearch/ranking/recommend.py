"""The embedding that stands for examples: near the positive ones, away from the negative ones."""

from __future__ import annotations

import numpy as np

from semsearch.errors import InvalidInput
from semsearch.ranking.directions import directions
from semsearch.records import Distance, Embedding

LEAST = 1e-6  # of the longest example: what is left below it is rounding


def combine(positive: Embedding, negative: Embedding, distance: Distance) -> Embedding:
    """What to search for: mean(positive) + (mean(positive) - mean(negative)), shape (dimensions,).

    This is the strategy `average_vector` of Qdrant (https://qdrant.tech/documentation/concepts/explore/). `positive`
    and `negative` have shape (n, dimensions) and either may be empty: without negatives it is the mean, without
    positives the opposite of the mean. For cosine each example counts alike, whatever its length. Raises InvalidInput
    when nothing remains.
    """
    if not len(positive) and not len(negative):
        raise InvalidInput("a recommendation takes at least one positive or negative example.")
    if distance == "cosine":
        positive, negative = directions(positive), directions(negative)
    if not len(negative):
        combined = positive.mean(axis=0)
    elif not len(positive):
        combined = -negative.mean(axis=0)
    else:
        combined = 2 * positive.mean(axis=0) - negative.mean(axis=0)
    longest = max(_longest(positive), _longest(negative))
    if not np.linalg.norm(combined) > LEAST * longest:
        raise InvalidInput("the examples cancel one another out: take away one of them.")
    return np.asarray(combined, dtype=np.float32)


def _longest(embeddings: Embedding) -> float:
    return float(np.linalg.norm(embeddings, axis=1).max()) if len(embeddings) else 0.0
