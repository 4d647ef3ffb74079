"""The short way in, for documents that bring their own embeddings: one transaction a batch, no task, no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from sqlalchemy import Connection, Engine, select, text

from semsearch.embedders import checks
from semsearch.embedding import check_fits, given_hash
from semsearch.errors import InvalidInput, UnusableEmbedding
from semsearch.records import Document, Embedding
from semsearch.road import Guard, unguarded
from semsearch.store import binary_copy, chunks, documents, nearest, tasks
from semsearch.store.spaces import Space, table
from semsearch.store.transactions import in_transaction

Vector = Sequence[float] | Embedding


def put(
    engine: Engine, space: Space, batch: Sequence[Document], source: str | None, guard: Guard = unguarded
) -> documents.Put:
    """Store documents with their embeddings; they are searchable when it returns. Raises InvalidInput.

    They are taken to be new, which costs nothing to find out: COPY goes into the documents first, and stops there at
    the first that is not.
    """
    embeddings = _embeddings(space, batch)

    def guarded(store: Callable[..., documents.Put]) -> Callable[[Connection], documents.Put]:
        return lambda connection: guard(connection, lambda: store(connection, space, batch, source, embeddings))

    try:
        return in_transaction(engine, guarded(_insert))
    except chunks.CONFLICTS:
        return in_transaction(engine, guarded(_replace))


def read(connection: Connection, space: Space, document: Document) -> Embedding | None:
    """The embedding that came with a document, for as long as the text stays what it was."""
    chunk = table(space).c
    mine = (chunk.document_id == document.id) & (chunk.ordinal == 0) & (chunk.hash == given_hash(document.text))
    found = connection.execute(select(chunk.embedding).where(mine)).scalar()
    return None if found is None else nearest.array(found)


def is_stored(space: Space, embedding: Vector, stored: Vector | None) -> bool:
    """Whether that is what an embedding becomes when it is stored, perhaps in half precision."""
    rounded = np.asarray(embedding, dtype=np.float16 if space.vector_type == "halfvec" else np.float32)
    return stored is not None and np.array_equal(rounded, stored)


def _insert(
    connection: Connection, space: Space, batch: Sequence[Document], source: str | None, embeddings: Embedding
) -> documents.Put:
    rows: list[list[bytes]] = []

    def encoded() -> Iterator[list[bytes]]:
        """Encoded while the server stores those before it, and kept for the chunks."""
        for document in batch:
            rows.append(documents.encode(document, source))
            yield rows[-1]

    connection.execute(text("SET LOCAL semsearch.bulk = 'on'"))
    documents.insert_new(connection, space, encoded())
    _fence_workers(connection, space, batch)
    chunks.insert_new(connection, space, _chunks(space, batch, rows, embeddings))
    return documents.Put(len(batch), 0)


def _replace(
    connection: Connection, space: Space, batch: Sequence[Document], source: str | None, embeddings: Embedding
) -> documents.Put:
    lengths = {document.id: 1 for document in batch}
    rows = [documents.encode(document, source) for document in batch]
    connection.execute(text("SET LOCAL semsearch.bulk = 'on'"))
    done = documents.put(connection, space, rows)
    _fence_workers(connection, space, batch)
    written = chunks.replace(connection, space, _chunks(space, batch, rows, embeddings), lengths)
    return documents.Put(done.added, max(written - done.added, done.changed))


def _fence_workers(connection: Connection, space: Space, batch: Sequence[Document]) -> None:
    """A worker that has read an older text must find its task gone, or it would store that text's embedding.

    Also for new documents: one of the same id may have been deleted just now. Documents, tasks, chunks: whoever locks
    them in this order cannot deadlock.
    """
    if tasks.any_for(connection, space):
        ids = [document.id for document in batch]
        tasks.discard(connection, space, ids)
        tasks.forgive(connection, space, ids)


def _chunks(
    space: Space, batch: Sequence[Document], rows: Sequence[list[bytes]], embeddings: Embedding
) -> Iterator[list[bytes]]:
    """One chunk a document, encoded while the server stores those before it; what both share is encoded once."""
    zero = binary_copy.integer(0)
    vectors = binary_copy.vectors(embeddings, space.vector_type)
    for document, (id, _, body, _, metadata, _), vector in zip(batch, rows, vectors, strict=True):
        end, hash = binary_copy.integer(len(document.text)), binary_copy.data(given_hash(document.text))
        yield [id, zero, zero, end, hash, binary_copy.text(document.title or ""), vector, body, metadata]


def _embeddings(space: Space, batch: Sequence[Document]) -> Embedding:
    try:
        with np.errstate(over="ignore"):  # becomes infinite, which `check` refuses
            array = np.asarray([document.embedding for document in batch], dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(_misfit(space, batch)) from None
    if array.shape != (len(batch), space.dimensions):
        raise InvalidInput(_misfit(space, batch))
    try:
        array = checks.check(array, len(batch), space.dimensions)
        check_fits(space, array)
        return array
    except UnusableEmbedding as error:
        raise InvalidInput(f"given embeddings of the documents from {batch[0].id!r} on: {error}") from error


def _misfit(space: Space, batch: Sequence[Document]) -> str:
    """Names the first document whose embedding is not a vector of the right length."""
    for document in batch:
        try:
            shape = np.asarray(document.embedding, dtype=np.float64).shape
        except (TypeError, ValueError, OverflowError):
            return f"document {document.id!r} brings an embedding that is not a sequence of numbers."
        if shape != (space.dimensions,):
            break
    return (
        f"document {document.id!r} brings an embedding of shape {shape}; collection {space.name!r} holds embeddings of "
        f"{space.dimensions} dimensions."
    )
