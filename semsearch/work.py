"""Does tasks by the portion: reads and chunks claimed documents, and stores their embeddings behind the fence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from semsearch import embedding
from semsearch.errors import SemsearchError
from semsearch.road import Road, Stored
from semsearch.store import backfill, chunks, complaints, leases, source, tasks, usage
from semsearch.store.spaces import Space
from semsearch.store.transactions import in_transaction

CLAIM = 256  # documents leased at once, and chunks embedded at once at first: 1 s to 3 s of embedding on two cores
MAX_ATTEMPTS = 8
ALONE_FROM = 3  # a document whose worker died twice is embedded alone, so that it harms no other

T = TypeVar("T")


@dataclass(frozen=True)
class Portion:
    """Claimed documents of one road as they were read together, and what is to be embedded for them."""

    road: Road
    claims: Sequence[tasks.Claim]
    works: Sequence[tasks.Work]
    stored: embedding.Hashes
    plan: embedding.Plan


class Unchunkable(Exception):
    """One of the documents read makes chunking fail in a way that nobody foresaw."""


class Locked(Exception):
    """Somebody keeps the road's table locked."""


def claim(road: Road, worker: leases.Worker, count: int, place: tasks.Place | None = None) -> list[tasks.Claim]:
    """Lease up to `count` documents; the claim is committed, and with it an attempt charged to each of them."""

    def run(connection: Connection) -> list[tasks.Claim]:
        return tasks.claim(connection, road.space, worker.number, count, worker.lease, place)

    return in_transaction(road.engine, run)


def reading(road: Road, read: Callable[[Connection], T], *, waits: bool) -> T:
    """Read in a transaction of its own; a table that is locked is waited for, or else raises Locked soon."""

    def run(connection: Connection) -> T:
        try:
            return read(connection)
        except DBAPIError as error:
            if waits or not source.is_locked(error):
                raise
            raise Locked(f"the table of {road.space.name!r} is locked") from error

    return in_transaction(road.engine, run)


def read(road: Road, claims: Sequence[tasks.Claim], *, waits: bool = True) -> Portion:
    """Text and versions in one statement; then chunks, with no transaction open. Raises Unchunkable, and Locked."""
    works, stored = _look(road, claims, waits)
    hopeless = {work.claim.document_id: work.claim.reason for work in works if work.claim.attempt > MAX_ATTEMPTS}
    refused = {work.claim.document_id: work.refusal for work in works if work.refusal}
    tried = [work for work in works if work.claim.document_id not in hopeless.keys() | refused]
    try:
        plan = embedding.plan(road.space, tried, stored, road.embedder)
    except Exception as error:
        if isinstance(error, SemsearchError) or complaints.is_from_database(error):
            raise
        raise Unchunkable(type(error).__name__) from error
    died = f"given up: {MAX_ATTEMPTS} workers died while they embedded it"
    plan.failed.update({id: reason or died for id, reason in hopeless.items()} | refused)
    return Portion(road, claims, works, stored, plan)


def unreadable(road: Road, claim: tasks.Claim, reason: str) -> Portion:
    """A document that cannot be chunked: to be tried again later, and given up after so many attempts."""
    works, stored = _look(road, [claim], waits=True)
    return Portion(road, [claim], works, stored, embedding.Plan(road.space, delayed={claim.document_id: reason}))


def _look(road: Road, claims: Sequence[tasks.Claim], waits: bool) -> tuple[list[tasks.Work], embedding.Hashes]:
    def run(connection: Connection) -> tuple[list[tasks.Work], embedding.Hashes]:
        works = tasks.read(connection, road.space, claims)
        return works, chunks.hashes(connection, road.space, [claim.document_id for claim in claims])

    return reading(road, run, waits=waits)


def store(worker: leases.Worker, portion: Portion, prepared: embedding.Prepared) -> None:
    """Store what is still true, in one transaction, and tell the road."""
    road = portion.road

    def run(connection: Connection) -> list[tasks.Work]:
        finished = write(connection, road.space, portion.works, prepared, portion.stored)
        usage.add(connection, road.space, worker.number, **_counts(finished, prepared))
        return finished

    try:
        finished = in_transaction(road.engine, run)
    except chunks.CONFLICTS:
        # Chunks came to be where we saw none, or those whose embeddings we meant to keep are gone (the document was
        # deleted and inserted again): read again. The leases are still ours.
        again = read(road, portion.claims)
        store(worker, again, embedding.embed(again.plan, road.engine, worker.number).after(prepared))
        return
    except Exception as error:
        if not complaints.blames_data(error):
            raise
        _store_apart(worker, portion, prepared, error)
        return
    _tell(portion, prepared, finished)


