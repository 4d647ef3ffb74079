"""Embeddings as directions, whose inner product is the cosine."""

from __future__ import annotations

import numpy as np

from semsearch.records import Embedding


def directions(embeddings: Embedding) -> Embedding:
    """The embeddings, shape (n, dimensions), with length 1; zeros stay zeros."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / np.where(lengths > 0, lengths, 1), dtype=np.float32)
