"""A worker whose connection was cut: it must hold its lock again, or others take its leases over while it lives."""

from __future__ import annotations

from typing import Any

import psycopg

from semsearch.collection import Collection
from semsearch.store import leases
from tests.integration.working import until

Sql = psycopg.Connection[Any]


def test_a_beat_counts_once_the_lock_is_ours_again(notes: Collection, sql: Sql) -> None:
    with leases.Worker(notes._pools.address, lease=600) as worker:
        mine = (leases.WORKER_LOCK, worker.number)

        def taken() -> bool:
            return sql.execute("SELECT pg_try_advisory_lock(%s, %s)", mine).fetchone() == (True,)

        worker._stop.set()  # the beats are ours
        worker._thread.join()
        worker._connection.close()
        until(taken)  # as by our old session, which the server thinks alive
        assert [worker._beat(), worker._beat()] == [False, False]
        assert all(worker._pause(failures) <= leases.LOOK for failures in range(1, 30))
        sql.execute("SELECT pg_advisory_unlock(%s, %s)", mine)
        assert worker._beat()
        assert not taken()
        assert worker._pause(0) == 200
