"""Says whether vectors are embeddings, before any of them reaches SQL."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from semsearch.errors import UnusableEmbedding
from semsearch.records import Embedding

# Outside of it float32 distances stop meaning anything: the square of a norm below 1e-19 is zero, of one above 1e19
# infinite, and pgvector accepts both (a zero vector is then absent from a cosine index).
SMALLEST_NORM, LARGEST_NORM = 1e-12, 1e12
NAMED = 5
# A provider's answers to one text differ in their last bits; those of two models have next to nothing in common.
SAME_COSINE = 0.999


def check(embeddings: npt.ArrayLike, count: int, dimensions: int) -> Embedding:
    """The embeddings as a C-contiguous float32 array of shape (count, dimensions).

    Raises UnusableEmbedding, naming which (by their place, from 0) are not finite, zero, or of a norm outside
    [1e-12, 1e12].
    """
    with np.errstate(over="ignore", invalid="ignore"):  # a float64 too large for float32 becomes infinite
        array = _array(embeddings)
        if array.shape != (count, dimensions):
            raise UnusableEmbedding(_wrong_shape(array.shape, count, dimensions))
        norms = np.sqrt(np.einsum("ij,ij->i", array, array))
    wrong = np.flatnonzero(~((norms >= SMALLEST_NORM) & (norms <= LARGEST_NORM)))  # NaN compares false
    if len(wrong):
        raise UnusableEmbedding(_unusable(array, wrong))
    return array


def same(one: Embedding, other: Embedding) -> bool:
    """Whether two embeddings of one text come from the same model; their lengths may differ."""
    if one.shape != other.shape:
        return False
    return float(one @ other) >= SAME_COSINE * float(np.linalg.norm(one) * np.linalg.norm(other))


def _array(embeddings: npt.ArrayLike) -> Embedding:
    try:
        return np.ascontiguousarray(embeddings, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        raise UnusableEmbedding("the embeddings are not numbers, or not all of the same length.") from None


def _wrong_shape(shape: tuple[int, ...], count: int, dimensions: int) -> str:
    got = f"{shape[0]} embeddings of {shape[1]} dimensions" if len(shape) == 2 else f"an array of shape {shape}"
    return f"expected {count} embeddings of {dimensions} dimensions, got {got}."


def _unusable(array: Embedding, wrong: npt.NDArray[np.intp]) -> str:
    reasons: dict[str, list[int]] = {}
    for index in wrong:
        reasons.setdefault(_reason(array[index]), []).append(int(index))
    return "; ".join(f"{_names(indices)} {reason}" for reason, indices in reasons.items()) + "."


def _reason(embedding: Embedding) -> str:
    if np.isnan(embedding).any():
        return "contains NaN"
    if np.isinf(embedding).any():
        return "contains infinity or a number too large for 32 bits"
    if not embedding.any():
        return "is zero"
    return f"has a norm outside [{SMALLEST_NORM:g}, {LARGEST_NORM:g}]"


def _names(indices: list[int]) -> str:
    more = f" and {len(indices) - NAMED} more" if len(indices) > NAMED else ""
    noun = "embedding" if len(indices) == 1 else "each of the embeddings"
    return f"{noun} {', '.join(map(str, indices[:NAMED]))}{more}"
