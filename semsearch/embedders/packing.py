"""Packs texts into batches by their tokens, and halves a batch that does not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semsearch.errors import UnusableEmbedding
from semsearch.records import Embedding

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class OutOfMemory(UnusableEmbedding):
    """Not even one text fits into memory; it may later, when others have left some."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts for one pass through a model; `ids` are the tokens of prompt and text together."""

    prompt: str
    texts: list[str]
    ids: list[list[int]]

    def halves(self) -> tuple[Batch, Batch]:
        middle = len(self.texts) // 2
        return (
            Batch(self.prompt, self.texts[:middle], self.ids[:middle]),
            Batch(self.prompt, self.texts[middle:], self.ids[middle:]),
        )


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory. `forward` may be called from several threads at once where `parallel`."""

    forward: Callable[[Batch], Embedding]
    tokenizer: Tokenizer
    dimensions: int
    max_tokens: int
    budget: int
    parallel: bool


def pack(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Places of the texts, batch by batch, longest first and equals side by side.

    A batch has at most `budget` tokens, counting each text as long as the longest in it, or is a single text.
    """
    batches: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if not batches or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > budget:
            batches.append([])
        batches[-1].append(place)
    return batches


def halving(forward: Callable[[Batch], Embedding], batch: Batch) -> Embedding:
    """`forward(batch)`, in smaller and smaller parts while memory runs out.

    Raises OutOfMemory when not even one text fits.
    """
    try:
        return forward(batch)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    if len(batch.texts) == 1:
        raise OutOfMemory(f"a text of {len(batch.ids[0])} tokens needs more memory than there is.")
    return np.concatenate([halving(forward, half) for half in batch.halves()])


def out_of_memory(error: Exception) -> bool:
    """torch says it with its own class on a GPU, with a plain RuntimeError on a CPU (c10/core/CPUAllocator)."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError", "OutOfMemory"}) or "DefaultCPUAllocator" in str(error)
