"""Who works on what: a worker's heartbeat, the release of its leases, and those of workers that died."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import psycopg
from sqlalchemy import Connection, text

from semsearch.store import tasks
from semsearch.store.connection import Address
from semsearch.store.spaces import Space

LEASE = 60.0  # seconds
WORKER_LOCK = 7364  # first half of the advisory lock every living worker holds; the second is its number

PAUSE = 1.0  # seconds before a fenced document is tried again, unless it changes meanwhile

# now() is right here: each beat is a transaction of its own. Citus takes no clock_timestamp() in an UPDATE.
BEAT = """
UPDATE semsearch.leases SET expires_at = now() + make_interval(secs => %s)
WHERE worker = %s AND expires_at > now()
"""


class Worker:
    """A living worker: it holds a number and keeps its leases alive, on a connection and thread of its own.

    The session's advisory lock on the number ends with the process, however it ends, so that others may take its
    leases over at once (`release_dead`) instead of waiting for them to expire.
    """

    def __init__(self, address: Address, lease: float = LEASE) -> None:
        self.lease = lease
        self._connection: psycopg.Connection[Any] = address.connect(autocommit=True, vectors=False)
        try:
            self.number = self._enter()
        except BaseException:
            self._connection.close()
            raise
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat {self.number}", daemon=True)
        self._thread.start()

    def _enter(self) -> int:
        """A number of its own, and the lock on it."""
        row = self._connection.execute("SELECT nextval('semsearch.worker_number')::int").fetchone()
        assert row is not None
        number: int = row[0]
        self._connection.execute("SELECT pg_advisory_lock(%s, %s)", (WORKER_LOCK, number))
        return number

    def _beat(self) -> None:
        while not self._stop.wait(self.lease / 3):
            try:
                self._connection.execute(BEAT, (self.lease, self.number))
            except psycopg.Error:
                return  # the leases expire, and what we finish after that is fenced

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(psycopg.Error):  # the server ends a session a moment after the client has left it
            self._connection.execute("SELECT pg_advisory_unlock_all()")
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


OURS = "l.collection_id = :collection_id AND l.document_id = ANY(:ids) AND l.token = ANY(:tokens)"
END = f"DELETE FROM semsearch.leases l WHERE {OURS} AND l.not_before <= now()"  # noqa: S608
POSTPONE = f"""
UPDATE semsearch.leases l
SET expires_at = now(), not_before = now() + make_interval(secs => {PAUSE}), attempt = l.attempt - 1
WHERE {OURS}
  AND EXISTS (SELECT FROM semsearch.tasks t
              WHERE t.collection_id = l.collection_id AND t.document_id = l.document_id)
"""  # noqa: S608


def end(connection: Connection, space: Space, claims: Sequence[tasks.Claim]) -> None:
    """Give leases back: the documents are done, or may be claimed again at once, unless they were postponed."""
    _execute(connection, END, space, claims)


def postpone(connection: Connection, space: Space, claims: Sequence[tasks.Claim]) -> None:
    """Have documents that were fenced claimed again after a pause, or at once when they change."""
    _execute(connection, POSTPONE, space, claims)


def _execute(connection: Connection, statement: str, space: Space, claims: Sequence[tasks.Claim]) -> None:
    if claims:
        connection.execute(
            text(statement).bindparams(tasks.ids([c.document_id for c in claims])),
            {"collection_id": space.collection_id, "tokens": list({c.token for c in claims})},
        )


def release_dead(connection: Connection) -> None:
    """Let the leases of workers that no longer live expire now; their attempts stay charged."""
    workers = connection.execute(text("SELECT DISTINCT worker FROM semsearch.leases WHERE expires_at > now()"))
    for number in workers.scalars().all():
        # Held until this transaction ends; a living worker holds it in its own session, so we cannot get it.
        free = connection.execute(
            text("SELECT pg_try_advisory_xact_lock(:lock, :number)"), {"lock": WORKER_LOCK, "number": number}
        ).scalar_one()
        if free:
            connection.execute(
                text("UPDATE semsearch.leases SET expires_at = now() WHERE worker = :number"), {"number": number}
            )
