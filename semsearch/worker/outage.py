"""What to do while the database is away: try again, for ever, and say so once."""

from __future__ import annotations

import random
import threading

from semsearch.worker.events import tell, warn
from semsearch.worker.trouble import sentence

SHORTEST, LONGEST = 0.1, 30.0  # seconds


class Outage:
    """Shared by all threads of a worker."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tries = 0

    def met(self, error: Exception) -> float:
        """The database could not be used; returns the seconds to wait, with full jitter."""
        with self._lock:
            self._tries += 1
            tries = self._tries
        if tries == 1:
            warn("database_unavailable", reason=sentence(error))
        return random.uniform(0, min(LONGEST, SHORTEST * 2 ** min(tries, 20)))  # noqa: S311

    def over(self) -> None:
        """It could be used again."""
        with self._lock:
            tries, self._tries = self._tries, 0
        if tries:
            tell("database_available", tries=tries)
