"""The queue: claim what must be brought up to date, read it, and fence what is stored.

An embedding is stored only by the transaction that deletes the very task versions it was computed from. Every time
comes from the database's clock. Versions are compared by `=` only: on Citus a sequence is per node.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, TEXT

from semsearch.records import Document
from semsearch.store import source
from semsearch.store.guards import require_same
from semsearch.store.spaces import Space

READ_BYTES = 32 * 2**20  # text read at once; one longer document is read alone
TOKEN_BYTES = 4  # of text, about: to tell from a document's length how many chunks it makes


@dataclass(frozen=True)
class Claim:
    """A document leased to us. `attempt` was charged when the claim was committed, so it survives our death."""

    document_id: str
    token: int
    attempt: int
    reason: str | None = None  # why the attempt before did not succeed


@dataclass(frozen=True)
class Work:
    """A claimed document as one statement read it: its text, and exactly the task versions that text answers."""

    claim: Claim
    document: Document | None  # None: deleted, so its chunks go
    versions: tuple[int, ...]
    refusal: str | None = None  # why it cannot be embedded, whatever is tried


BACKFILL_SHARE = 5  # one of so many documents claimed is of the backfill, as long as there is any
WINDOW, LEAST_WINDOW = 4, 256  # tasks looked at in each lane: so many for each document asked for, but no fewer than
AGAIN = 2.0  # seconds after which the head of the order is looked at again


@dataclass
class Place:
    """How far one who claims has looked in each lane: what lies before is leased or backing off.

    Without it every claim would read again what the others hold: with 8 pipelines 4,000 tasks.
    """

    edits: int = 0
    backfill: int = 0
    begun: float = field(default_factory=time.monotonic)

    @property
    def further(self) -> bool:
        """Whether there is more to look at than was looked at so far."""
        return bool(self.edits or self.backfill)

    def move(self, edits: int | None, backfill: int | None) -> None:
        """Go on behind these versions; from the head again where there is nothing behind."""
        self.edits, self.backfill = edits or 0, backfill or 0
        self.begun = time.monotonic()

    def rest(self) -> None:
        """Stay, as long as it is not time to look for what has become free before."""
        if time.monotonic() - self.begun > AGAIN:
            self.move(None, None)


def _window(lane: int, after: str) -> str:
    """The last version to look at in a lane, from the index alone; null when the lane ends before."""
    return f"""
    (SELECT t.version FROM semsearch.tasks t
     WHERE t.collection_id = :collection_id AND t.lane = {lane} AND t.version > {after}
     ORDER BY t.version OFFSET :window LIMIT 1)"""  # noqa: S608


def _free(lane: int, after: str, until: str, limit: str) -> str:
    """The first tasks of a lane that are free: no lease, or an expired one, unless the document is backing off.

    The lease comes by a scalar subquery, which PostgreSQL can neither hash nor sort: it is asked for the first tasks
    in the order of the index, and for no others. No moment of a lease is more than an hour away, unless the server's
    clock was put back.
    """
    return f"""
    SELECT t.document_id, t.version
    FROM semsearch.tasks t
    WHERE t.collection_id = :collection_id AND t.lane = {lane} AND t.version > {after}
      AND t.version <= (SELECT coalesce({until}, 9223372036854775807) FROM ends)
      AND coalesce((SELECT (l.expires_at <= now() OR l.expires_at > now() + interval '1 hour')
                        AND (l.not_before <= now() OR l.not_before > now() + interval '1 hour'
                             OR t.version > l.version)
                    FROM semsearch.leases l
                    WHERE l.collection_id = t.collection_id AND l.document_id = t.document_id), true)
    ORDER BY t.version
    LIMIT {limit}
    FOR UPDATE OF t SKIP LOCKED"""  # noqa: S608


_BEHIND = "greatest(:backfill, (SELECT max(version) FROM reserved))"
_LEFT = ":count - (SELECT count(*) FROM reserved)"
CLAIM = text(
    f"""
