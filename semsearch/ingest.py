"""The way in: documents are put, become tasks, are claimed, read, chunked, embedded, and stored behind the fence.

Nothing here can lose a document: what was put is in the database together with its task, and a task goes only in the
transaction that stores its embeddings. Whoever is killed, the next run goes on.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from semsearch import cleaning, given, pipeline
from semsearch.errors import Conflict, IngestError, InvalidInput
from semsearch.records import Document
from semsearch.road import Report, Road
from semsearch.sources import Broken, Source
from semsearch.store import backfill, documents, failures, leases, removal, tasks
from semsearch.store import source as rows
from semsearch.store.guards import require_same
from semsearch.store.spaces import Space
from semsearch.store.transactions import in_transaction

BATCH_DOCUMENTS = 8192
BATCH_BYTES = 16 * 2**20  # of text and given embeddings
POLL = 0.1  # seconds between looks at tasks that another worker holds
SWEEP = 10  # looks between sweeps for workers that died


Item = Document | Mapping[str, Any]  # what users put


def ingest(
    road: Road, source: Source, *, wait: bool = True, within: float | None = None, prune: bool = False
) -> Report:
    """Bring a source in; `prune` deletes what it no longer has. Broken items are reported and stay as they were."""
    road.total = source.total
    with _reported(road) as begun, documents.Seen() as seen:
        if wait and within is not None:
            _bring_within(road, in_batches(source), source.name, within, seen if prune else None)
        else:
            _bring(road, in_batches(source), source.name, wait, seen if prune else None)
        if prune:
            _prune(road, seen, source.name, begun)
    return road.report


def put(road: Road, items: Iterable[Item], *, wait: bool = True, within: float | None = None) -> Report:
    """Bring documents in; returns when they are searchable, or with wait=False when their tasks are written.

    With `within` it waits for so many seconds, and for no others than these: the report says how many still wait.
    """
    with _reported(road):
        if wait and within is not None:
            _bring_within(road, in_batches(items), None, within, None)
        else:
            _bring(road, in_batches(items), None, wait, None)
    return road.report


def catch_up(road: Road) -> Report:
    """Do the tasks of the collection until none is left; of an attached table, until every row has become one."""
    with _reported(road):
        again = True
        while again:
            again = in_transaction(road.engine, lambda connection: backfill.is_unseen(connection, road.space))
            if road.space.attachment is not None:
                _fill(road)
            _bring(road, (), None, True, None)
    return road.report


def _fill(road: Road) -> None:
    """Go through the rows that an attached table has already. Raises Conflict when it cannot be read."""

    def check(connection: Connection) -> str | None:
        require_same(connection, road.space)
        return rows.check(connection, road.space)

    if problem := in_transaction(road.engine, check):
        raise Conflict(f"{problem}.")
    road.total = in_transaction(road.engine, lambda connection: rows.count(connection, road.space))
    with leases.Worker(road.address) as worker:
        while True:
            moved = in_transaction(road.engine, lambda connection: backfill.step(connection, road.space))
            if not moved and in_transaction(road.engine, lambda connection: backfill.is_done(connection, road.space)):
                return
            if not pipeline.do(road, worker) and not moved:
                time.sleep(POLL)


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
def _reported(road: Road) -> Iterator[datetime]:
    """Times the run and collects what failed in it; yields when it began, by the database's clock."""
    begun = time.monotonic()
    since = in_transaction(road.engine, tasks.now)
    yield since
    road.report.failed = in_transaction(road.engine, lambda connection: tasks.failed(connection, road.space, since))
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
            while pipeline.do(road, worker):
                pass
        _wait_for_others(road, worker)


def _bring_within(
    road: Road,
    batches: Iterable[Sequence[Item | Broken]],
    source: str | None,
    seconds: float,
    seen: documents.Seen | None,
) -> None:
    """Work until these documents wait no more, but no longer. What the model has by then is stored, the rest left."""
    ids: list[str] = []
    for batch in batches:
        _take(road, batch, source, seen)
        ids += [item["id"] if isinstance(item, Mapping) else item.id for item in batch if not isinstance(item, Broken)]
    stop = threading.Event()

    def look(*_: object) -> None:
        road.report.waiting = in_transaction(road.engine, lambda connection: tasks.waiting(connection, road.space, ids))
        if not road.report.waiting:
            stop.set()

    look()
    if not stop.is_set():
        road.on_stored = look
        with leases.Worker(road.address) as worker, _set_after(stop, seconds):
            for turn in itertools.count():
                if turn % SWEEP == 0:
                    in_transaction(road.engine, leases.release_dead)
                if not pipeline.do(road, worker, stop):
                    stop.wait(POLL)
                look()
                if stop.is_set():
                    return


