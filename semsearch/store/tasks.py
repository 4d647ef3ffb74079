"""The queue: claim what must be brought up to date, read it, and fence what is stored.

An embedding is stored only by the transaction that deletes the very task versions it was computed from. Every time
comes from the database's clock. Versions are compared by `=` only: on Citus a sequence is per node.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, TEXT

from semsearch.records import Document
from semsearch.store.spaces import Space

READ_BYTES = 32 * 2**20  # text read at once; one longer document is read alone


@dataclass(frozen=True)
class Claim:
    """A document leased to us. `attempt` was charged when the claim was committed, so it survives our death."""

    document_id: str
    token: int
    attempt: int


@dataclass(frozen=True)
class Work:
    """A claimed document as one statement read it: its text, and exactly the task versions that text answers."""

    claim: Claim
    document: Document | None  # None: deleted, so its chunks go
    versions: tuple[int, ...]


CLAIM = text("""
WITH candidates AS (
    SELECT t.collection_id, t.document_id, t.version
    FROM semsearch.tasks t
    LEFT JOIN semsearch.leases l ON l.collection_id = t.collection_id AND l.document_id = t.document_id
    WHERE t.collection_id = :collection_id
      AND (l.document_id IS NULL
           OR (l.expires_at <= now() AND (l.not_before <= now() OR t.version > l.version)))
    ORDER BY t.lane, t.version
    LIMIT :count
    FOR UPDATE OF t SKIP LOCKED
)
INSERT INTO semsearch.leases AS l
    (collection_id, document_id, token, version, worker, attempt, claimed_at, expires_at)
SELECT DISTINCT ON (collection_id, document_id)
       collection_id, document_id, :token, version, :worker, 1, now(), now() + make_interval(secs => :seconds)
FROM candidates
ORDER BY collection_id, document_id, version DESC
-- SKIP LOCKED alone is not enough: another worker may have leased the document between our snapshot and our lock
-- (503 of 2,000 claimed twice without this guard, 0 with it).
ON CONFLICT (collection_id, document_id) DO UPDATE
SET token = excluded.token, version = excluded.version, worker = excluded.worker,
    attempt = CASE WHEN l.version = excluded.version THEN l.attempt + 1 ELSE 1 END,
    claimed_at = excluded.claimed_at, expires_at = excluded.expires_at, not_before = '-infinity'
WHERE l.expires_at <= excluded.claimed_at
  AND (l.not_before <= excluded.claimed_at OR l.version <> excluded.version)
RETURNING l.document_id, l.attempt
""")


def claim(connection: Connection, space: Space, worker: int, count: int, seconds: float) -> list[Claim]:
    """Lease up to `count` documents for so many seconds."""
    token = connection.execute(text("SELECT nextval('semsearch.lease_token')")).scalar_one()
    found = connection.execute(
        CLAIM,
        {"collection_id": space.collection_id, "count": count, "token": token, "worker": worker, "seconds": seconds},
    )
    return [Claim(row.document_id, token, row.attempt) for row in found]


def ids(values: Sequence[str]) -> Any:
    return bindparam("ids", list(values), type_=ARRAY(TEXT))


SIZES = """
SELECT u.id, coalesce(octet_length(d.text), 0) AS bytes
FROM unnest(:ids) AS u (id)
LEFT JOIN semsearch.documents d ON d.collection_id = :collection_id AND d.id = u.id
"""

# Versions and text in one statement, hence one snapshot: read one after the other they were stale in 43 of 115 checks.
READ = """
SELECT u.id AS document_id, d.id IS NOT NULL AS present, d.title, d.text, d.format, d.metadata,
       ARRAY(SELECT t.version FROM semsearch.tasks t
             WHERE t.collection_id = :collection_id AND t.document_id = u.id) AS versions
FROM unnest(:ids) AS u (id)
LEFT JOIN semsearch.documents d ON d.collection_id = :collection_id AND d.id = u.id
"""


def portions(connection: Connection, space: Space, claims: Sequence[Claim]) -> Iterator[list[Claim]]:
    """The claims in portions whose texts fit READ_BYTES together."""
    sizes = connection.execute(
        text(SIZES).bindparams(ids([c.document_id for c in claims])), {"collection_id": space.collection_id}
    )
    size_of = {row.id: row.bytes for row in sizes}
    portion: list[Claim] = []
    total = 0
    for claim in claims:
        if portion and total + size_of[claim.document_id] > READ_BYTES:
            yield portion
            portion, total = [], 0
        portion.append(claim)
        total += size_of[claim.document_id]
    if portion:
        yield portion


def read(connection: Connection, space: Space, claims: Sequence[Claim]) -> list[Work]:
    """What the claimed documents are now. A claim whose task is gone comes back without versions."""
    by_id = {claim.document_id: claim for claim in claims}
    rows = connection.execute(text(READ).bindparams(ids(list(by_id))), {"collection_id": space.collection_id})
    return [
        Work(
            by_id[row.document_id],
            Document(row.document_id, row.text, row.metadata, row.title, row.format) if row.present else None,
            tuple(row.versions),
        )
        for row in rows
    ]


# A DELETE under way holds FOR UPDATE: SKIP LOCKED leaves such a document out instead of waiting, and its chunks can
# not appear after it is gone. An UPDATE of the text does not conflict with KEY SHARE, so a user never waits for us.
LOCK_SOURCE = """
SELECT id FROM semsearch.documents
WHERE collection_id = :collection_id AND id = ANY(:ids)
ORDER BY id
FOR KEY SHARE SKIP LOCKED
"""

FENCE = """
DELETE FROM semsearch.tasks t
USING unnest(:ids, :versions) AS u (id, version)
WHERE t.collection_id = :collection_id AND t.document_id = u.id AND t.version = u.version
RETURNING t.document_id
"""


def fence(connection: Connection, space: Space, works: Sequence[Work]) -> list[Work]:
    """Delete the tasks of these documents; returns those whose versions were all still there.

    Only they may be stored, in this same transaction. Of the others nothing is deleted, so that no change is lost.
    """
    there = connection.execute(
        text(LOCK_SOURCE).bindparams(ids([w.claim.document_id for w in works])),
        {"collection_id": space.collection_id},
    )
    locked = set(there.scalars())
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


PENDING = """
SELECT count(DISTINCT document_id) FROM semsearch.tasks
WHERE collection_id = :collection_id AND version <= coalesce(:until, 9223372036854775807)
"""


def pending(connection: Connection, space: Space, until: int | None = None) -> int:
    """Documents that wait to be brought up to date (for a change up to that version)."""
    values = {"collection_id": space.collection_id, "until": until}
    return int(connection.execute(text(PENDING), values).scalar_one())


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
