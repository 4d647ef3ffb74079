"""One collection: what can be put in, asked and changed."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from sqlalchemy import Connection

from semsearch import cleaning, filters, ingest, sources, verify
from semsearch.contents import Contents, Expected
from semsearch.embeddings import Embeddings
from semsearch.errors import InvalidInput, NotFound
from semsearch.estimate import Estimate
from semsearch.index_life import IndexLife
from semsearch.questions import REMEMBERED
from semsearch.records import Document, Embedding, Hits
from semsearch.request import Options, Request, Target, check_deadline
from semsearch.road import OnProgress, Report, Road
from semsearch.store import blocking, facets, failures, guards, removal, source, spaces, status, tenants, usage
from semsearch.store.complaints import translated
from semsearch.store.deadlines import Deadline
from semsearch.store.facets import Facet
from semsearch.store.failures import Choice, Failure, Since
from semsearch.store.status import Status
from semsearch.store.transactions import again_when_lost, in_transaction
from semsearch.structure import Structure
from semsearch.verify import Verification


class Collection(IndexLife, Structure, Contents, Embeddings):
    """A named set of documents that are searched together. Made by `Database`."""

    @translated
    def put(
        self,
        documents: Iterable[Document | Mapping[str, Any]],
        *,
        tenant: str | None = None,
        wait: bool = True,
        on_progress: OnProgress | None = None,
    ) -> Report:
        """Insert or replace documents; returns when they are searchable, with wait=False when workers have the task.

        Any iterable will do; it is read in batches. With `tenant` all become that tenant's; without it their metadata
        say whose they are. Raises InvalidInput at the first document that cannot be stored (nothing of its batch is),
        Conflict at one that is another tenant's, IngestError when some could not be embedded (the others are
        searchable).
        """
        report = self.bring(documents, tenant=tenant, wait=wait, on_progress=on_progress)
        ingest.raise_failures(report)
        return report

    @translated
    def bring(
        self,
        documents: Iterable[Document | Mapping[str, Any]],
        *,
        tenant: str | None = None,
        wait: bool = True,
        within: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> Report:
        """As `put`, but what could not be embedded is in the report only.

        With `within` it waits for so many seconds: the report says how many documents are left to workers.
        """
        if isinstance(documents, Document | Mapping):
            raise InvalidInput("put takes a list of documents; put this one in brackets.")
        return self._bring(self.road(on_progress), documents, tenant, wait=wait, within=within)

    @translated
    def put_if(
        self,
        document: Document,
        expected: Expected,
        *,
        tenant: str | None = None,
        wait: bool = True,
        within: float | None = None,
    ) -> Report:
        """Put a document that is as expected, or not there yet. Raises PreconditionFailed when it is otherwise.

        Nobody can change it between the look and the change: both are one transaction. Failures are in the report.
        """
        road = self.road()
        road.guard = self._guard(document.id, expected, tenant)
        return self._bring(road, [document], tenant, wait=wait, within=within)

    def _bring(
        self,
        road: Road,
        documents: Iterable[Document | Mapping[str, Any]],
        tenant: str | None,
        *,
        wait: bool,
        within: float | None,
    ) -> Report:
        self._require_own_documents()
        if tenant is not None:
            documents = cleaning.all_of_tenant(documents, tenants.field(self._space, tenant), tenant)
        report = ingest.put(road, documents, wait=wait, within=within)
        self.tend(report.chunks, build=wait, on_progress=road.on_progress)
        return report

    @translated
    def ingest(
        self,
        source: str | Path | sources.Source,
        *,
        options: sources.Options | None = None,
        tenant: str | None = None,
        wait: bool = True,
        within: float | None = None,
        prune: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Report:
        """Bring in a file, a folder or any source; `prune` deletes what it no longer has, `tenant` as for `put`,
        `within` as for `bring`.

        Raises nothing for single documents: the report lists those that were broken or could not be embedded.
        """
        self._require_own_documents()
        if isinstance(source, str | Path):
            source = sources.open(source, options or sources.Options())
        if tenant is not None:
            source = cleaning.Owned(source, tenants.field(self._space, tenant), tenant)
        report = ingest.ingest(self.road(on_progress), source, wait=wait, within=within, prune=prune)
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
        **options: Unpack[Options],
    ) -> Hits:
        """The chunks nearest to a text, an embedding or a document: `top_k` of them, or all that match the filter.

        `semsearch.request.Options` lists the options. Raises InvalidInput, FilterError, NotFound, ModelUnavailable,
        DeadlineExceeded.
        """
        return self._searcher.search(Target(query, embedding, document_id), **options)

    @translated
    def search_many(self, queries: Sequence[str], **options: Unpack[Options]) -> list[Hits]:
        """The answers to several texts, which the model is given in one batch; options as for `search`.

        The `deadline` is that of each search, and of what the model does for up to 256 of them.
        """
        if isinstance(queries, str) or not isinstance(queries, Sequence):
            raise InvalidInput("search_many takes a list of queries; put this one in brackets.")
        for query in queries:
            self._searcher.questions.check(query, needed=True)
        request = Request.of(options)
        found: list[Hits] = []
        for start in range(0, len(queries), REMEMBERED):
            some = queries[start : start + REMEMBERED]
            if request.mode != "text":
                self._searcher.questions.prepare(some, Deadline(request.deadline))
            found += [self._searcher.search(Target(query), **options) for query in some]
        return found

    @translated
    def recommend(
        self,
        positive: Sequence[str] = (),
        negative: Sequence[str] = (),
        *,
        positive_texts: Sequence[str] = (),
        negative_texts: Sequence[str] = (),
        **options: Unpack[Options],
    ) -> Hits:
        """The chunks nearest to examples and far from others, which are documents by id, or texts.

        The examples themselves are left out. Options as for `search`. Raises the same.
        """
        examples = [positive, negative, positive_texts, negative_texts]
        if any(isinstance(given, str) for given in examples):
            raise InvalidInput("recommend takes lists of examples; put this one in brackets.")
        if not any(examples):
            raise InvalidInput("recommend takes at least one example.")
        return self._searcher.search(Target(None, None, None, *map(tuple, examples)), **options)

    @translated
    def facets(
        self,
        names: Sequence[str],
        *,
        filter: Mapping[str, Any] | None = None,
        tenant: str | None = None,
        limit: int = 10,
        deadline: float | None = None,
    ) -> dict[str, Facet]:
        """How many documents have which values at declared fields or other keys of the metadata, by name.

        The `limit` most frequent values of each. With a filter, of the documents of which a chunk matches it. Raises
        InvalidInput, FilterError, DeadlineExceeded after `deadline` seconds.
        """
        check_deadline(deadline)
        condition = self._searcher.condition(filter, tenant)
        by_chunk = filter is not None and filters.reads_text(filters.parse(filter))
        pool = self._pools.searching
        count = functools.partial(
            facets.counts, pool, self._space, names, condition, limit, by_chunk=by_chunk, deadline=deadline
        )
        return again_when_lost(pool, count)

    @translated
    def get(self, id: str, *, tenant: str | None = None) -> Document:
        """The document as it was put, or as the attached table has it now. Raises NotFound, InvalidInput.

        A collection with tenants requires `tenant`; another tenant's document is as if it were not there.
        """
        tenants.required(self._space, tenant)
        with self._pools.writing.connect() as connection:
            found = source.read(connection, self._space, [id])[0] if cleaning.is_id(id) else None
        if found is None or found.document is None or not tenants.owns(self._space, tenant, found.document.metadata):
            raise NotFound(f"document {id!r:.80} does not exist in collection {self.name!r}.")
        if found.refusal:
            raise InvalidInput(f"document {id!r:.80} cannot be read: {found.refusal}.")
        # The user's own now, to be changed and put again.
        return replace(found.document, metadata=dict(found.document.metadata))

    @translated
    def delete(self, ids: Iterable[str], *, tenant: str | None = None) -> int:
        """Delete documents with their chunks, in one transaction; returns how many there were.

        With `tenant` only those that are that tenant's.
        """
        if isinstance(ids, str):
            raise InvalidInput(f"delete takes a list of ids; did you mean [{ids!r}]?")
        possible, only = [id for id in ids if cleaning.is_id(id)], tenants.owned(self._space, tenant)
        remove = functools.partial(removal.remove, space=self._space, ids=possible, only=only)
        return in_transaction(self._pools.writing, remove)

    @translated
    def delete_if(self, id: str, expected: Expected, *, tenant: str | None = None) -> int:
        """Delete a document that is as expected; returns 1, or 0 when none is there. Raises PreconditionFailed."""
        only = tenants.owned(self._space, tenant)

        def remove(connection: Connection) -> int:
            self._expect(connection, id, expected, tenant)
            return removal.remove(connection, self._space, [id], only)

        return in_transaction(self._pools.writing, remove)

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
