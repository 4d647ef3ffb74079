"""Does tasks: claims documents, reads, chunks and embeds them, and stores the embeddings behind the fence.

While the model is at work on one portion, the next one is read and chunked and the one before is stored: the model
never waits for the database (0.90 of its own speed one after the other, measured with MiniLM on two cores).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from semsearch import embedding
from semsearch.errors import DatabaseUnavailable
from semsearch.road import Road
from semsearch.store import chunks, leases, tasks
from semsearch.store.connection import in_transaction
from semsearch.store.spaces import Space

CLAIM = 256  # documents leased at once: 1 s to 3 s of embedding on two cores
MAX_ATTEMPTS = 8
ALONE_FROM = 3  # a document whose worker died twice is embedded alone, so that it harms no other


@dataclass(frozen=True)
class Portion:
    """Claimed documents as they were read together, and what is to be embedded for them."""

    claims: Sequence[tasks.Claim]
    works: Sequence[tasks.Work]
    stored: embedding.Hashes
    plan: embedding.Plan


def do(road: Road, worker: leases.Worker) -> int:
    """Bring documents up to date until none can be claimed; returns how many were claimed."""
    held: dict[str, tasks.Claim] = {}
    try:
        return _do(road, worker, held)
    except BaseException:
        # The model is unavailable, the user pressed Ctrl-C: nobody need wait for our leases to expire.
        with contextlib.suppress(DBAPIError, DatabaseUnavailable), road.engine.begin() as connection:
            leases.end(connection, road.space, list(held.values()))
        raise


def _do(road: Road, worker: leases.Worker, held: dict[str, tasks.Claim]) -> int:
    count = 0
    before: tuple[Portion, Future[embedding.Prepared]] | None = None
    stopped = threading.Event()
    try:
        for portion in _portions(road, worker, held):
            count += len(portion.claims)
            embedded = _embed_behind(portion.plan, before and before[1], stopped)
            if before:
                _store(road, before[0], before[1].result(), held)
            before = portion, embedded
        if before:
            _store(road, before[0], before[1].result(), held)
    finally:
        stopped.set()
    return count


def _embed_behind(
    plan: embedding.Plan, before: Future[embedding.Prepared] | None, stopped: threading.Event
) -> Future[embedding.Prepared]:
    """Embed once the portion before is done; not when it could not be (a provider that is down is not asked again).

    A daemon thread, not a pool, whose threads Python joins at its end: Ctrl-C must not wait for a provider that hangs.
    """
    future: Future[embedding.Prepared] = Future()

    def run() -> None:
        try:
            if before:
                before.result()
            if not stopped.is_set():
                future.set_result(embedding.embed(plan))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="semsearch-embed", daemon=True).start()
    return future


def _portions(road: Road, worker: leases.Worker, held: dict[str, tasks.Claim]) -> Iterator[Portion]:
    while claims := _claim(road, worker):
        held.update({claim.document_id: claim for claim in claims})
        together = [claim for claim in claims if claim.attempt < ALONE_FROM]
        alone = [[claim] for claim in claims if claim.attempt >= ALONE_FROM]
        for group in filter(None, [together, *alone]):
            with road.engine.connect() as connection:
                portions = list(tasks.portions(connection, road.space, group))
            for portion in portions:
                yield _read(road, portion)


def _claim(road: Road, worker: leases.Worker) -> list[tasks.Claim]:
    with road.engine.begin() as connection:
        return tasks.claim(connection, road.space, worker.number, CLAIM, worker.lease)


def _read(road: Road, claims: Sequence[tasks.Claim]) -> Portion:
    """Text and versions in one statement; then chunks, with no transaction open."""
    with road.engine.connect() as connection:
        works = tasks.read(connection, road.space, claims)
        stored = chunks.hashes(connection, road.space, [claim.document_id for claim in claims])
    hopeless = {work.claim.document_id for work in works if work.claim.attempt > MAX_ATTEMPTS}
    tried = [work for work in works if work.claim.document_id not in hopeless]
    plan = embedding.plan(road.space, tried, stored, road.embedder)
    plan.failed.update(dict.fromkeys(hopeless, f"given up: {MAX_ATTEMPTS} workers died while they embedded it"))
    return Portion(claims, works, stored, plan)


def _store(road: Road, portion: Portion, prepared: embedding.Prepared, held: dict[str, tasks.Claim]) -> None:
    """Store what is still true, in one transaction."""
    try:
        finished = in_transaction(
            road.engine, lambda connection: write(connection, road.space, portion.works, prepared, portion.stored)
        )
    except chunks.CONFLICTS:
        # Chunks came to be where we saw none, or those whose embeddings we meant to keep are gone (the document was
        # deleted and inserted again): read again. The leases are still ours.
        again = _read(road, portion.claims)
        _store(road, again, embedding.embed(again.plan), held)
        return
    for claim in portion.claims:
        held.pop(claim.document_id, None)
    road.report.chunks += sum(len(prepared.rows.get(work.claim.document_id, ())) for work in finished)
    road.report.embedded += prepared.embedded
    road.tell(len(finished))


def write(
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
