"""Embedders turn texts into embeddings: one file a provider, all with this one face.

    embedder = embedders.load("sentence-transformers:all-MiniLM-L6-v2", settings)
    embedder.embed_documents(["a text", "another"])     # float32, shape (2, dimensions)
    embedder.embed_query("what is asked")               # float32, shape (dimensions,)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from semsearch.records import Embedding


class Splitter(Protocol):
    """What semantic-text-splitter's splitters do: pieces of at most `capacity` tokens, with character offsets."""

    def chunk_indices(self, text: str) -> list[tuple[int, str]]: ...


class Embedder(Protocol):
    """One model, loaded. Safe to call from several threads; calls are then one after another.

    `fingerprint` names everything that decides the vector of a text (provider, model, revision or weights' hash,
    dimensions, prompts): two embedders with the same fingerprint give the same embeddings.
    """

    model: str
    dimensions: int
    max_tokens: int
    fingerprint: str

    def splitter(self, capacity: int, overlap: int, *, markdown: bool = False) -> Splitter:
        """A splitter that counts in this model's own tokens (special tokens not counted)."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens; an upper estimate where the provider's tokenizer is not known."""

    def embed_documents(self, texts: Sequence[str]) -> Embedding:
        """Embeddings of documents, shape (len(texts), dimensions), in the order of the texts."""

    def embed_query(self, text: str) -> Embedding:
        """The embedding of a query, shape (dimensions,): some models read queries with another prompt."""
