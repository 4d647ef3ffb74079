"""The way in: documents are put, become tasks, are claimed, read, chunked, embedded, and stored behind the fence.

Nothing here can lose a document: what was put is in the database together with its task, and a task goes only in the
transaction that stores its embeddings. Whoever is killed, the next run goes on.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine

from semsearch import cleaning, embedding, given
from semsearch.embedders import Embedder
from semsearch.errors import IngestError, InvalidInput
from semsearch.records import Document
from semsearch.sources import Broken, Source
from semsearch.store import chunks, documents, leases, removal, tasks
from semsearch.store.connection import Address, in_transaction
from semsearch.store.spaces import Space

BATCH_DOCUMENTS = 8192
BATCH_BYTES = 16 * 2**20  # of text and given embeddings
CLAIM = 256  # documents leased at once: 1 s to 3 s of embedding on two cores
MAX_ATTEMPTS = 8
ALONE_FROM = 3  # a document whose worker died twice is embedded alone, so that it harms no other
POLL = 0.1  # seconds between looks at tasks that another worker holds
SWEEP = 10  # looks between sweeps for workers that died


@dataclass(frozen=True)
class Progress:
    """How far it is: `done` of `total` (None: not known), documents when ingesting, tuples when indexing."""

    stage: str
    done: int
    total: int | None


Item = Document | Mapping[str, Any]  # what users put
OnProgress = Callable[[Progress], None]


@dataclass
class Report:
    """What became of what was put. `chunks` were stored, for `embedded` of them the model was called."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    chunks: int = 0
    embedded: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Road:
    """One run on the way in, for one collection. `embedder` loads the model when it is first called."""

    address: Address
    engine: Engine
    space: Space
    embedder: Callable[[], Embedder]
    on_progress: OnProgress | None = None
    total: int | None = None
    report: Report = field(default_factory=Report)
    done: int = 0

    def tell(self, more: int) -> None:
        self.done += more
        if self.on_progress and more:
            self.on_progress(Progress("ingest", self.done, self.total))


def ingest(road: Road, source: Source, *, wait: bool = True, prune: bool = False) -> Report:
    """Bring a source in; `prune` deletes what it no longer has. Broken items are reported and stay as they were."""
    road.total = source.total
    with _reported(road) as connection:
        seen = documents.Seen(connection) if prune else None
        _bring(road, _batches(source), source.name, wait, seen)
        if seen:
            _prune(road, seen, source.name)
    return road.report


def put(road: Road, items: Iterable[Item], *, wait: bool = True) -> Report:
    """Bring documents in; returns when they are searchable, or with wait=False when their tasks are written."""
    with _reported(road):
        _bring(road, _batches(items), None, wait, None)
    return road.report


def work(road: Road) -> Report:
    """Do the tasks of the collection until none is left."""
    return put(road, ())


def raise_failures(report: Report) -> None:
    """Raise IngestError when some documents could not be embedded."""
    if report.failed:
        id, reason = next(iter(report.failed.items()))
        raise IngestError(
            f"{len(report.failed)} documents could not be embedded, the first is {id!r}: {reason}. The others are "
            "searchable.",
            report.failed,
        )


@contextmanager
def _reported(road: Road) -> Iterator[Connection]:
    """Times the run and collects what failed in it, by the database's clock."""
    begun = time.monotonic()
    with road.engine.connect() as connection:
        since = tasks.now(connection)
        connection.commit()
        yield connection
        road.report.failed = tasks.failed(connection, road.space, since)
    road.report.seconds = time.monotonic() - begun


def _bring(
    road: Road,
    batches: Iterable[Sequence[Item | Broken]],
    source: str | None,
    wait: bool,
    seen: documents.Seen | None,
) -> None:
    if not wait:
        for batch in batches:
            _take(road, batch, source, seen)
            road.tell(len(batch))
        return
    with leases.Worker(road.address) as worker:
        for batch in batches:
            road.tell(_take(road, batch, source, seen))
            while step(road, worker):
                pass
        _wait_for_others(road, worker)


def _batches(items: Iterable[Item | Broken]) -> Iterator[list[Item | Broken]]:
    """Batches bounded in number and in bytes, so that memory is, too."""
    batch: list[Item | Broken] = []
    size = 0
    for item in items:
        batch.append(item)
        size += _size(item)
        if len(batch) >= BATCH_DOCUMENTS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _size(item: Item | Broken) -> int:
    """About how many bytes an item has; whatever it is, for it has not been checked yet."""
    if isinstance(item, Mapping):
        return _length(item.get("text")) + 4 * _length(item.get("embedding"))
    return _length(getattr(item, "text", None)) + 4 * _length(getattr(item, "embedding", None))


def _length(value: Any) -> int:
    try:
        return len(value)
    except TypeError:
        return 0


def _take(road: Road, batch: Sequence[Item | Broken], source: str | None, seen: documents.Seen | None) -> int:
    """Write a batch into the database; returns how many of its documents need no further work."""
    fresh: dict[str, Document] = {}
    broken: list[Broken] = []
    for item in batch:
        try:
            if isinstance(item, Broken):
                broken.append(item)
            else:
                document = cleaning.document(item, road.space.field_types)
                fresh[document.id] = document
        except InvalidInput as error:
            if source is None:
                raise
            broken.append(Broken(source, str(error), item.id if isinstance(item, Document) else None))
    road.report.broken += broken
    if seen:
        seen.add([*fresh, *(cleaning.storable(item.id) for item in broken if item.id)])
    return len(batch) - len(fresh) + _store(road, list(fresh.values()), source)


