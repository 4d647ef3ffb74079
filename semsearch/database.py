"""The Python door: a database of collections, and what can be done with each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from semsearch import chunking, embedders, ingest, sources
from semsearch import fields as declared_fields
from semsearch.config import Settings
from semsearch.embedders import Embedder
from semsearch.errors import Conflict, InvalidInput, NotFound
from semsearch.ingest import OnProgress, Progress, Report
from semsearch.records import Document, Embedding, Hits
from semsearch.search import Searcher
from semsearch.store import connection as connections
from semsearch.store import documents, index_build, indexes, migrate, removal, spaces, tasks
from semsearch.store.indexes import Index
from semsearch.store.spaces import Space

DISTANCES = ("cosine", "l2", "inner_product", "l1")
HALFVEC_FROM = 768  # dimensions from which half precision saves more space than its recall is worth (none, measured)


@dataclass(frozen=True)
class Status:
    """A collection at a glance. `pending` documents wait to be embedded; `bytes` counts chunks and indexes."""

    name: str
    model: str | None
    dimensions: int
    distance: str
    vector_type: str
    documents: int
    chunks: int
    pending: int
    failed: int
    index: str | None
    bytes: int
    state: str
    reason: str | None


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
        self._address = connections.Address(settings)
        try:
            if self._address.embedded:
                migrate.upgrade(self._address)
            # Checked on a plain connection: one that registers vector types fails obscurely where there are none.
            plain = connections.engine(self._address, vectors=False)
            migrate.require_current(plain, self._address.display)
            plain.dispose()
        except BaseException:
            self._address.close()
            raise
        self._engine = connections.engine(self._address)
        self._search_engine = connections.search_engine(self._address)

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
        embedder = embedders.load(model, self.settings, dimensions=dimensions) if model else None
        values = _settings(embedder, dimensions, distance, vector_type, chunk_size, chunk_overlap, index)
        declared = declared_fields.validate(fields or {})
        with self._engine.begin() as connection:
            space = spaces.create(connection, name, declared, **values)
        return Collection(self, space)

    def collection(self, name: str) -> Collection:
        """The collection of that name. Raises NotFound, which suggests the near one."""
        with self._engine.connect() as connection:
            return Collection(self, spaces.find(connection, name))

    def collections(self) -> list[Status]:
        """Every collection's status, by name."""
        with self._engine.connect() as connection:
            every = spaces.every(connection)
        return [Collection(self, space).status() for space in every]

    def drop_collection(self, name: str) -> None:
        """Remove a collection with its documents, chunks and index. Raises NotFound."""
        with self._engine.begin() as connection:
            spaces.drop(connection, spaces.find(connection, name))

    def close(self) -> None:
        self._engine.dispose()
        self._search_engine.dispose()
        self._address.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class Collection:
    """A named set of documents that are searched together. Made by Database."""

    def __init__(self, database: Database, space: Space) -> None:
        self._database = database
        self._space = space
        self._searcher = Searcher(database._search_engine, space, self._embedder)

    @property
    def name(self) -> str:
        return self._space.name

    @property
    def model(self) -> str | None:
        return self._space.model

    @property
    def dimensions(self) -> int:
        return self._space.dimensions

    @property
    def distance(self) -> str:
        return self._space.distance

    @property
    def vector_type(self) -> str:
        return self._space.vector_type

    @property
    def fields(self) -> dict[str, declared_fields.FieldType]:
        return self._space.field_types

    @property
    def chunk_size(self) -> int:
        return self._space.chunk_size

    @property
    def chunk_overlap(self) -> int:
        return self._space.chunk_overlap

    def put(
        self,
        documents: Iterable[Document | Mapping[str, Any]],
        *,
        wait: bool = True,
        on_progress: OnProgress | None = None,
    ) -> Report:
        """Insert or replace documents; returns when they are searchable, with wait=False when workers have the task.

        Any iterable will do; it is read in batches. Raises InvalidInput at the first document that cannot be stored
        (those before it are), IngestError when some could not be embedded (the others are searchable).
        """
        report = ingest.put(self._road(on_progress), documents, wait=wait)
        self._after(report, wait, on_progress)
        ingest.raise_failures(report)
        return report

    def ingest(
        self,
        source: str | Path | sources.Source,
        *,
        options: sources.Options | None = None,
        wait: bool = True,
        prune: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Report:
        """Bring in a file, a folder or any source; `prune` deletes what it no longer has.

        Raises nothing for single documents: the report lists those that were broken or could not be embedded.
        """
        if isinstance(source, str | Path):
            source = sources.open(source, options or sources.Options())
        report = ingest.ingest(self._road(on_progress), source, wait=wait, prune=prune)
        self._after(report, wait, on_progress)
        return report

    def work(self, on_progress: OnProgress | None = None) -> Report:
        """Embed in this process whatever waits, until nothing does."""
        report = ingest.work(self._road(on_progress))
        self._after(report, True, on_progress)
        return report

    def search(
        self,
        query: str | None = None,
        *,
        embedding: Sequence[float] | Embedding | None = None,
        document_id: str | None = None,
        top_k: int = 10,
        filter: Mapping[str, Any] | None = None,
    ) -> Hits:
        """The chunks nearest to a text, an embedding or a document: `top_k` of them, or all that match the filter.

        Raises InvalidInput, FilterError, NotFound, ModelUnavailable.
        """
        return self._searcher.search(query, embedding=embedding, document_id=document_id, top_k=top_k, filter=filter)

    def get(self, id: str) -> Document:
        """The document as it was put. Raises NotFound."""
        with self._database._engine.connect() as connection:
            found = documents.get(connection, self._space, [id])
        if not found:
            raise NotFound(f"document {id!r} does not exist in collection {self.name!r}.")
        return found[0]

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents with their chunks, in one transaction; returns how many there were."""
        if isinstance(ids, str):
            raise InvalidInput(f"delete takes a list of ids; did you mean [{ids!r}]?")
        with self._database._engine.begin() as connection:
            return removal.remove(connection, self._space, list(ids))

    def delete_all(self) -> int:
        """Delete every document; the collection stays."""
        with self._database._engine.connect() as connection:
            return removal.remove_all(connection, self._space)

    def status(self) -> Status:
        """Counts, index and size, as they are now."""
        space = self._space
        with self._database._engine.connect() as connection:
            built = [index for index in indexes.every(connection, space) if index.valid]
            return Status(
                space.name,
                space.model,
                space.dimensions,
                space.distance,
                space.vector_type,
                documents=documents.count(connection, space),
                chunks=spaces.count(connection, space),
                pending=tasks.pending(connection, space),
                failed=len(tasks.failed(connection, space)),
                index=built[0].kind if built else None,
                bytes=spaces.size(connection, space),
                state=space.state,
                reason=space.reason,
            )

    def indexes(self) -> list[Index]:
        """The ANN indexes, also invalid ones that an interrupted build left."""
        with self._database._engine.connect() as connection:
            return indexes.every(connection, self._space)

    def create_index(
        self,
        kind: str = "hnsw",
        *,
        m: int = 16,
        ef_construction: int = 64,
        lists: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        """Build the ANN index now. Without this it is built by itself after a load that makes it worthwhile.

        Raises InvalidInput, Conflict when there is one.
        """
        options = index_build.Options(kind, m, ef_construction, lists)
        tell = (lambda done, total: on_progress(Progress("index", done, total))) if on_progress else None
        index_build.build(self._database._address, self._database._engine, self._space, options, tell)
        self._searcher.forget()

    def drop_index(self) -> list[str]:
        """Drop the ANN index; searches are exact from then on. Raises NotFound without one."""
        dropped = index_build.drop(self._database._engine, self._database._address, self._space)
        self._searcher.forget()
        return dropped

    def _embedder(self) -> Embedder:
        space = self._space
        if space.model is None:
            raise InvalidInput(f"collection {space.name!r} has no model.")
        embedder = embedders.load(space.model, self._database.settings, dimensions=space.asked_dimensions)
        if embedder.fingerprint != space.fingerprint:
            raise Conflict(
                f"model {space.model!r} is not what it was when collection {space.name!r} was created: its weights or "
                "settings have changed, and new embeddings would not be comparable with the stored ones. Bring the "
                "old model back, or create a new collection."
            )
        return embedder

    def _road(self, on_progress: OnProgress | None) -> ingest.Road:
        database = self._database
        return ingest.Road(database._address, database._engine, self._space, self._embedder, on_progress)

    def _after(self, report: Report, wait: bool, on_progress: OnProgress | None) -> None:
        """Statistics after a load, and the index once there is enough to need it."""
        with self._database._engine.connect() as connection:
            due = wait and report.chunks > 0 and indexes.due(connection, self._space)
        if due:
            kind = self._space.index_kind
            self.create_index("hnsw" if kind == "auto" else kind, on_progress=on_progress)
        elif report.chunks >= 1000:
            with self._database._engine.begin() as connection:
                indexes.analyze(connection, self._space)


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
    if not isinstance(size, int) or not 1 <= size <= 16000:
        raise InvalidInput(f"dimensions is a whole number from 1 to 16000 (pgvector's limit); got {size!r}.")
    vector_type = vector_type or ("vector" if size < HALFVEC_FROM else "halfvec")
    _one_of("vector_type", vector_type, ("vector", "halfvec"))
    if index == "ivfflat" and distance == "l1":
        raise InvalidInput("ivfflat has no operator class for l1: use hnsw.")
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
    usual = chunking.default(embedder)
    size = usual.size if size is None else size
    settled = chunking.Chunking(size, size // 8 if overlap is None else overlap)
    chunking.check(settled, embedder)
    return settled
