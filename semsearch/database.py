"""The Python door: a database and its collections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from semsearch import chunking, embedders
from semsearch import fields as declared_fields
from semsearch.collection import Collection, Status
from semsearch.config import Settings
from semsearch.embedders import Embedder
from semsearch.errors import InvalidInput
from semsearch.store import indexes, migrate, spaces
from semsearch.store.complaints import translated
from semsearch.store.connection import Address, Pools
from semsearch.store.spaces import Space

DISTANCES = ("cosine", "l2", "inner_product", "l1")
HALFVEC_FROM = 768  # dimensions; published sweeps show the same recall at half the size (pgvector issue 326)


def connect(url: str | None = None, *, settings: Settings | None = None) -> Database:
    """Open the database: `url`, else SEMSEARCH_DATABASE_URL, else PG*, else the embedded server, which is started.

    Raises DatabaseUnavailable, SchemaMismatch (run `semsearch migrate`), InvalidInput. The embedded database is
    migrated by itself.
    """
    settings = settings or Settings()
    if url is not None:
        settings = Settings(**{**settings.model_dump(), "database_url": url})
    return Database(settings)


class Database:
    """A PostgreSQL database with semsearch's schema. Close it, or use it in a `with` block."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        address = Address(settings)
        try:
            if address.embedded and not migrate.is_current(address):
                migrate.upgrade(address)
            migrate.require_current(address)
        except BaseException:
            address.close()
            raise
        self._pools = Pools(address)

    @translated
    def create_collection(
        self,
        name: str,
        *,
        model: str | None = None,
        dimensions: int | None = None,
        distance: str = "cosine",
        vector_type: str | None = None,
        fields: Mapping[str, str] | None = None,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
        index: str = "auto",
    ) -> Collection:
        """Make a collection. Without a model it takes given embeddings only, of so many dimensions.

        The model is loaded and asked once here, so that a wrong name, key or `dimensions` shows before anything is
        paid for. Raises InvalidInput, Conflict, ModelUnavailable.
        """
        declared = declared_fields.validate(fields or {})
        with self._pools.writing.connect() as connection:
            spaces.check_name(connection, name)
        embedder = embedders.load(model, self.settings, dimensions=dimensions) if model else None
        values = _settings(embedder, dimensions, distance, vector_type, chunk_size, chunk_overlap, index)
        with self._pools.writing.begin() as connection:
            space = spaces.create(connection, name, declared, **values)
        return self._open(space)

    @translated
    def collection(self, name: str) -> Collection:
        """The collection of that name. Raises NotFound, which suggests the near one."""
        with self._pools.writing.connect() as connection:
            return self._open(spaces.find(connection, name))

    @translated
    def collections(self) -> list[Status]:
        """Every collection's status, by name."""
        with self._pools.writing.connect() as connection:
            every = spaces.every(connection)
        return [self._open(space).status() for space in every]

    @translated
    def pending(self) -> list[str]:
        """The names of the collections in which documents wait to be embedded."""
        with self._pools.writing.connect() as connection:
            return spaces.with_tasks(connection)

    @translated
    def drop_collection(self, name: str) -> None:
        """Remove a collection with its documents, chunks and index. Raises NotFound."""
        with self._pools.writing.begin() as connection:
            spaces.drop(connection, spaces.find(connection, name))

    def _open(self, space: Space) -> Collection:
        return Collection(self._pools, self.settings, space)

    def close(self) -> None:
        self._pools.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _settings(
    embedder: Embedder | None,
    dimensions: int | None,
    distance: str,
    vector_type: str | None,
    chunk_size: int | None,
    chunk_overlap: int | None,
    index: str,
) -> dict[str, Any]:
    """The row of a space, every default filled in. Raises InvalidInput."""
    _one_of("distance", distance, DISTANCES)
    _one_of("index", index, ("auto", "hnsw", "ivfflat", "none"))
    if embedder is None and dimensions is None:
        raise InvalidInput("a collection needs a model, or dimensions for embeddings that you bring yourself.")
    size = embedder.dimensions if embedder else dimensions
    if type(size) is not int or not 1 <= size <= 16000:
        raise InvalidInput(f"dimensions is a whole number from 1 to 16000 (pgvector's limit); got {size!r}.")
    vector_type = vector_type or ("vector" if size < HALFVEC_FROM else "halfvec")
    _one_of("vector_type", vector_type, ("vector", "halfvec"))
    if index in ("hnsw", "ivfflat"):
        indexes.check(index, size, vector_type, distance)
    cut = _chunking(embedder, chunk_size, chunk_overlap)
    return {
        "model": embedder.model if embedder else None,
        "dimensions": size,
        "shortened": embedder is not None and dimensions is not None,
        "distance": distance,
        "vector_type": vector_type,
        "chunk_size": cut.size,
        "chunk_overlap": cut.overlap,
        "index_kind": index,
        "fingerprint": embedder.fingerprint if embedder else None,
    }


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InvalidInput(f"{name} {value!r} is not one of {', '.join(allowed)}.")


def _chunking(embedder: Embedder | None, size: int | None, overlap: int | None) -> chunking.Chunking:
    if embedder is None:
        return chunking.Chunking(0, 0)
    for name, value in (("chunk_size", size), ("chunk_overlap", overlap)):
        if value is not None and type(value) is not int:
            raise InvalidInput(f"{name} is a whole number; got {value!r}.")
    usual = chunking.default(embedder)
    size = usual.size if size is None else size
    settled = chunking.Chunking(size, size // 8 if overlap is None else overlap)
    chunking.check(settled, embedder)
    return settled
