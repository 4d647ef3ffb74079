"""Whether requests can be answered: the database is there and as this program wants it, its worker is at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from semsearch.database import Database
from semsearch.errors import SchemaMismatch, SemsearchError
from semsearch.store import migrate

BELIEVED = 1.0  # seconds: whoever asks more often than that gets the same answer


class Readiness:
    """`worker` says what has failed in the worker of this process, if there is one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.worker: Callable[[], Exception | None] | None = None
        self._lock = threading.Lock()
        self._seen: dict[str, str] = {}
        self._until = 0.0

    def look(self) -> dict[str, str]:
        """Each part with "ok", or with what it is instead; says no more, for everybody may ask."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._seen = {"database": self._look_at_database()}
                self._until = time.monotonic() + BELIEVED
            parts = dict(self._seen)
        if self.worker is not None:
            parts["worker"] = "ok" if self.worker() is None else "failed"
        return parts

    def _look_at_database(self) -> str:
        try:
            migrate.require_current(self._database.pools.address)
        except SchemaMismatch:
            return "schema mismatch"
        except SemsearchError:
            return "unavailable"
        return "ok"
