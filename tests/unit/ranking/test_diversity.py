"""Maximal marginal relevance chooses what is relevant and new, whatever the scale of the relevance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semsearch.errors import InvalidInput
from semsearch.ranking.diversity import check, select

# Two near-duplicates that are most relevant, one of another direction, one between.
RELEVANCE = np.array([0.9, 1.0, 0.5, 0.6])
EMBEDDINGS = np.array([[1, 0.01], [1, 0], [0, 1], [1, 1]], np.float32)


def naive(relevance: Any, embeddings: Any, top_k: int, diversity: float) -> list[int]:
    """The definition, one pair at a time, in float64."""
    unit = embeddings.astype(float) / np.linalg.norm(embeddings.astype(float), axis=1, keepdims=True)
    worth = (relevance - relevance.min()) / (relevance.max() - relevance.min())
    order = sorted(range(len(relevance)), key=lambda place: (-relevance[place], place))
    least = min(float(unit[place] @ unit[order[0]]) for place in order)
    chosen = [order[0]]
    while len(chosen) < min(top_k, len(order)):

        def marginal(place: int) -> float:
            near = max((float(unit[place] @ unit[other]) - least) / (1 - least) for other in chosen)
            return float((1 - diversity) * worth[place] - diversity * near)

        chosen.append(max((place for place in order if place not in chosen), key=marginal))
    return chosen


def test_without_diversity_it_is_the_order_by_relevance() -> None:
    assert select(RELEVANCE, EMBEDDINGS, 4, 0) == [1, 0, 3, 2]
    assert select(RELEVANCE, EMBEDDINGS, 2, 0) == [1, 0]


def test_a_near_duplicate_of_a_chosen_hit_is_passed_over() -> None:
    assert select(RELEVANCE, EMBEDDINGS, 2, 0.7) == [1, 2]
    assert select(RELEVANCE, EMBEDDINGS, 4, 1) == [1, 2, 3, 0]


def test_the_scale_of_the_relevance_does_not_matter() -> None:
    for diversity in (0.2, 0.4, 0.6, 0.8):
        expected = select(RELEVANCE, EMBEDDINGS, 4, diversity)
        assert select(RELEVANCE * 1000 - 7, EMBEDDINGS, 4, diversity) == expected
        assert select(RELEVANCE, EMBEDDINGS * np.float32(100), 4, diversity) == expected


@pytest.mark.parametrize("diversity", [0.1, 0.3, 0.5, 0.9])
def test_it_is_the_definition(diversity: float) -> None:
    random = np.random.default_rng(7)
    relevance, embeddings = random.normal(size=60), random.normal(size=(60, 8)).astype(np.float32)
    assert select(relevance, embeddings, 25, diversity) == naive(relevance, embeddings, 25, diversity)


def test_among_equals_the_first_comes_first() -> None:
    assert select(np.ones(4), np.ones((4, 3), np.float32), 3, 0.5) == [0, 1, 2]
    assert select(np.ones(4), np.eye(4, dtype=np.float32), 4, 0.5) == [0, 1, 2, 3]


def test_a_hit_whose_embedding_is_gone_is_chosen_like_any_other() -> None:
    assert sorted(select(RELEVANCE, np.vstack([EMBEDDINGS[:3], np.zeros((1, 2))]), 4, 0.5)) == [0, 1, 2, 3]


def test_nothing_is_chosen_from_nothing() -> None:
    assert select(np.empty(0), np.empty((0, 3), np.float32), 5, 0.5) == []


@given(st.integers(1, 30), st.integers(1, 40), st.floats(0, 1), st.integers(0, 1000))
def test_each_place_is_chosen_at_most_once(count: int, top_k: int, diversity: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    relevance = random.integers(0, 3, count).astype(float)
    chosen = select(relevance, random.normal(size=(count, 3)).astype(np.float32), top_k, diversity)
    assert len(chosen) == len(set(chosen)) == min(count, top_k)
    assert relevance[chosen[0]] == relevance.max()


@pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan"), True, "0.5", None])
def test_a_diversity_outside_of_0_and_1_is_refused(diversity: Any) -> None:
    with pytest.raises(InvalidInput, match="diversity is a number from 0"):
        check(diversity)
