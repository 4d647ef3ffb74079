"""Looks at the database during a chaos run, snapshot after snapshot, and remembers what was wrong."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import psycopg

from tests.faults import invariants
from tests.faults.invariants import Subject, Violations

PAUSE = 0.05  # seconds between snapshots: most of the cores is for those who are watched


class Watch(threading.Thread):
    """Takes snapshots until it is stopped, on a connection of its own that it makes again when it is lost."""

    def __init__(self, conninfo: str, subjects: Sequence[Subject]) -> None:
        super().__init__(name="watch", daemon=True)
        self._conninfo, self._subjects = conninfo, subjects
        self._stopping = threading.Event()
        self.snapshots = 0
        self.largest_backlog = 0
        self.settled = 0.0  # shares of the documents that had no task, added up
        self.violated: Counter[str] = Counter()  # snapshots in which it was
        self.examples: Violations = {}

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                with psycopg.connect(self._conninfo, autocommit=True, connect_timeout=10) as connection:
                    connection.execute("SET jit = off")
                    while not self._stopping.wait(PAUSE):
                        self._look(connection)
            except psycopg.OperationalError:
                time.sleep(0.05)

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        found = invariants.violations(connection, *self._subjects)
        self.largest_backlog = max(self.largest_backlog, invariants.backlog(connection))
        self.settled += invariants.settled(connection, *self._subjects)
        self.snapshots += 1
        for wrong, ids in found.items():
            self.violated[wrong] += 1
            self.examples.setdefault(wrong, ids[:3])

    def stop(self) -> None:
        self._stopping.set()
        self.join()
