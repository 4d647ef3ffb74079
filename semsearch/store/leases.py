"""Who works on what: a worker's heartbeat, the return of its leases, and those of workers that died."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import psycopg
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, FLOAT, TEXT

from semsearch.errors import Conflict, DatabaseUnavailable
from semsearch.store import tasks
from semsearch.store.connection import Address
from semsearch.store.spaces import Space
from semsearch.version import __version__

LEASE = 60.0  # seconds
WORKER_LOCK = 7364  # first half of the advisory lock every living worker holds; the second is its number

LOOK = 1.0  # seconds between looks whether the heartbeat's connection is still there

# Seconds before a fenced document is tried again, unless it changes meanwhile: at first, and at most. Somebody may hold
# its row for hours, and each try pays for its embeddings again.
PAUSE, LONGEST_PAUSE = 1.0, 30.0
BACK_OFF, LONGEST_BACK_OFF = 5.0, 3600.0  # seconds; twice as long with each attempt that failed

# now() is right here: each beat is a transaction of its own. Citus takes no clock_timestamp() in an UPDATE.
# A lease that is locked is just ending, and is left alone: its worker locks several in another order than we would.
BEAT = """
UPDATE semsearch.leases l SET expires_at = now() + make_interval(secs => %s)
FROM (
    SELECT collection_id, document_id FROM semsearch.leases
    WHERE token = ANY(%s) AND expires_at > now()
    FOR UPDATE SKIP LOCKED
) held
WHERE l.collection_id = held.collection_id AND l.document_id = held.document_id
"""
ENTER = """
INSERT INTO semsearch.workers AS w (number, host, process_id, version) VALUES (%s, %s, %s, %s)
ON CONFLICT (number) DO UPDATE
SET host = excluded.host, process_id = excluded.process_id, version = excluded.version,
    started_at = excluded.started_at, seen_at = excluded.seen_at
