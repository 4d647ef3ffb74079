"""From claimed documents to rows of chunks: chunk, keep what is unchanged, embed the rest once each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
class Plan:
    """What is to be stored for some documents: `rows` as they are, `fresh` rows once their `inputs` are embedded."""

    space: Space
    rows: dict[str, list[Row]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    fresh: dict[str, list[Row]] = field(default_factory=dict)
    inputs: dict[str, dict[bytes, str]] = field(default_factory=dict)
    embedder: Embedder | None = None


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


def plan(space: Space, works: Sequence[Work], stored: Hashes, embedder: Callable[[], Embedder]) -> Plan:
    """Chunks of every document that is to have some, and which of them need the model; calls it not yet."""
    made = Plan(space)
    fresh: list[Document] = []
    for document in (work.document for work in works if work.document):
        if stored.get(document.id) == {0: given_hash(document.text)}:
            made.rows[document.id] = [_row(document, whole(document), given_hash(document.text), None)]
        elif space.model is None:
            made.failed[document.id] = (
                "its text has changed and the collection takes given embeddings only: put it with its new embedding"
            )
        else:
            fresh.append(document)
    if fresh:
        made.embedder = embedder()
        _plan_fresh(made, made.embedder, fresh, stored)
    return made


def _plan_fresh(made: Plan, embedder: Embedder, fresh: Sequence[Document], stored: Hashes) -> None:
    settings = chunking.Chunking(made.space.chunk_size, made.space.chunk_overlap)
    for document, found in zip(fresh, chunking.chunk_many(fresh, embedder, settings), strict=True):
        there = set(stored.get(document.id, {}).values())
        hashed = [(chunk, chunk_hash(embedder.fingerprint, chunk.input)) for chunk in found]
        made.fresh[document.id] = [_row(document, chunk, hash, None) for chunk, hash in hashed]
        made.inputs[document.id] = {hash: chunk.input for chunk, hash in hashed if hash not in there}


def embed(plan: Plan) -> Prepared:
    """Call the model for everything that is new, each text once."""
    prepared = Prepared(dict(plan.rows), dict(plan.failed))
    if plan.embedder:
        _embed(plan, plan.embedder, list(plan.fresh), prepared)
    return prepared


def _embed(plan: Plan, embedder: Embedder, ids: Sequence[str], prepared: Prepared) -> None:
    """One call; when the model refuses it, halves, down to the documents at fault."""
    inputs = {hash: text for id in ids for hash, text in plan.inputs[id].items()}
    try:
        embeddings = _embeddings(plan.space, list(inputs.values()), embedder)
    except (InvalidInput, UnusableEmbedding) as error:
        if len(ids) == 1:
            prepared.failed[ids[0]] = str(error)
            return
        half = len(ids) // 2
        _embed(plan, embedder, ids[:half], prepared)
        _embed(plan, embedder, ids[half:], prepared)
        return
    made: dict[bytes, Embedding] = dict(zip(inputs, embeddings, strict=True))
    prepared.embedded += len(made)
    for id in ids:
        prepared.rows[id] = [replace(row, embedding=made.get(row.hash)) for row in plan.fresh[id]]


def _embeddings(space: Space, inputs: Sequence[str], embedder: Embedder) -> Sequence[Embedding] | Embedding:
    if not inputs:
        return ()
    embeddings = embedder.embed_documents(inputs)
    check_fits(space, embeddings)
    return embeddings


def _row(document: Document, chunk: Chunk, hash: bytes, embedding: Embedding | None) -> Row:
    return Row(document.id, chunk, hash, embedding, document.metadata)
