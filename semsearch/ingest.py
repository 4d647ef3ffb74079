"""The way in: documents are put, become tasks, are claimed, read, chunked, embedded, and stored behind the fence.

Nothing here can lose a document: what was put is in the database together with its task, and a task goes only in the
transaction that stores its embeddings. Whoever is killed, the next run goes on.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from semsearch import cleaning, given, work
from semsearch.errors import IngestError, InvalidInput
from semsearch.records import Document
from semsearch.road import Report, Road
from semsearch.sources import Broken, Source
from semsearch.store import documents, leases, removal, tasks
from semsearch.store.connection import in_transaction

BATCH_DOCUMENTS = 8192
BATCH_BYTES = 16 * 2**20  # of text and given embeddings
POLL = 0.1  # seconds between looks at tasks that another worker holds
SWEEP = 10  # looks between sweeps for workers that died


Item = Document | Mapping[str, Any]  # what users put


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


def catch_up(road: Road) -> Report:
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
            while work.do(road, worker):
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
        if not work.do(road, worker):
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
