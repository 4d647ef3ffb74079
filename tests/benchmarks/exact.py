"""Exact search with numpy, and the measures of a ranking: what every answer is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from semsearch.records import Embedding

TIE = 1e-6  # similarities that differ by less are equal: sums in another order differ by as much


def nearest(base: Embedding, queries: Embedding, top_k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `base` nearest to each query by cosine, and their similarities; all of length 1, as MiniLM makes them."""
    rows, similarities = [], []
    for start in range(0, len(queries), 100):
        similarity = queries[start : start + 100] @ base.T
        best = np.argpartition(similarity, -top_k, axis=1)[:, -top_k:]
        order = np.argsort(-np.take_along_axis(similarity, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        rows.append(best)
        similarities.append(np.take_along_axis(similarity, best, axis=1))
    return np.concatenate(rows), np.concatenate(similarities)


def recall(base: Embedding, query: Embedding, found: Sequence[int], threshold: float, top_k: int) -> float:
    """Share of the `top_k` nearest that were found; `threshold` is the similarity of the last of them, ties count."""
    return min(int(np.sum(base[list(found)] @ query >= threshold - TIE)), top_k) / top_k if len(found) else 0.0


def documents_of(ranked_chunks: Iterable[str], top_k: int = 10) -> list[str]:
    """The documents of chunks ranked best first, each at its best chunk's place."""
    return list(dict.fromkeys(ranked_chunks))[:top_k]


def ndcg(ranked: Sequence[str], gains: Mapping[str, int], top_k: int = 10) -> float:
    """nDCG@top_k with linear gains, as trec_eval and BEIR compute it (https://arxiv.org/abs/2104.08663)."""
    discounts = 1 / np.log2(np.arange(2, top_k + 2))
    found = np.array([gains.get(document, 0) for document in ranked[:top_k]], dtype=float)
    ideal = np.array(sorted(gains.values(), reverse=True)[:top_k], dtype=float)
    return float(found @ discounts[: len(found)] / (ideal @ discounts[: len(ideal)]))
