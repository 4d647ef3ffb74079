"""What the server can spare for an ANN index, as far as a client can see."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from sqlalchemy import Connection, text

from semsearch.store.connection import driver

# Seconds for one distance of 2,000 dimensions, as `_distance_seconds` measures it, on the machine of `index_sizes`:
# taken from builds of 5,000 to 80,000 vectors on another one (tests/benchmarks/advice.py).
REFERENCE = 0.18e-6
COMPARED = 50_000  # distances by which the machine is judged


class Server(NamedTuple):
    """Bytes of memory, processes for a build, and how many times slower it is than the machine of `index_sizes`."""

    shared_buffers: int
    maintenance_work_mem: int
    effective_cache_size: int
    processes: int
    scale: float = 1.0

    @property
    def build_memory(self) -> int:
        """What a build takes at most (`index_build.set_resources`)."""
        return max(self.maintenance_work_mem, self.shared_buffers // 2)


SETTINGS = text("""
SELECT pg_size_bytes(current_setting('shared_buffers')), pg_size_bytes(current_setting('maintenance_work_mem')),
       pg_size_bytes(current_setting('effective_cache_size')), current_setting('max_parallel_workers')::int
""")


def look(connection: Connection) -> Server:
    """Its settings, and what it makes of 50,000 distances (20 ms)."""
    buffers, maintenance, cache, workers = connection.execute(SETTINGS).one()
    local = driver(connection).info.host.startswith("/")
    extra = min(workers, max(1, (os.cpu_count() or 2) - 1)) if local else workers
    return Server(buffers, maintenance, cache, extra + 1, _distance_seconds(connection) / REFERENCE)


# OFFSET 0 keeps the planner from computing the one distance once and for all.
DISTANCES = text("""
SELECT sum(fixed.vector <-> fixed.vector)
FROM (SELECT array_fill(0.5, ARRAY[2000])::vector AS vector OFFSET 0) fixed, generate_series(1, :number)
""")


def _distance_seconds(connection: Connection) -> float:
    """The fastest of three: whatever else the machine does is no part of it."""
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        connection.execute(DISTANCES, {"number": COMPARED})
        taken.append(time.perf_counter() - begun)
    return min(taken) / COMPARED
