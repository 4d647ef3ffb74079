"""Batches are packed by tokens, and halved when memory runs out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semsearch.embedders.packing import Batch, halving, pack
from semsearch.errors import UnusableEmbedding
from semsearch.records import Embedding


def test_the_longest_come_first_and_equals_are_neighbours() -> None:
    # 9 alone fills 10; 3 + 3 + 3 are 9, a fourth would make 12; 2 + 2 are 4.
    assert pack([3, 2, 9, 3, 2, 3], 10) == [[2], [0, 3, 5], [1, 4]]


def test_a_text_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    assert pack([50, 1], 10) == [[0], [1]]


def test_no_texts_make_no_batches() -> None:
    assert pack([], 10) == []


@given(st.lists(st.integers(1, 300)), st.integers(1, 1000))
def test_every_text_is_in_one_batch_and_no_batch_exceeds_the_budget(lengths: list[int], budget: int) -> None:
    batches = pack(lengths, budget)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= budget


def batch(count: int) -> Batch:
    return Batch("", [str(number) for number in range(count)], [[number] for number in range(count)])


def limited(most: int, error: Exception) -> tuple[list[int], object]:
    """A model that runs out of memory beyond so many texts, and the sizes it was asked for."""
    asked: list[int] = []

    def forward(batch: Batch) -> Embedding:
        asked.append(len(batch.texts))
        if len(batch.texts) > most:
            raise error
        return np.array(batch.ids, np.float32)

    return asked, forward


def errors() -> list[Exception]:
    import torch

    return [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:126] DefaultCPUAllocator: can't allocate memory"),
    ]


@pytest.mark.parametrize("error", errors(), ids=lambda error: type(error).__name__)
def test_a_batch_too_large_for_memory_is_halved_until_it_fits(error: Exception) -> None:
    asked, forward = limited(2, error)
    assert halving(forward, batch(7))[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]  # type: ignore[arg-type]
    assert asked == [7, 3, 1, 2, 4, 2, 2]


def test_a_single_text_that_does_not_fit_is_an_unusable_embedding() -> None:
    _, forward = limited(0, MemoryError())
    with pytest.raises(UnusableEmbedding, match="a text of 1 tokens needs more memory than there is"):
        halving(forward, batch(2))  # type: ignore[arg-type]


def test_another_error_of_the_model_is_not_taken_for_lack_of_memory() -> None:
    asked, forward = limited(0, RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        halving(forward, batch(2))  # type: ignore[arg-type]
    assert asked == [2]