WITH ends AS MATERIALIZED (
    SELECT {_window(0, ":edits")} AS edits, {_window(1, ":backfill")} AS backfill,
           nextval('semsearch.lease_token') AS token
),
reserved AS MATERIALIZED ({_free(1, ":backfill", "backfill", ":reserved")}
),
edits AS MATERIALIZED ({_free(0, ":edits", "edits", _LEFT)}
),
backfill AS MATERIALIZED ({_free(1, _BEHIND, "backfill", f"{_LEFT} - (SELECT count(*) FROM edits)")}
),
candidates AS MATERIALIZED (
    SELECT * FROM reserved UNION ALL SELECT * FROM edits UNION ALL SELECT * FROM backfill
),
leased AS (
    INSERT INTO semsearch.leases AS l
        (collection_id, document_id, token, version, worker, attempt, claimed_at, expires_at)
    SELECT :collection_id, d.document_id, (SELECT token FROM ends),
           (SELECT max(t.version) FROM semsearch.tasks t
            WHERE t.collection_id = :collection_id AND t.document_id = d.document_id),
           :worker, 1, now(), now() + make_interval(secs => :seconds)
    FROM (SELECT DISTINCT document_id FROM candidates) d
    ORDER BY d.document_id
    -- SKIP LOCKED alone is not enough: another worker may have leased the document between our snapshot and our lock
    -- (503 of 2,000 claimed twice without this guard, 0 with it).
    ON CONFLICT (collection_id, document_id) DO UPDATE
    SET token = excluded.token, version = excluded.version, worker = excluded.worker,
        attempt = CASE WHEN excluded.version > l.version THEN 1 ELSE l.attempt + 1 END,
        reason = CASE WHEN excluded.version > l.version THEN NULL ELSE l.reason END,
        claimed_at = excluded.claimed_at, expires_at = excluded.expires_at, not_before = '-infinity'
    WHERE (l.expires_at <= excluded.claimed_at OR l.expires_at > excluded.claimed_at + interval '1 hour')
      AND (l.not_before <= excluded.claimed_at OR l.not_before > excluded.claimed_at + interval '1 hour'
           OR excluded.version > l.version)
    RETURNING l.document_id, l.attempt, l.reason
)
SELECT e.token, e.edits, e.backfill, (SELECT count(*) FROM candidates) AS found,
       l.document_id, l.attempt, l.reason
FROM ends e LEFT JOIN leased l ON true
"""  # noqa: S608
)


def claim(
    connection: Connection, space: Space, worker: int, count: int, seconds: float, place: Place | None = None
) -> list[Claim]:
    """Lease up to `count` documents for so many seconds: edits first, but a fifth of them from the backfill.

    Looks at no more than WINDOW tasks for each document asked for, in either lane; `place` remembers how far.
    """
    place = place or Place()
    # While `leases` is small a plan would read it whole, and would still do so after it has grown.
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    rows = connection.execute(
        CLAIM,
        {
            "collection_id": space.collection_id,
            "count": count,
            "reserved": _reserved(count),
            "window": max(WINDOW * count, LEAST_WINDOW) - 1,
            "edits": place.edits,
            "backfill": place.backfill,
            "worker": worker,
            "seconds": seconds,
        },
    ).all()
    if rows[0].found < count:
        place.move(rows[0].edits, rows[0].backfill)
    else:
        place.rest()
    return [Claim(row.document_id, row.token, row.attempt, row.reason) for row in rows if row.document_id is not None]


def _reserved(count: int) -> int:
    """How many of them are for the backfill; of a few, one now and then."""
    return -(-count // BACKFILL_SHARE) if count >= BACKFILL_SHARE else int(random.randrange(BACKFILL_SHARE) < count)  # noqa: S311


def ids(values: Sequence[str]) -> Any:
    return bindparam("ids", list(values), type_=ARRAY(TEXT))


def portions(
    connection: Connection, space: Space, claims: Sequence[Claim], chunks: float = math.inf
) -> Iterator[list[Claim]]:
    """The claims in portions whose texts fit READ_BYTES together, and make no more than about so many chunks."""
    sizes = source.sizes(connection, space, [claim.document_id for claim in claims])
    portion: list[Claim] = []
    total = made = 0
    for claim in claims:
        size = sizes.get(claim.document_id, 0)
        more = max(1, size // (TOKEN_BYTES * space.chunk_size)) if space.chunk_size else 1
        if portion and (total + size > READ_BYTES or made + more > chunks):
            yield portion
            portion, total, made = [], 0, 0
        portion.append(claim)
        total, made = total + size, made + more
    if portion:
        yield portion


OTHERS = """
SELECT EXISTS (SELECT FROM semsearch.tasks WHERE collection_id = :collection_id AND document_id <> :document_id)
"""


def has_others(connection: Connection, space: Space, document_id: str) -> bool:
    """Whether other documents of the collection wait."""
    values = {"collection_id": space.collection_id, "document_id": document_id}
    return bool(connection.execute(text(OTHERS), values).scalar_one())


def read(connection: Connection, space: Space, claims: Sequence[Claim]) -> list[Work]:
    """What the claimed documents are now. A claim whose task is gone comes back without versions."""
    by_id = {claim.document_id: claim for claim in claims}
    found = source.read(connection, space, list(by_id))
    return [Work(by_id[one.document_id], one.document, one.versions, one.refusal) for one in found]


FENCE = """
DELETE FROM semsearch.tasks t
USING unnest(:ids, :versions) AS u (id, version)
WHERE t.collection_id = :collection_id AND t.document_id = u.id AND t.version = u.version
RETURNING t.document_id
"""


def fence(connection: Connection, space: Space, works: Sequence[Work]) -> list[Work]:
    """Delete the tasks of these documents; returns those whose versions were all still there.

    Only they may be stored, in this same transaction. Of the others nothing is deleted, so that no change is lost.
    Raises NotFound, CollectionChanged: a text read from the table that was attached before answers no task of this one.
    """
    require_same(connection, space)
    locked = source.lock(connection, space, [work.claim.document_id for work in works])
    held = [w for w in works if w.versions and (w.document is None or w.claim.document_id in locked)]
    while held:
        with connection.begin_nested() as savepoint:
            lost = _missing(connection, space, held)
            if not lost:
                return held
            savepoint.rollback()
        held = [w for w in held if w.claim.document_id not in lost]
    return []


def _missing(connection: Connection, space: Space, works: Sequence[Work]) -> set[str]:
    pairs = [(w.claim.document_id, version) for w in works for version in w.versions]
    deleted = connection.execute(
        text(FENCE).bindparams(
            ids([id for id, _ in pairs]), bindparam("versions", [v for _, v in pairs], type_=ARRAY(BIGINT))
        ),
        {"collection_id": space.collection_id},
    )
    remaining = {w.claim.document_id: len(w.versions) for w in works}
    for id in deleted.scalars():
        remaining[id] -= 1
    return {id for id, count in remaining.items() if count}


GIVE_UP = """
INSERT INTO semsearch.failures AS f (collection_id, document_id, reason, attempts)
VALUES (:collection_id, :document_id, :reason, :attempts)
ON CONFLICT (collection_id, document_id) DO UPDATE
SET reason = excluded.reason, attempts = excluded.attempts, failed_at = excluded.failed_at
"""

FORGIVE = "DELETE FROM semsearch.failures WHERE collection_id = :collection_id AND document_id = ANY(:ids)"
DISCARD = "DELETE FROM semsearch.tasks WHERE collection_id = :collection_id AND document_id = ANY(:ids)"


def give_up(connection: Connection, space: Space, work: Work, reason: str) -> None:
    """Write a document off, with the reason; call it after `fence` has let it through."""
    connection.execute(
        text(GIVE_UP),
        {
            "collection_id": space.collection_id,
            "document_id": work.claim.document_id,
            "reason": reason[:500],
            "attempts": work.claim.attempt,
        },
    )


def forgive(connection: Connection, space: Space, document_ids: Sequence[str]) -> None:
    """Forget earlier failures of documents that are stored now."""
    connection.execute(text(FORGIVE).bindparams(ids(document_ids)), {"collection_id": space.collection_id})


def discard(connection: Connection, space: Space, document_ids: Sequence[str]) -> None:
    """Remove the tasks of documents that are being stored with given embeddings: what a worker holds is then fenced."""
    connection.execute(text(DISCARD).bindparams(ids(document_ids)), {"collection_id": space.collection_id})


ANY = """
SELECT EXISTS (SELECT FROM semsearch.tasks WHERE collection_id = :collection_id)
    OR EXISTS (SELECT FROM semsearch.failures WHERE collection_id = :collection_id)
