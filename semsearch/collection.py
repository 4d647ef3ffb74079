"""One collection: what can be put in, asked and changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semsearch import cleaning, embedders, ingest, sources
from semsearch import fields as declared_fields
from semsearch.config import Settings
from semsearch.embedders import Embedder
from semsearch.errors import Conflict, InvalidInput, NotFound
from semsearch.records import Document, Embedding, Hits
from semsearch.road import OnProgress, Progress, Report, Road
from semsearch.search import Searcher
from semsearch.store import documents, index_build, indexes, removal, spaces, tasks
from semsearch.store.complaints import translated
from semsearch.store.connection import Pools, driver, in_transaction
from semsearch.store.indexes import Index
from semsearch.store.spaces import Space


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


class Collection:
    """A named set of documents that are searched together. Made by `Database`."""

    def __init__(self, pools: Pools, settings: Settings, space: Space) -> None:
        self._pools = pools
        self._settings = settings
        self._space = space
        self._searcher = Searcher(pools.searching, space, self._embedder)

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

    @translated
    def put(
        self,
        documents: Iterable[Document | Mapping[str, Any]],
        *,
        wait: bool = True,
        on_progress: OnProgress | None = None,
    ) -> Report:
        """Insert or replace documents; returns when they are searchable, with wait=False when workers have the task.

        Any iterable will do; it is read in batches. Raises InvalidInput at the first document that cannot be stored
        (nothing of its batch is), IngestError when some could not be embedded (the others are searchable).
        """
        if isinstance(documents, Document | Mapping):
            raise InvalidInput("put takes a list of documents; put this one in brackets.")
        report = ingest.put(self._road(on_progress), documents, wait=wait)
        self._after(report, wait, on_progress)
        ingest.raise_failures(report)
        return report

    @translated
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

    @translated
    def work(self, on_progress: OnProgress | None = None) -> Report:
        """Embed in this process whatever waits, until nothing does."""
        report = ingest.catch_up(self._road(on_progress))
        self._after(report, True, on_progress)
        return report

    @translated
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

    @translated
    def get(self, id: str) -> Document:
        """The document as it was put. Raises NotFound."""
        with self._pools.writing.connect() as connection:
            found = documents.get(connection, self._space, [id]) if cleaning.is_id(id) else []
        if not found:
            raise NotFound(f"document {id!r:.80} does not exist in collection {self.name!r}.")
        return found[0]

    @translated
    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents with their chunks, in one transaction; returns how many there were."""
        if isinstance(ids, str):
            raise InvalidInput(f"delete takes a list of ids; did you mean [{ids!r}]?")
        possible = [id for id in ids if cleaning.is_id(id)]
        return in_transaction(self._pools.writing, lambda connection: removal.remove(connection, self._space, possible))

    @translated
    def delete_all(self) -> int:
        """Delete every document; the collection stays."""
        with self._pools.writing.connect() as connection:
            return removal.remove_all(connection, self._space)

    @translated
    def status(self) -> Status:
        """Counts, index and size, as they are now."""
        space = self._space
        with self._pools.writing.connect() as connection:
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

    @translated
    def indexes(self) -> list[Index]:
        """The ANN indexes, also invalid ones that an interrupted build left."""
        with self._pools.writing.connect() as connection:
            return indexes.every(connection, self._space)

    @translated
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
        index_build.build(self._pools.address, self._pools.writing, self._space, options, tell)
        self._searcher.forget()

    @translated
    def drop_index(self) -> list[str]:
        """Drop the ANN index; searches are exact from then on. Raises NotFound without one."""
        dropped = index_build.drop(self._pools.writing, self._pools.address, self._space)
        self._searcher.forget()
        return dropped

    def _embedder(self) -> Embedder:
        space = self._space
        if space.model is None:
            raise InvalidInput(f"collection {space.name!r} has no model.")
        embedder = embedders.load(space.model, self._settings, dimensions=space.asked_dimensions)
        if embedder.fingerprint != space.fingerprint:
            raise Conflict(
                f"model {space.model!r} is not what it was when collection {space.name!r} was created: its weights or "
                "settings have changed, and new embeddings would not be comparable with the stored ones. Bring the "
                "old model back, or create a new collection."
            )
        return embedder

    def _road(self, on_progress: OnProgress | None) -> Road:
        pools = self._pools
        return Road(pools.address, pools.writing, self._space, self._embedder, on_progress)

    def _after(self, report: Report, wait: bool, on_progress: OnProgress | None) -> None:
        """Statistics after a load, and the index once there is enough to need it."""
        with self._pools.writing.connect() as connection:
            due = wait and report.chunks > 0 and indexes.due(connection, self._space)
        if due:
            kind = self._space.index_kind
            with suppress(Conflict):  # another process has finished a load, too, and is just building it
                self.create_index("hnsw" if kind == "auto" else kind, on_progress=on_progress)
        elif report.chunks >= 1000:
            with self._pools.writing.begin() as connection:
                indexes.analyze(driver(connection), self._space)