def _store_apart(worker: leases.Worker, portion: Portion, prepared: embedding.Prepared, error: Exception) -> None:
    """In halves, down to the document that PostgreSQL does not take: a field too long for its index, for example."""
    works = portion.works
    if len(works) == 1:
        id = works[0].claim.document_id
        if id in prepared.failed:
            raise error
        store(worker, portion, replace(prepared, failed={id: str(complaints.translate(error))}, rows={}))
        return
    half = len(works) // 2
    counted = replace(prepared, embedded=0, cached=0, tokens=0)
    for part, made in ((works[:half], prepared), (works[half:], counted)):
        store(worker, replace(portion, claims=[work.claim for work in part], works=part), made)


def _tell(portion: Portion, prepared: embedding.Prepared, finished: Sequence[tasks.Work]) -> None:
    road, counts = portion.road, _counts(finished, prepared)
    road.report.chunks += counts["chunks"]
    road.report.embedded += prepared.embedded
    road.report.cached += prepared.cached
    road.tell(len(finished))
    if road.on_stored:
        done = {work.claim.document_id for work in finished}
        waiting = [work for work in portion.works if work.versions and work.claim.document_id not in done]
        delayed = [work for work in waiting if work.claim.document_id in prepared.delayed]
        left = [work for work in waiting if work.claim.document_id in prepared.left]
        road.on_stored(
            Stored(
                claimed=len(portion.claims),
                failed=len(done & (prepared.failed.keys() | prepared.delayed.keys())),
                delayed=len(delayed),
                fenced=len(waiting) - len(delayed) - len(left),
                **counts,
            )
        )


def _counts(finished: Sequence[tasks.Work], prepared: embedding.Prepared) -> dict[str, int]:
    """What was done, as `usage` counts it."""
    return {
        "documents": len(finished),
        "chunks": sum(len(prepared.rows.get(work.claim.document_id, ())) for work in finished),
        "embedded": prepared.embedded,
        "cached": prepared.cached,
        "tokens": prepared.tokens,
    }


def write(
    connection: Connection,
    space: Space,
    works: Sequence[tasks.Work],
    prepared: embedding.Prepared,
    stored: embedding.Hashes,
) -> list[tasks.Work]:
    """Store the documents the fence lets through and end their leases; returns those documents."""
    later = [work.claim for work in works if work.claim.document_id in prepared.delayed and _has_attempts(work)]
    waiting = {claim.document_id for claim in later} | prepared.left
    done = [work for work in works if work.claim.document_id not in waiting]
    if any(work.versions and work.claim.document_id == backfill.UNSEEN for work in done):
        backfill.sweep(connection, space)
    finished = tasks.fence(connection, space, done)
    ids = [work.claim.document_id for work in finished]
    rows = {id: prepared.rows.get(id, []) for id in ids}
    new = [id for id in ids if rows[id] and id not in stored]
    if new:
        chunks.insert_new(connection, space, _encoded(space, rows, new))
    replaced = {id: len(rows[id]) for id in ids if id in stored}
    if replaced:
        chunks.replace(connection, space, _encoded(space, rows, replaced), replaced)
    tasks.forgive(connection, space, ids)
    reasons = prepared.failed | prepared.delayed
    for work in finished:
        if work.claim.document_id in reasons:
            tasks.give_up(connection, space, work, reasons[work.claim.document_id])
    # What is fenced although its task is still there, somebody is just deleting. To try again at once, and to pay the
    # model each time, could go on for as long as he leaves his transaction open.
    let_through = set(ids)
    leases.postpone(connection, space, [w.claim for w in done if w.claim.document_id not in let_through])
    leases.back_off(connection, space, later, prepared.delayed)
    delayed = {claim.document_id for claim in later}
    leases.end(connection, space, [work.claim for work in works if work.claim.document_id not in delayed])
    return finished


def _has_attempts(work: tasks.Work) -> bool:
    return work.claim.attempt < MAX_ATTEMPTS


def _encoded(space: Space, rows: Mapping[str, list[chunks.Row]], ids: Iterable[str]) -> Iterator[list[bytes]]:
    return (chunks.encode(row, space.vector_type) for id in ids for row in rows[id])