"""


def any_for(connection: Connection, space: Space) -> bool:
    """Whether any document of the collection has a task or a failure."""
    return bool(connection.execute(text(ANY), {"collection_id": space.collection_id}).scalar_one())


PENDING = """
SELECT count(DISTINCT document_id) FROM semsearch.tasks
WHERE collection_id = :collection_id AND version <= coalesce(:until, 9223372036854775807)
"""
WAITING = """
SELECT count(DISTINCT document_id) FROM semsearch.tasks
WHERE collection_id = :collection_id AND document_id = ANY(:ids)
"""


def pending(connection: Connection, space: Space, until: int | None = None) -> int:
    """Documents that wait to be brought up to date (for a change up to that version)."""
    values = {"collection_id": space.collection_id, "until": until}
    return int(connection.execute(text(PENDING), values).scalar_one())


def waiting(connection: Connection, space: Space, ids: Sequence[str]) -> int:
    """How many of these documents wait to be brought up to date."""
    values = {"collection_id": space.collection_id, "ids": list(ids)}
    return int(connection.execute(text(WAITING), values).scalar_one())


def latest_version(connection: Connection) -> int:
    """No task written before this moment has a later version."""
    return int(connection.execute(text("SELECT last_value FROM semsearch.task_version")).scalar_one())


def now(connection: Connection) -> datetime:
    """The database's clock, the only one that counts."""
    moment: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return moment


def failed(connection: Connection, space: Space, since: datetime | None = None) -> dict[str, str]:
    """Documents that were given up (since then) and why."""
    rows = connection.execute(
        text("""
        SELECT document_id, reason FROM semsearch.failures
        WHERE collection_id = :collection_id AND failed_at >= coalesce(:since, '-infinity'::timestamptz)
        ORDER BY document_id
        """),
        {"collection_id": space.collection_id, "since": since},
    )
    return {row.document_id: row.reason for row in rows}
