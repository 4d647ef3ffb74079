"""Examples become the embedding that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from semsearch.errors import InvalidInput
from semsearch.ranking.recommend import combine
from semsearch.records import Embedding

NONE = np.empty((0, 2), np.float32)


def rows(*values: list[float]) -> Embedding:
    return np.array(values, np.float32)


def test_positives_alone_are_their_mean() -> None:
    assert combine(rows([1, 0], [3, 4]), NONE, "l2").tolist() == [2, 2]


def test_negatives_push_as_far_as_they_are_away() -> None:
    combined = combine(rows([1, 1], [3, 1]), rows([0, 1], [2, 3]), "l2")
    assert combined.tolist() == [3, 0]  # 2 * (2, 1) - (1, 2)
    assert combined.dtype == np.float32


def test_negatives_alone_lead_into_the_opposite_direction() -> None:
    assert combine(NONE, rows([1, 0], [1, 4]), "inner_product").tolist() == [-1, -2]


def test_for_cosine_each_example_counts_alike() -> None:
    assert np.allclose(combine(rows([100, 0], [0, 1]), NONE, "cosine"), [0.5, 0.5])
    assert np.allclose(combine(rows([9, 0]), rows([0, 0.1]), "cosine"), [2, -1])


@pytest.mark.parametrize("distance", ["cosine", "l2"])
def test_examples_that_cancel_one_another_out_are_refused(distance: str) -> None:
    third = float(np.float32(1) / 3)
    with pytest.raises(InvalidInput, match="cancel one another out"):
        combine(rows([third, 0.7], [-third, -0.7]), NONE, distance)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="cancel one another out"):
        combine(rows([1, 0]), rows([2, 0]), "l2")


def test_no_examples_are_refused() -> None:
    with pytest.raises(InvalidInput, match="takes at least one positive or negative example"):
        combine(NONE, NONE, "cosine")
