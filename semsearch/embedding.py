"""From claimed documents to rows of chunks: chunk, keep what is unchanged, embed the rest once each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from semsearch import chunking
from semsearch.embedders import Embedder
from semsearch.errors import InvalidInput, UnusableEmbedding
from semsearch.records import Chunk, Document, Embedding
from semsearch.store.chunks import Row
from semsearch.store.spaces import Space
from semsearch.store.tasks import Work

Hashes = Mapping[str, Mapping[int, bytes]]  # document id -> ordinal -> hash, as stored


@dataclass
class Prepared:
    """Works with the rows to store for each, and those that cannot be embedded with the reason why."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    embedded: int = 0


def chunk_hash(fingerprint: str, text: str) -> bytes:
    """Equal for two chunks of one space exactly when their embeddings are."""
    return hashlib.sha256(f"{fingerprint}\0{text}".encode()).digest()


def given_hash(text: str) -> bytes:
    """Marks a chunk whose embedding came with the document, for as long as the text stays what it was."""
    return hashlib.sha256(b"given\0" + text.encode()).digest()


def whole(document: Document) -> Chunk:
    """The one chunk of a document that brings its own embedding."""
    return Chunk(0, 0, len(document.text), document.text, document.title or "", document.text)


def check_fits(space: Space, embeddings: Embedding) -> None:
    """Raise UnusableEmbedding for what the space's vector type turns into infinity (from 65,520 on) or into zero."""
    if space.vector_type == "vector":
        return
    with np.errstate(over="ignore", under="ignore"):
        half = embeddings.astype(np.float16)
    wrong = np.flatnonzero(~np.isfinite(half).all(axis=1) | ~half.any(axis=1))
    if len(wrong):
        raise UnusableEmbedding(f"embedding {wrong[0]} is too large or too small for vector_type 'halfvec'.")


def prepare(space: Space, works: Sequence[Work], stored: Hashes, embedder: Callable[[], Embedder]) -> Prepared:
    """Rows for every document that is to have chunks; documents that are gone get none."""
    prepared = Prepared()
    fresh: list[Document] = []
    for work in works:
        document = work.document
        if document is None:
            continue
        if stored.get(document.id) == {0: given_hash(document.text)}:
            prepared.rows[document.id] = [_row(document, whole(document), given_hash(document.text), None)]
        elif space.model is None:
            prepared.failed[document.id] = (
                "its text has changed and the collection takes given embeddings only: put it with its new embedding"
            )
        else:
            fresh.append(document)
    if fresh:
        _embed_all(space, fresh, stored, embedder(), prepared)
    return prepared


def _embed_all(space: Space, fresh: Sequence[Document], stored: Hashes, embedder: Embedder, prepared: Prepared) -> None:
    settings = chunking.Chunking(space.chunk_size, space.chunk_overlap)
    ids = (document.id for document in fresh)
    chunked = dict(zip(ids, chunking.chunk_many(fresh, embedder, settings), strict=True))
    _embed(space, fresh, chunked, stored, embedder, prepared)


def _embed(
    space: Space,
    documents: Sequence[Document],
    chunked: Mapping[str, list[Chunk]],
    stored: Hashes,
    embedder: Embedder,
    prepared: Prepared,
) -> None:
    """One call for everything that is new; when the model refuses it, halves, down to the documents at fault."""
    inputs: dict[bytes, str] = {}
    plans: dict[str, list[tuple[Chunk, bytes]]] = {}
    for document in documents:
        there = set(stored.get(document.id, {}).values())
        plan = [(chunk, chunk_hash(embedder.fingerprint, chunk.input)) for chunk in chunked[document.id]]
        plans[document.id] = plan
        inputs.update({hash: chunk.input for chunk, hash in plan if hash not in there})
    try:
        embeddings = _embeddings(space, list(inputs.values()), embedder)
    except (InvalidInput, UnusableEmbedding) as error:
        if len(documents) == 1:
            prepared.failed[documents[0].id] = str(error)
            return
        half = len(documents) // 2
        _embed(space, documents[:half], chunked, stored, embedder, prepared)
        _embed(space, documents[half:], chunked, stored, embedder, prepared)
        return
    made: dict[bytes, Embedding] = dict(zip(inputs, embeddings, strict=True))
    prepared.embedded += len(made)
    for document in documents:
        prepared.rows[document.id] = [_row(document, chunk, hash, made.get(hash)) for chunk, hash in plans[document.id]]


def _embeddings(space: Space, inputs: Sequence[str], embedder: Embedder) -> Sequence[Embedding] | Embedding:
    if not inputs:
        return ()
    embeddings = embedder.embed_documents(inputs)
    check_fits(space, embeddings)
    return embeddings


def _row(document: Document, chunk: Chunk, hash: bytes, embedding: Embedding | None) -> Row:
    return Row(document.id, chunk, hash, embedding, document.metadata)
