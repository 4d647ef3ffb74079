"""Vectors are checked before they reach SQL."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from semsearch.embedders.checks import check
from semsearch.errors import UnusableEmbedding

SOUND = [[1.0, 0.0], [0.0, 1.0]]


def test_lists_become_a_contiguous_float32_array() -> None:
    array = check(SOUND, 2, 2)
    assert array.dtype == np.float32 and array.flags.c_contiguous
    assert array.tolist() == SOUND


def test_a_transposed_float64_array_becomes_contiguous() -> None:
    array = check(np.array(SOUND).T, 2, 2)
    assert array.dtype == np.float32 and array.flags.c_contiguous


def test_no_embeddings_are_fine_when_none_are_expected() -> None:
    assert check(np.empty((0, 2)), 0, 2).shape == (0, 2)


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        ([[1.0, 0.0]], "expected 2 embeddings of 2 dimensions, got 1 embeddings of 2 dimensions."),
        ([[1.0], [1.0]], "expected 2 embeddings of 2 dimensions, got 2 embeddings of 1 dimensions."),
        ([1.0, 1.0], r"expected 2 embeddings of 2 dimensions, got an array of shape \(2,\)."),
        ([[1.0, 0.0], [1.0]], "the embeddings are not numbers, or not all of the same length."),
        ([["a", "b"], ["c", "d"]], "the embeddings are not numbers, or not all of the same length."),
        ([[None, 1.0], [1.0, {}]], "the embeddings are not numbers, or not all of the same length."),
        ([[1.0, 0.0], [0.0, float("nan")]], "embedding 1 contains NaN."),
        ([[float("-inf"), 0.0], [1.0, 1.0]], "embedding 0 contains infinity or a number too large for 32 bits."),
        ([[1e39, 0.0], [1.0, 1.0]], "embedding 0 contains infinity or a number too large for 32 bits."),
        ([[0.0, 0.0], [0.0, -0.0]], "each of the embeddings 0, 1 is zero."),
        ([[1e-45, 0.0], [1.0, 1.0]], r"embedding 0 has a norm outside \[1e-12, 1e\+12\]."),
        ([[1.0, 0.0], [3e38, 3e38]], r"embedding 1 has a norm outside \[1e-12, 1e\+12\]."),
    ],
)
def test_what_is_not_an_embedding_is_named(embeddings: object, message: str) -> None:
    with pytest.raises(UnusableEmbedding, match=f"^{message}$"):
        check(embeddings, 2, 2)  # type: ignore[arg-type]


def test_each_reason_names_its_own_embeddings_and_the_list_stays_short() -> None:
    embeddings = np.zeros((8, 2))
    embeddings[3] = np.nan
    with pytest.raises(UnusableEmbedding) as error:
        check(embeddings, 8, 2)
    assert str(error.value) == "each of the embeddings 0, 1, 2, 4, 5 and 2 more is zero; embedding 3 contains NaN."


@given(arrays.arrays(np.float32, (3, 4), elements=st.floats(width=32)))
def test_whatever_passes_has_a_norm_and_a_direction(embeddings: np.ndarray) -> None:
    try:
        passed = check(embeddings, 3, 4)
    except UnusableEmbedding:
        return
    norms = np.linalg.norm(passed.astype(np.float64), axis=1)
    assert np.isfinite(passed).all() and (norms > 9e-13).all() and (norms < 1.1e12).all()