@contextmanager
def _set_after(event: threading.Event, seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, event.set)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def in_batches(items: Iterable[Item | Broken]) -> Iterator[list[Item | Broken]]:
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
    if isinstance(item, Document):
        return _length(item.text) + 4 * _length(item.embedding)
    if isinstance(item, Mapping):
        return _length(item.get("text")) + 4 * _length(item.get("embedding"))
    return 0


def _length(value: Any) -> int:
    try:
        return len(value)
    except TypeError:
        return 0


def _take(road: Road, batch: Sequence[Item | Broken], source: str | None, seen: documents.Seen | None) -> int:
    """Write a batch into the database; returns how many of its documents need no further work."""
    fresh, broken = cleaned(road.space, batch, source)
    road.report.broken += broken
    if seen:
        seen.add([*(document.id for document in fresh), *(cleaning.storable(item.id) for item in broken if item.id)])
    return len(batch) - len(fresh) + _store(road, fresh, source)


def cleaned(space: Space, batch: Sequence[Item | Broken], source: str | None) -> tuple[list[Document], list[Broken]]:
    """The documents as they will be stored, the last of each id, and what cannot be; without a source that raises."""
    fresh: dict[str, Document] = {}
    broken: list[Broken] = []
    for item in batch:
        try:
            if isinstance(item, Broken):
                broken.append(item)
            else:
                document = cleaning.document(item, space.field_types, space.tenant)
                fresh[document.id] = document
        except InvalidInput as error:
            if source is None:
                raise
            broken.append(Broken(source, str(error), item.id if isinstance(item, Document) else None))
    return list(fresh.values()), broken


def _store(road: Road, batch: Sequence[Document], source: str | None) -> int:
    bringing = [document for document in batch if document.embedding is not None]
    plain = [document for document in batch if document.embedding is None]
    if plain and road.space.model is None:
        raise InvalidInput(
            f"collection {road.space.name!r} has no model, so every document must bring its embedding; "
            f"{plain[0].id!r} has none."
        )
    if bringing:
        done = given.put(road.engine, road.space, bringing, source, road.guard)
        _count(road.report, done, len(bringing))
        road.report.chunks += len(bringing)
    if not plain:
        return len(bringing)
    rows = [documents.encode(document, source) for document in plain]

    def put(connection: Connection) -> tuple[documents.Put, int]:
        done = road.guard(connection, lambda: documents.put(connection, road.space, rows))
        return done, failures.enqueue(connection, road.space, [document.id for document in plain])

    done, again = in_transaction(road.engine, put)
    _count(road.report, done, len(plain))
    return len(batch) - done.added - done.changed - again


def _count(report: Report, done: documents.Put, number: int) -> None:
    report.added += done.added
    report.changed += done.changed
    report.unchanged += number - done.added - done.changed


def _wait_for_others(road: Road, worker: leases.Worker) -> None:
    """Until everything put so far is done: by us, or by another worker whose lease we see."""
    latest = in_transaction(road.engine, tasks.latest_version)
    for look in itertools.count():
        if not in_transaction(road.engine, lambda connection: tasks.pending(connection, road.space, latest)):
            return
        if look % SWEEP == 0:
            in_transaction(road.engine, leases.release_dead)
        if not pipeline.do(road, worker):
            time.sleep(POLL)


def _prune(road: Road, seen: documents.Seen, source: str, begun: datetime) -> None:
    """Delete what the source no longer has, unless what it has could not be told for sure."""
    report = road.report
    nameless = sum(1 for item in report.broken if item.id is None)
    if nameless:
        reason = f"not pruned: {nameless} broken items could not be told from documents that are gone"
        report.broken.append(Broken(source, reason))
    elif not report.added + report.changed + report.unchanged:
        raise InvalidInput(f"{source} holds no documents: not pruning. `semsearch delete --all` empties a collection.")
    else:
        report.deleted = removal.prune(road.engine, road.space, source, seen, begun)
