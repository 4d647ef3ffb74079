"""Other stores on pgvector, through their own public ways in and out, each in a module of its own.

They are installed apart from semsearch, whose dependencies they contradict, by `environment`; there `__main__` runs one
of them, which imports nothing of semsearch. `measuring` has them asked. The module of a peer has a class `Store`, made
with (url, dimensions, fields), the fields with their types as semsearch names them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

Equal = Mapping[str, Any]  # one field and the value it must have


class Row(NamedTuple):
    """What is stored."""

    id: str
    text: str
    embedding: list[float]
    metadata: dict[str, Any]


class Store(Protocol):
    """A peer at its documented defaults, with an HNSW index for cosine distance, m 16 and ef_construction 64."""

    def add(self, rows: Sequence[Row]) -> None:
        """Store new rows the way the peer offers for many of them."""

    def create_index(self) -> None:
        """Build the index, after everything was added; nothing where the peer has built it before."""

    def search(self, query: list[float], top_k: int, filter: Equal | None) -> list[str]:
        """The ids found, nearest first."""
