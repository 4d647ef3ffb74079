"""Embedders turn texts into embeddings: one file a provider, all with this one face.

embedder = embedders.load("sentence-transformers:all-MiniLM-L6-v2", settings)
embedder.embed_documents(["a text", "another"])     # float32, shape (2, dimensions)
embedder.embed_query("what is asked")               # float32, shape (dimensions,)
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Protocol

from semsearch.errors import InvalidInput
from semsearch.records import Embedding

if TYPE_CHECKING:
    from semsearch.config import Settings

PROVIDERS = ("sentence-transformers", "openai")

_loaded: dict[Hashable, Embedder] = {}
_loading = threading.Lock()


Spent = Callable[[int], None]  # told how many tokens a call has cost


def unheeded(tokens: int) -> None:
    """For who does not ask what a call has cost."""


class Splitter(Protocol):
    """What semantic-text-splitter's splitters do: pieces of at most `capacity` tokens, with character offsets."""

    def chunk_indices(self, text: str) -> list[tuple[int, str]]: ...


class Tokenizer(Protocol):
    """How a model cuts and counts texts: all that can be known of it without a call."""

    model: str
    max_tokens: int

    def splitter(self, capacity: int, overlap: int, *, markdown: bool = False) -> Splitter:
        """A splitter that counts in this model's own tokens (special tokens not counted)."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones left out; an upper estimate where to count takes long."""

    def estimate_tokens(self, texts: Sequence[str]) -> int:
        """About what the model will count for these together; from a sample, where to count takes long."""


class Embedder(Tokenizer, Protocol):
    """One model, loaded. Safe to call from several threads; calls are then one after another.

    `fingerprint` names everything that decides the vector of a text (provider, model, revision or weights' hash,
    dimensions, prompts): two embedders with the same fingerprint give the same embeddings.
    """

    dimensions: int
    fingerprint: str

    def embed_documents(self, texts: Sequence[str], *, spent: Spent = unheeded) -> Embedding:
        """Embeddings of documents, shape (len(texts), dimensions), in the order of the texts.

        `spent` is told the tokens of every request that was answered: as the provider counts them, where it says so.
        """

    def embed_query(self, text: str) -> Embedding:
        """The embedding of a query, shape (dimensions,): some models read queries with another prompt."""

    def embed_queries(self, texts: Sequence[str]) -> Embedding:
        """The embeddings of several queries in one call, shape (len(texts), dimensions)."""

    def probe(self, *, fresh: bool = False) -> Embedding | None:
        """What one known text becomes, asked now and then, or now; None where the fingerprint knows the very weights.

        A provider can put another model under the same name.
        """


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


def is_local(model: str) -> bool:
    """Whether a model of this name runs on this machine."""
    return model.startswith("sentence-transformers:")


def tokenizer(model: str, settings: Settings) -> Tokenizer:
    """The model's tokenizer. That of a provider's model needs no key, and nothing is sent."""
    provider, _, name = model.partition(":")
    if provider == "openai":
        from semsearch.embedders.openai_tokens import OpenAITokenizer

        return OpenAITokenizer(name)
    return load(model, settings)


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
