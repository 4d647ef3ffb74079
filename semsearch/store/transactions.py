"""Runs what belongs into one transaction until it is done: again after conflicts and lost connections."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import psycopg
from psycopg import errors
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from semsearch.errors import DatabaseUnavailable
from semsearch.store.complaints import is_away, is_lost, reason
from semsearch.store.watchdog import Watched

T = TypeVar("T")

# Two writers that met: Oban's numbers for expected conflicts. The pauses are 2 s together.
CONFLICTS = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
CONFLICT_TRIES = 20
CONFLICT_PAUSE = 0.01  # seconds, times the number of the try

PATIENCE = 60.0  # seconds for which a database that is away or starts again is waited for
PAUSE = 0.1  # seconds before the second new connection; doubles
LONGEST_PAUSE = 2.0

logger = logging.getLogger(__name__)


def in_transaction(engine: Engine, action: Callable[[Connection], T]) -> T:
    """Run it in a transaction of its own; returns what the one run returned that was committed.

    It runs again after a conflict (40001, 40P01, 55P03) and, for up to PATIENCE, when the connection was lost or none
    can be had: so it may do nothing that a rollback does not undo. When the answer to a COMMIT was lost, the server is
    asked what became of it.
    """
    conflicts = 0
    patience = _Patience()
    lost: _Run[T] | None = None
    while True:
        run = _Run(action)
        try:
            if lost and lost.was_committed(engine):
                return lost.result[0]
            lost = None
            return run.on(engine)
        except (psycopg.Error, DBAPIError, DatabaseUnavailable) as error:
            if isinstance(reason(error), CONFLICTS) and conflicts < CONFLICT_TRIES:
                conflicts += 1
                time.sleep(CONFLICT_PAUSE * conflicts * random.random())  # noqa: S311
            elif is_away(error):
                lost = lost or run
                patience.pause(error)
            else:
                raise


@dataclass
class _Run(Generic[T]):
    """One try at a transaction, and what is needed to tell later how it ended."""

    action: Callable[[Connection], T]
    name: str | None = None  # of the connection
    result: list[T] = field(default_factory=list)  # empty until COMMIT was sent
    number: str | None = None  # of the transaction; None when it changed nothing

    def on(self, engine: Engine) -> T:
        with engine.begin() as connection:
            raw = connection.connection.driver_connection
            self.name = raw.name if isinstance(raw, Watched) else None
            result = self.action(connection)
            self.number = connection.exec_driver_sql("SELECT pg_current_xact_id_if_assigned()::text").scalar()
            self.result.append(result)
        return result

    def was_committed(self, engine: Engine) -> bool:
        """Asked on another connection, after this one was lost."""
        with engine.connect() as connection:
            # The server may not know that we are gone, and keep our locks for hours.
            connection.execute(END, {"name": self.name})
            if not self.result:
                return False
            return self.number is None or _was_committed(connection, self.number)


# Not an idle one: a pooler may just be giving it to somebody else.
END = text("""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE (application_name = :name OR starts_with(application_name, :name || ' ')) AND usename = current_user
  AND state <> 'idle' AND pid <> pg_backend_pid()
""")


def _was_committed(connection: Connection, number: str) -> bool:
    """What the server says of a transaction; one that it knows nothing of (a replica took over) was not."""
    begun = time.monotonic()
    while True:
        try:
            asked = connection.execute(text("SELECT pg_xact_status(CAST(:number AS xid8))"), {"number": number})
        except DBAPIError as error:
            if isinstance(error.orig, errors.InvalidParameterValue):
                return False
            raise
        status = asked.scalar()
        if status != "in progress":
            return bool(status == "committed")
        if time.monotonic() - begun > PATIENCE:
            raise DatabaseUnavailable("the database does not end a transaction whose connection was lost: try again.")
        time.sleep(PAUSE)


class _Patience:
    """Pauses before new connections: none before the first, then longer ones, with full jitter."""

    told = -PATIENCE  # when the log was told last, by whichever thread

    def __init__(self) -> None:
        self._begun: float | None = None
        self._longest = 0.0

    def pause(self, error: Exception) -> None:
        """Raises the error when there has been none without it for PATIENCE."""
        now = time.monotonic()
        if self._begun is None:
            self._begun = now
        elif now - self._begun > PATIENCE:
            raise error
        elif now - _Patience.told > PATIENCE:
            _Patience.told = now
            said = " ".join(str(reason(error)).split())
            logger.warning("The database is away (%s); trying again for %.0f seconds.", said, PATIENCE)
        time.sleep(self._longest * random.random())  # noqa: S311
        self._longest = min(max(PAUSE, 2 * self._longest), LONGEST_PAUSE)


def again_when_lost(engine: Engine, read: Callable[[], T]) -> T:
    """Run it; once more on new connections when the pool's had been cut: cheaper than to test each before its use."""
    try:
        return read()
    except (psycopg.Error, DBAPIError) as error:
        if not is_lost(error):
            raise
        engine.dispose()
        return read()
