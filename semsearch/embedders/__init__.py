"""Embedders turn texts into embeddings: one file a provider, all with this one face.

embedder = embedders.load("sentence-transformers:all-MiniLM-L6-v2", settings)
embedder.embed_documents(["a text", "another"])     # float32, shape (2, dimensions)
embedder.embed_query("what is asked")               # float32, shape (dimensions,)
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Protocol

from semsearch.errors import InvalidInput
from semsearch.records import Embedding

if TYPE_CHECKING:
    from semsearch.config import Settings

PROVIDERS = ("sentence-transformers", "openai")

_loaded: dict[Hashable, Embedder] = {}
_loading = threading.Lock()


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
        """Tokens of each text, special ones left out; an upper estimate where the model's tokenizer is not known."""

    def embed_documents(self, texts: Sequence[str]) -> Embedding:
        """Embeddings of documents, shape (len(texts), dimensions), in the order of the texts."""

    def embed_query(self, text: str) -> Embedding:
        """The embedding of a query, shape (dimensions,): some models read queries with another prompt."""


def load(model: str, settings: Settings, *, dimensions: int | None = None) -> Embedder:
    """The embedder for a model's full name, `provider:name`; the same one when asked again.

    `dimensions` asks for shorter embeddings than the model's own. Raises InvalidInput, ModelUnavailable.
    """
    provider, _, name = model.partition(":")
    if provider not in PROVIDERS or not name.strip():
        raise InvalidInput(_advice(model, provider, name))
    key = (model, dimensions, settings.device, settings.openai_base_url, settings.openai_api_key)
    with _loading:
        if key not in _loaded:
            _loaded[key] = _make(provider, name, settings, dimensions)
        return _loaded[key]


def _make(provider: str, name: str, settings: Settings, dimensions: int | None) -> Embedder:
    if provider == "openai":
        from semsearch.embedders.openai import OpenAIEmbedder

        return OpenAIEmbedder(name, settings, dimensions)
    from semsearch.embedders.sentence_transformers import SentenceTransformersEmbedder

    return SentenceTransformersEmbedder(name, settings, dimensions)


def _advice(model: str, provider: str, name: str) -> str:
    near = difflib.get_close_matches(provider.lower().replace("_", "-"), PROVIDERS, 1)
    if model and not (near or ":" in model):
        name, near = model, ["openai" if model.startswith("text-embedding-") else PROVIDERS[0]]
    if name.strip() and near:
        return f"model {model!r} is not known. Did you mean '{near[0]}:{name}'?"
    return f"model {model!r} is not known: name it as provider:name, with one of the providers {', '.join(PROVIDERS)}."
