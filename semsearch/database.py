"""The Python door: a database and its collections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from semsearch import chunking, embedders, ingest
from semsearch import fields as declared_fields
from semsearch.administration import Administration
from semsearch.collection import Collection
from semsearch.config import Settings
from semsearch.embedders import Embedder
from semsearch.errors import Conflict, InvalidInput
from semsearch.estimate import Estimate, planned
from semsearch.road import OnProgress
from semsearch.store import (
    attachments,
    creation,
    embedding_cache,
    index_advice,
    index_statements,
    indexes,
    migrate,
    server_memory,
    spaces,
    tenants,
    usage,
)
from semsearch.store.attachments import Wish
from semsearch.store.complaints import translated
from semsearch.store.connection import Address, Pools
from semsearch.store.embedding_cache import Stored
from semsearch.store.index_advice import Advice, Data
from semsearch.store.spaces import Space
from semsearch.store.status import Status

DISTANCES = ("cosine", "l2", "inner_product", "l1")
EXISTS = "collection {!r} exists already: attach it without settings of its own."
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


class Database(Administration):
    """A PostgreSQL database with semsearch's schema. Close it, or use it in a `with` block."""

    @translated
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
        quantization: str | None = None,
        index_dimensions: int | None = None,
        cache: bool = False,
        token_budget: int | None = None,
        language: str | None = "english",
        tenant: str | None = None,
    ) -> Collection:
        """Make a collection. Without a model it takes given embeddings only, of so many dimensions.

        With `cache` embeddings are kept by text beside the collection, so that to embed the same text again costs
        nothing. `token_budget` is how many tokens a day (UTC) may be sent to the model; the rest waits.

        `language` is the text search configuration for words ("simple" for any language; None: no full text, which
        saves its room). `tenant` names the declared text field whose value every search must then give.

        `quantization` ("halfvec" or "binary") and `index_dimensions` (the first so many, for models trained to bear
        that) make the index smaller; hits are then ordered by their stored embeddings. Left out, an index is exactly
        of the embeddings, as far as pgvector's limits allow.

        The model is loaded and asked once here, so that a wrong name, key or `dimensions` shows before anything is
        paid for. Raises InvalidInput, Conflict, ModelUnavailable.
        """
        declared = declared_fields.validate(fields or {})
        tenants.check_declared(tenant, declared)
        with self._pools.writing.connect() as connection:
            creation.check_name(connection, name)
        embedder = embedders.load(model, self.settings, dimensions=dimensions) if model else None
        values = _settings(embedder, dimensions, distance, vector_type, chunk_size, chunk_overlap, index)
        wished = {"quantization": quantization, "dimensions": index_dimensions}
        values["index_settings"] = {name: value for name, value in wished.items() if value is not None}
        if model is None and (cache or token_budget is not None):
            raise InvalidInput("cache and token_budget are for collections with a model.")
        usage.check_budget(token_budget)
        with self._pools.writing.begin() as connection:
            space = creation.create(
                connection,
                name,
                declared,
                cached=cache,
                token_budget=token_budget,
                language=language,
                tenant=tenant,
                **values,
            )
            index_statements.settled(space, index_statements.wished(space))
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
    def names(self) -> list[str]:
        """The names of all collections, in order."""
        with self._pools.writing.connect() as connection:
            return [space.name for space in spaces.every(connection)]

    @translated
    def drop_collection(self, name: str) -> None:
        """Remove a collection with its documents, chunks and index. Raises NotFound."""
        with self._pools.writing.begin() as connection:
            creation.drop(connection, spaces.find(connection, name))

    @translated
    def attach(
        self,
        name: str,
        table: str,
        *,
        text: str | Sequence[str],
        id: str | Sequence[str] | None = None,
        title: str | None = None,
        metadata: str | Sequence[str] = (),
        wait: bool = False,
        on_progress: OnProgress | None = None,
        **settings: Any,
    ) -> Collection:
        """Make the rows of a table the documents of a collection, now and from now on, by triggers on it.

        `text` names the columns to embed, joined by a blank line, `id` those of a unique key (by default the primary
        key, in its order). A collection that does not exist is made first, with the `settings` of `create_collection`.
        Returns at once; workers embed the rows, or this process does with `wait`. Attached again, with other columns
        or to bring back triggers that were lost, only what differs is embedded.

        Raises NotFound, InvalidInput, Conflict: also when a transaction keeps the table locked for ten seconds.
        """
        wish = Wish(table, _names(text), None if id is None else _names(id), title, _names(metadata))
        with self._pools.writing.connect() as connection:
            attachments.check(connection, wish)
            is_new = not creation.is_there(connection, name)
        if settings and not is_new:
            raise Conflict(EXISTS.format(name))
        if is_new:
            self.create_collection(name, **settings)
        try:
            with self._pools.writing.begin() as connection:
                tenants.check_attached(spaces.find(connection, name), wish.metadata)
                attachments.attach(connection, name, wish)
        except BaseException:
            if is_new:
                self.drop_collection(name)
            raise
        collection = self.collection(name)
        if wait:
            ingest.raise_failures(collection.work(on_progress))
        return collection

    @translated
    def estimate_attach(
        self,
        name: str,
        table: str,
        *,
        text: str | Sequence[str],
        id: str | Sequence[str] | None = None,
        title: str | None = None,
        metadata: str | Sequence[str] = (),
        on_progress: OnProgress | None = None,
        **settings: Any,
    ) -> Estimate:
        """What `attach` with the same arguments would cost; nothing is written, nothing sent. It raises the same."""
        wish = Wish(table, _names(text), None if id is None else _names(id), title, _names(metadata))
        with self._pools.writing.connect() as connection:
            attachment = attachments.check(connection, wish)
            there = spaces.find(connection, name) if creation.is_there(connection, name) else None
        if there and settings:
            raise Conflict(EXISTS.format(name))
        space = replace(there, attachment=attachment) if there else planned(name, attachment, self.settings, **settings)
        return self._open(space).estimator(on_progress).table()

    @translated
    def detach(self, name: str) -> None:
        """Take the triggers off the table, and its chunks out of the collection, which stays, empty.

        Raises NotFound, InvalidInput when it is not attached, Conflict when the table stays locked.
        """
        with self._pools.writing.begin() as connection:
            attachments.detach(connection, spaces.find(connection, name).name)

    @translated
    def advise_index(
        self, rows: int, dimensions: int, *, distance: str = "cosine", vector_type: str | None = None
    ) -> Advice:
        """Which index so many embeddings would deserve on this server, and what it would take. Raises InvalidInput."""
        _one_of("distance", distance, DISTANCES)
        data = Data(rows, dimensions, distance, vector_type or ("vector" if dimensions < HALFVEC_FROM else "halfvec"))
        with self._pools.writing.connect() as connection:
            return index_advice.advise(data, server_memory.look(connection))

    @translated
    def cache(self) -> list[Stored]:
        """What the cache of document embeddings holds, by model."""
        with self._pools.writing.connect() as connection:
            return embedding_cache.every(connection)

    @translated
    def clear_cache(self, older_than: timedelta = timedelta()) -> int:
        """Forget cached embeddings that are at least so old; returns how many. What is stored stays searchable."""
        with self._pools.writing.begin() as connection:
            return embedding_cache.clear(connection, older_than)

    @property
    def pools(self) -> Pools:
        """Its connections, for the worker, which stands on this door."""
        return self._pools

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
        raise InvalidInput(
            f"dimensions is a whole number from 1 to 16000 (pgvector's limit); got {declared_fields.describe(size)}."
        )
    vector_type = vector_type or ("vector" if size < HALFVEC_FROM else "halfvec")
    _one_of("vector_type", vector_type, ("vector", "halfvec"))
    if index in ("hnsw", "ivfflat"):
        indexes.check(index, size, vector_type, distance)
    cut = chunking.settle(embedder, chunk_size, chunk_overlap) if embedder else chunking.Chunking(0, 0)
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
        "probe": embedder.probe() if embedder else None,
    }


def _names(given: str | Sequence[str]) -> Sequence[str]:
    return [given] if isinstance(given, str) else given


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InvalidInput(f"{name} {value!r} is not one of {', '.join(allowed)}.")