def _store(road: Road, batch: Sequence[Document], source: str | None) -> int:
    bringing = [document for document in batch if document.embedding is not None]
    plain = [document for document in batch if document.embedding is None]
    if plain and road.space.model is None:
        raise InvalidInput(
            f"collection {road.space.name!r} has no model, so every document must bring its embedding; "
            f"{plain[0].id!r} has none."
        )
    if bringing:
        _count(road.report, given.put(road.engine, road.space, bringing, source), len(bringing))
        road.report.chunks += len(bringing)
    if not plain:
        return len(bringing)
    rows = [documents.encode(document, source) for document in plain]
    done = in_transaction(road.engine, lambda connection: documents.put(connection, road.space, rows))
    _count(road.report, done, len(plain))
    return len(batch) - done.added - done.changed


def _count(report: Report, done: documents.Put, number: int) -> None:
    report.added += done.added
    report.changed += done.changed
    report.unchanged += number - done.added - done.changed


def step(road: Road, worker: leases.Worker) -> int:
    """Claim some documents and bring them up to date; returns how many were claimed."""
    with road.engine.begin() as connection:
        claims = tasks.claim(connection, road.space, worker.number, CLAIM, worker.lease)
    if claims:
        try:
            _finish(road, claims)
        except BaseException:
            # The model is unavailable, the user pressed Ctrl-C: nobody need wait for our lease to expire.
            with road.engine.begin() as connection:
                leases.end(connection, road.space, claims)
            raise
    return len(claims)


def _finish(road: Road, claims: Sequence[tasks.Claim]) -> None:
    together = [claim for claim in claims if claim.attempt < ALONE_FROM]
    alone = [[claim] for claim in claims if claim.attempt >= ALONE_FROM]
    for group in filter(None, [together, *alone]):
        with road.engine.connect() as connection:
            portions = list(tasks.portions(connection, road.space, group))
        for portion in portions:
            _finish_portion(road, portion)


def _finish_portion(road: Road, claims: Sequence[tasks.Claim]) -> None:
    """Read, chunk and embed with no transaction open; then store what is still true, in one."""
    with road.engine.connect() as connection:
        works = tasks.read(connection, road.space, claims)
        stored = chunks.hashes(connection, road.space, [claim.document_id for claim in claims])
    hopeless = {w.claim.document_id for w in works if w.claim.attempt > MAX_ATTEMPTS}
    prepared = embedding.prepare(
        road.space, [w for w in works if w.claim.document_id not in hopeless], stored, road.embedder
    )
    prepared.failed |= dict.fromkeys(hopeless, f"given up: {MAX_ATTEMPTS} workers died while they embedded it")
    try:
        finished = in_transaction(
            road.engine, lambda connection: _write(connection, road.space, works, prepared, stored)
        )
    except chunks.CONFLICTS:
        # Chunks came to be where we saw none, or those whose embeddings we meant to keep are gone (the document was
        # deleted and inserted again): read again. The leases are still ours.
        _finish_portion(road, claims)
        return
    road.report.chunks += sum(len(prepared.rows.get(w.claim.document_id, ())) for w in finished)
    road.report.embedded += prepared.embedded
    road.tell(len(finished))


def _write(
    connection: Connection,
    space: Space,
    works: Sequence[tasks.Work],
    prepared: embedding.Prepared,
    stored: embedding.Hashes,
) -> list[tasks.Work]:
    """Store the documents the fence lets through and end their leases; returns those documents."""
    finished = tasks.fence(connection, space, works)
    ids = [work.claim.document_id for work in finished]
    rows = {id: prepared.rows.get(id, []) for id in ids}
    new = [id for id in ids if rows[id] and id not in stored]
    if new:
        chunks.insert_new(connection, space, _encoded(space, rows, new))
    replaced = {id: len(rows[id]) for id in ids if id in stored}
    if replaced:
        chunks.replace(connection, space, _encoded(space, rows, replaced), replaced)
    tasks.forgive(connection, space, ids)
    for work in finished:
        if work.claim.document_id in prepared.failed:
            tasks.give_up(connection, space, work, prepared.failed[work.claim.document_id])
    # What is fenced although its task is still there, somebody is just deleting. To try again at once, and to pay the
    # model each time, could go on for as long as he leaves his transaction open.
    let_through = set(ids)
    leases.postpone(connection, space, [w.claim for w in works if w.claim.document_id not in let_through])
    leases.end(connection, space, [work.claim for work in works])
    return finished


def _encoded(space: Space, rows: Mapping[str, list[chunks.Row]], ids: Iterable[str]) -> Iterator[list[bytes]]:
    return (chunks.encode(row, space.vector_type) for id in ids for row in rows[id])


def _wait_for_others(road: Road, worker: leases.Worker) -> None:
    """Until everything put so far is done: by us, or by another worker whose lease we see."""
    with road.engine.begin() as connection:
        latest = tasks.latest_version(connection)
    for look in itertools.count():
        with road.engine.begin() as connection:
            if not tasks.pending(connection, road.space, latest):
                return
            if look % SWEEP == 0:
                leases.release_dead(connection)
        if not step(road, worker):
            time.sleep(POLL)


def _prune(road: Road, seen: documents.Seen, source: str) -> None:
    """Delete what the source no longer has, unless what it has could not be told for sure."""
    report = road.report
    nameless = sum(1 for item in report.broken if item.id is None)
    if nameless:
        reason = f"not pruned: {nameless} broken items could not be told from documents that are gone"
        report.broken.append(Broken(source, reason))
    elif not report.added + report.changed + report.unchanged:
        raise InvalidInput(f"{source} holds no documents: not pruning. `semsearch delete --all` empties a collection.")
    else:
        report.deleted = removal.prune(seen.connection, road.space, source)