"""
SEEN = "UPDATE semsearch.workers SET seen_at = now() WHERE number = %s"


class Worker:
    """A living worker: it holds a number and keeps its leases alive, on a connection and thread of its own.

    The session's advisory lock on the number ends with the process, however it ends, so that others may take its
    leases over at once (`release_dead`). Behind a pooler sessions are nobody's own: there the number is negative,
    and the leases of the dead expire. A beat that finds no database is tried again until it does; `error` is what
    ended the heartbeat otherwise, and nobody should go on working then.
    """

    def __init__(self, address: Address, lease: float = LEASE) -> None:
        self.lease = lease
        self.error: BaseException | None = None
        self._address = address
        self._process = os.getpid()
        self._tokens: Counter[int] = Counter()
        self._counting = threading.Lock()
        self._connection: psycopg.Connection[Any] = self._connect()
        try:
            self._number = self._take_number()
            self._entered = self._enter()
        except BaseException:
            self._connection.close()
            raise
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"heartbeat {self._number}", daemon=True)
        self._thread.start()

    @property
    def number(self) -> int:
        """Raises Conflict in a forked child: the heartbeat does not live there, and the connections are shared."""
        if os.getpid() != self._process:
            raise Conflict(f"worker {self._number} belongs to process {self._process}: make a new one after a fork.")
        return self._number

    def hold(self, claims: Iterable[tasks.Claim]) -> None:
        """Keep the leases of these claims alive from now on."""
        with self._counting:
            self._tokens.update(claim.token for claim in claims)

    def let_go(self, claims: Iterable[tasks.Claim]) -> None:
        """They are done, or given back."""
        with self._counting:
            self._tokens.subtract(claim.token for claim in claims)
            self._tokens = +self._tokens

    def _connect(self) -> psycopg.Connection[Any]:
        return self._address.connect(autocommit=True, vectors=False)

    def _take_number(self) -> int:
        row = self._connection.execute("SELECT nextval('semsearch.worker_number')::int").fetchone()
        assert row is not None
        number: int = row[0]
        return -number if self._address.pooled else number

    def _enter(self) -> bool:
        """Say that we are there. False while the lock is held: by a session of ours that the server thinks alive."""
        alone = True
        if self._number > 0:
            lock = "SELECT pg_try_advisory_lock(%s, %s)"
            alone = self._connection.execute(lock, (WORKER_LOCK, self._number)).fetchone() == (True,)
        self._connection.execute(ENTER, (self._number, socket.gethostname(), self._process, __version__))
        return alone

    def _live(self) -> None:
        try:
            failures = 0
            while not self._stopped_within(self._pause(failures)):
                failures = 0 if self._beat() else failures + 1
        except BaseException as error:
            self.error = error

    def _pause(self, failures: int) -> float:
        """Seconds to the next beat; while there is no database, soon, but never all workers at once.

        Sooner where there is one that does not let us enter: once our old session ends, we pass for dead until we do.
        """
        usual = self.lease / 3
        if not failures:
            return usual
        longest = usual if self._connection.closed else LOOK
        return random.uniform(0, min(longest, 0.1 * 2 ** min(failures, 20)))  # noqa: S311

    def _stopped_within(self, seconds: float) -> bool:
        """Wait for the next beat, which is due at once when the server hangs up: our lock is gone with the session."""
        due = time.monotonic() + seconds
        while (left := due - time.monotonic()) > 0:
            if self._stop.wait(min(left, LOOK)):
                return True
            if self._is_cut():
                return False
        return self._stop.is_set()

    def _is_cut(self) -> bool:
        if self._connection.closed:
            return False  # known, and being tried again
        try:
            self._connection.pgconn.consume_input()
        except psycopg.OperationalError:
            return True
        return False

    def _beat(self) -> bool:
        """Whether the database has heard it, and knows us alive. What was lost meanwhile is fenced by its versions."""
        try:
            if self._connection.closed:
                self._entered = False
                self._connection = self._connect()
            if not self._entered:
                self._entered = self._enter()
            self._connection.execute(SEEN, (self._number,))
            with self._counting:
                tokens = list(self._tokens)
            self._connection.execute(BEAT, (self.lease, tokens))
        except (psycopg.Error, DatabaseUnavailable):
            return False
        return self._entered

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)  # it may be waiting for a server that does not answer
        with contextlib.suppress(psycopg.Error):  # the server ends a session a moment after the client has left it
            self._connection.execute("DELETE FROM semsearch.workers WHERE number = %s", (self._number,))
            if self._number > 0:
                self._connection.execute("SELECT pg_advisory_unlock(%s, %s)", (WORKER_LOCK, self._number))
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


OURS = "l.collection_id = :collection_id AND l.document_id = ANY(:ids) AND l.token = ANY(:tokens)"
END = f"DELETE FROM semsearch.leases l WHERE {OURS} AND l.not_before <= now()"  # noqa: S608
POSTPONE = f"""
UPDATE semsearch.leases l
SET expires_at = now(), not_before = now() + make_interval(secs => coalesce(:seconds, w.pause)), attempt = l.attempt - 1
FROM (
    -- A quarter of the time it has waited, in the queue or for whoever holds its row: nobody counts the tries.
    SELECT t.document_id,
           least(:most, greatest(:least, extract(epoch FROM now() - min(t.enqueued_at)) / 4)) AS pause
    FROM semsearch.tasks t WHERE t.collection_id = :collection_id AND t.document_id = ANY(:ids)
    GROUP BY t.document_id
) w
WHERE {OURS} AND w.document_id = l.document_id
"""  # noqa: S608
GIVE_BACK = f"""
UPDATE semsearch.leases l SET expires_at = now(), attempt = l.attempt - 1
WHERE {OURS} AND l.attempt > 1 AND l.not_before <= now()
"""  # noqa: S608
BACKED_OFF = """
UPDATE semsearch.leases l
SET expires_at = now(), not_before = now() + make_interval(secs => u.seconds), reason = u.reason
FROM unnest(:ids, :reasons, :delays) AS u (id, reason, seconds)
WHERE l.collection_id = :collection_id AND l.document_id = u.id AND l.token = ANY(:tokens)
"""


def end(connection: Connection, space: Space, claims: Sequence[tasks.Claim]) -> None:
    """End the leases of documents that are done, unless they were postponed."""
    _execute(connection, END, space, claims)


def give_back(connection: Connection, space: Space, claims: Sequence[tasks.Claim]) -> None:
    """Have documents claimed again at once, as if this attempt had not been; those before it stay charged."""
    _execute(connection, GIVE_BACK, space, claims)
    _execute(connection, END, space, [claim for claim in claims if claim.attempt <= 1])


def postpone(connection: Connection, space: Space, claims: Sequence[tasks.Claim], seconds: float | None = None) -> None:
    """Have documents claimed again after a pause, or at once when they change. The attempt is not charged.

    Unless the pause is given, it is the longer the longer they have waited.
    """
    _execute(connection, POSTPONE, space, claims, seconds=seconds, least=PAUSE, most=LONGEST_PAUSE)


def back_off(connection: Connection, space: Space, claims: Sequence[tasks.Claim], reasons: Mapping[str, str]) -> None:
    """Have documents tried again the later the more often they failed, or at once when they change."""
    if not claims:
        return
    delays = [random.uniform(0, min(LONGEST_BACK_OFF, BACK_OFF * 2**claim.attempt)) for claim in claims]  # noqa: S311
    given = [reasons[claim.document_id][:500] for claim in claims]
    bound = text(BACKED_OFF).bindparams(
        tasks.ids([claim.document_id for claim in claims]),
        bindparam("reasons", given, type_=ARRAY(TEXT)),
        bindparam("delays", delays, type_=ARRAY(FLOAT)),
    )
    values = {"collection_id": space.collection_id, "tokens": list({claim.token for claim in claims})}
    connection.execute(bound, values)


def _execute(
    connection: Connection, statement: str, space: Space, claims: Sequence[tasks.Claim], **values: object
) -> None:
    if claims:
        connection.execute(
            text(statement).bindparams(tasks.ids([claim.document_id for claim in claims])),
            {"collection_id": space.collection_id, "tokens": list({claim.token for claim in claims}), **values},
        )


WORKERS = """
SELECT worker FROM semsearch.leases WHERE expires_at > now() AND worker > 0
UNION SELECT number FROM semsearch.workers WHERE number > 0
"""
# Not one that is locked: its worker lives after all, cut off from its heartbeat, and is just ending it. Another look
# finds it if that comes to nothing.
DEAD = (
    """
    UPDATE semsearch.leases l SET expires_at = now()
    FROM (
        SELECT collection_id, document_id FROM semsearch.leases WHERE worker = :number AND expires_at > now()
        FOR UPDATE SKIP LOCKED
    ) held
    WHERE l.collection_id = held.collection_id AND l.document_id = held.document_id
    """,
    "DELETE FROM semsearch.workers WHERE number = :number",
)


def release_dead(connection: Connection) -> None:
    """Let the leases of workers that no longer live expire now; their attempts stay charged."""
    for number in connection.execute(text(WORKERS)).scalars().all():
        # Held until this transaction ends; a living worker holds it in its own session, so we cannot get it.
        free = connection.execute(
            text("SELECT pg_try_advisory_xact_lock(:lock, :number)"), {"lock": WORKER_LOCK, "number": number}
        ).scalar_one()
        if free:
            for statement in DEAD:
                connection.execute(text(statement), {"number": number})


# A lease without a task is left when its worker died and the document was deleted; a worker behind a pooler that died
# leaves its row.
TIDY = (
    """
    DELETE FROM semsearch.leases d
    USING (
        SELECT l.collection_id, l.document_id FROM semsearch.leases l
        WHERE l.expires_at <= now() AND l.not_before <= now()
          AND NOT EXISTS (SELECT FROM semsearch.tasks t
                          WHERE t.collection_id = l.collection_id AND t.document_id = l.document_id)
        FOR UPDATE SKIP LOCKED
    ) dead
    WHERE d.collection_id = dead.collection_id AND d.document_id = dead.document_id
    """,
    "DELETE FROM semsearch.workers WHERE seen_at < now() - interval '1 hour'",
)


def tidy(connection: Connection) -> None:
    """Remove what the dead have left and the living do not need."""
    for statement in TIDY:
        connection.execute(text(statement))
