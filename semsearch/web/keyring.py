"""Keys as they were a moment ago: not every request asks the database, and one that was revoked ends in seconds."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from semsearch.store import api_keys
from semsearch.store.api_keys import Found

FRESH = 3.0  # seconds for which an answer of the database is believed
REMEMBERED = 10_000  # keys and ids that are none


@dataclass(frozen=True)
class Known:
    """What the database said of an id, and for how long that is to be believed (by the monotonic clock)."""

    found: Found | None
    until: float


class Keyring:
    """Safe to use from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._none_until = 0.0  # no key has been made, as was seen lately
        self._some = False
        self._lock = threading.Lock()
        self._asking = threading.Lock()

    def known(self, id: str) -> Known | None:
        """Without asking anybody; None: unknown, or known for too long."""
        seen = self._known.get(id)
        return seen if seen and seen.until > time.monotonic() else None

    def was_valid(self, id: str) -> bool:
        """Whether there was such a key when it was last looked for."""
        seen = self._known.get(id)
        return seen is not None and seen.found is not None

    def look_up(self, id: str, key: str) -> Known:
        """Ask the database; whoever comes meanwhile shares the answer. A use of the right key is noted."""
        with self._asking:
            if seen := self.known(id):
                return seen
            asked = time.monotonic()
            with self._engine.connect() as connection:
                found = api_keys.find(connection, id)
            if found and found.key.state == "valid" and found.is_of(key):
                self._note_use(id)
            seen = Known(found, asked + min(FRESH, _remaining(found)))
            self._remember(id, seen)
            return seen

    @property
    def is_open(self) -> bool | None:
        """Whether nobody has made any key yet; None: the database must be asked."""
        if self._some:
            return False
        return True if self._none_until > time.monotonic() else None

    def look_whether_open(self) -> bool:
        """Ask the database whether there are keys. Once there are, the door does not open again."""
        with self._asking:
            if self.is_open is None:
                with self._engine.connect() as connection:
                    self._some = api_keys.are_there(connection)
                self._none_until = time.monotonic() + FRESH
            return not self._some

    def _note_use(self, id: str) -> None:
        with suppress(DBAPIError), self._engine.begin() as connection:  # a replica cannot
            api_keys.note_use(connection, id)

    def _remember(self, id: str, seen: Known) -> None:
        with self._lock:
            self._known[id] = seen
            self._known.move_to_end(id)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)


def _remaining(found: Found | None) -> float:
    """Seconds until a valid key ends by itself."""
    if found is None or found.seconds is None or found.key.state != "valid":
        return FRESH
    return max(found.seconds, 0.0)
