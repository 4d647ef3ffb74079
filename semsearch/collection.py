"""One collection: what can be put in, asked and changed."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from semsearch import cleaning, embedders, ingest, sources, verify
from semsearch import fields as declared_fields
from semsearch.config import Settings
from semsearch.embedders import Embedder, Tokenizer, checks
from semsearch.errors import Conflict, InvalidInput, NotFound
from semsearch.estimate import Estimate, Estimator
from semsearch.records import Document, Embedding, Hits
from semsearch.road import OnProgress, Progress, Report, Road
from semsearch.search import Searcher
from semsearch.store import blocking, failures, guards, index_build, indexes, removal, source, spaces, status, usage
from semsearch.store.complaints import translated
from semsearch.store.connection import Pools
from semsearch.store.failures import Choice, Failure, Since
from semsearch.store.indexes import Index
from semsearch.store.spaces import Space
from semsearch.store.status import Status
from semsearch.store.transactions import in_transaction
from semsearch.verify import Verification


class Collection:
    """A named set of documents that are searched together. Made by `Database`."""

    def __init__(self, pools: Pools, settings: Settings, space: Space) -> None:
        self._pools = pools
        self._settings = settings
        self._space = space
        self._searcher = Searcher(pools.searching, space, self._embedder)

    @property
    def space(self) -> Space:
        """What the store knows it by."""
        return self._space

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
        self._require_own_documents()
        report = ingest.put(self.road(on_progress), documents, wait=wait)
        self.tend(report.chunks, build=wait, on_progress=on_progress)
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
        self._require_own_documents()
        if isinstance(source, str | Path):
            source = sources.open(source, options or sources.Options())
        report = ingest.ingest(self.road(on_progress), source, wait=wait, prune=prune)
        self.tend(report.chunks, build=wait, on_progress=on_progress)
        return report

    @translated
    def estimate(
        self,
        source: str | Path | sources.Source,
        *,
        options: sources.Options | None = None,
        on_progress: OnProgress | None = None,
    ) -> Estimate:
        """What `ingest` of the same would cost: chunks, tokens, price, time. Nothing is written, nothing sent."""
        if isinstance(source, str | Path):
            source = sources.open(source, options or sources.Options())
        return self.estimator(on_progress).source(source, source.name, source.total)

    @translated
    def work(self, on_progress: OnProgress | None = None) -> Report:
        """Embed in this process whatever waits, until nothing does."""
        report = ingest.catch_up(self.road(on_progress))
        self.tend(report.chunks, build=True, on_progress=on_progress)
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
        """The document as it was put, or as the attached table has it now. Raises NotFound, InvalidInput."""
        with self._pools.writing.connect() as connection:
            found = source.read(connection, self._space, [id])[0] if cleaning.is_id(id) else None
        if found is None or found.document is None:
            raise NotFound(f"document {id!r:.80} does not exist in collection {self.name!r}.")
        if found.refusal:
            raise InvalidInput(f"document {id!r:.80} cannot be read: {found.refusal}.")
        # The user's own now, to be changed and put again.
        return replace(found.document, metadata=dict(found.document.metadata))

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
        self._require_own_documents()
        with self._pools.writing.connect() as connection:
            return removal.remove_all(connection, self._space)

    @translated
    def status(self) -> Status:
        """Counts, index and size, as they are now."""
        with self._pools.writing.connect() as connection:
            return status.read(connection, self._space)

    @translated
    def verify(
        self, *, repair: bool = False, force: bool = False, on_progress: OnProgress | None = None
    ) -> Verification:
        """Compare source and chunks in both directions, while both are in use; no model is called.

        `repair` has workers bring up to date what differs, and rebuilds invalid indexes; it removes more than a fifth
        of the documents only with `force`. Raises Conflict when the model is not the one the chunks were made with.
        """
        tokenizer = functools.cache(self._tokenizer)
        return verify.verify(self.road(on_progress), tokenizer, repair=repair, force=force)

    @translated
    def failures(
        self,
        document_id: str | None = None,
        *,
        reason: str | None = None,
        since: Since = None,
        limit: int | None = None,
    ) -> Sequence[Failure]:
        """Documents that were given up, the latest first.

        Only that document, those whose reason contains a text, those given up since a moment or within a time.
        """
        with self._pools.writing.connect() as connection:
            return failures.some(connection, self._space, Choice(document_id, reason, since), limit)

    @translated
    def retry(self, document_id: str | None = None, *, reason: str | None = None, since: Since = None) -> int:
        """Have documents that were given up tried again, chosen as in `failures`; returns how many.

        Their failures stay until a worker has finished them.
        """
        choice = Choice(document_id, reason, since)
        with self._pools.writing.begin() as connection:
            return failures.act(connection, self._space, "retry", choice)

    @translated
    def purge_failures(self, document_id: str | None = None, *, reason: str | None = None, since: Since = None) -> int:
        """Forget failures, chosen as in `failures`; returns how many. The documents stay, without chunks."""
        choice = Choice(document_id, reason, since)
        with self._pools.writing.begin() as connection:
            return failures.act(connection, self._space, "purge_failures", choice)

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

    @translated
    def set_token_budget(self, tokens: int | None) -> None:
        """Send at most so many tokens a day (UTC) to the model, from now on; None lifts the limit.

        What does not fit waits, and goes on at midnight or when this is called again. Raises InvalidInput.
        """
        if self.model is None:
            raise InvalidInput(f"collection {self.name!r} has no model, so it uses no tokens.")
        usage.check_budget(tokens)
        with self._pools.writing.begin() as connection:
            spaces.set_token_budget(connection, self._space, tokens)
            blocking.unblock(connection, [self.name])  # what else may keep it is found again

    def _require_own_documents(self) -> None:
        if self._space.attachment is not None:
            raise guards.attached_elsewhere(self.name, self._space.attachment)

    def estimator(self, on_progress: OnProgress | None) -> Estimator:
        """Tells what work on this collection would cost."""
        pools, tokenizer = self._pools, functools.cache(self._tokenizer)
        return Estimator(pools.writing, self._space, tokenizer, self._embedder, on_progress)

    def _tokenizer(self) -> Tokenizer:
        model = self._space.model or ""
        return self._embedder() if embedders.is_local(model) else embedders.tokenizer(model, self._settings)

    def _embedder(self) -> Embedder:
        space = self._space
        if space.model is None:
            raise InvalidInput(f"collection {space.name!r} has no model.")
        embedder = embedders.load(space.model, self._settings, dimensions=space.asked_dimensions)
        if embedder.fingerprint != space.fingerprint or not self._answers_as_before(embedder):
            raise Conflict(
                f"model {space.model!r} is not what it was when collection {space.name!r} was created: its weights or "
                "settings have changed, and new embeddings would not be comparable with the stored ones. Bring the "
                "old model back, or create a new collection."
            )
        return embedder

    def _answers_as_before(self, embedder: Embedder) -> bool:
        """Whether the known text still becomes what it was; a difference is believed only when asked anew."""
        probe = embedder.probe()
        if probe is None:
            return True
        with self._pools.writing.connect() as connection:
            stored = spaces.probe(connection, self._space)
        if stored is None or checks.same(probe, stored):
            return True
        again = embedder.probe(fresh=True)
        return again is not None and checks.same(again, stored)

    def road(self, on_progress: OnProgress | None = None) -> Road:
        """A run on the way in."""
        pools = self._pools
        return Road(pools.address, pools.writing, self._space, self._embedder, on_progress)

    @translated
    def tend(self, chunks: int, *, build: bool = True, on_progress: OnProgress | None = None) -> bool:
        """After a load of so many chunks: the index once there is enough to need it, else fresh statistics if it was
        a large one.

        Returns whether the index was built.
        """
        with self._pools.writing.connect() as connection:
            due = build and chunks > 0 and indexes.due(connection, self._space)
            large = chunks >= max(1000, indexes.rows(connection, self._space) // 10)  # as autovacuum sees it
        if due:
            kind = self._space.index_kind
            with suppress(Conflict):  # another process has finished a load, too, and is just building it
                self.create_index("hnsw" if kind == "auto" else kind, on_progress=on_progress)
                return True
        elif large:
            with self._pools.writing.begin() as connection:
                indexes.analyze_roughly(connection, self._space)
        return False
