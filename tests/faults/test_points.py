"""A worker dies, stops or fails at each point of its way, and another one goes on: nothing is lost, stale or torn."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from semsearch.store.connection import WRITING
from tests.faults import hand, invariants, points, truth
from tests.faults.forks import FORKS
from tests.faults.points import FAULTS, POINTS
from tests.faults.stage import Stage
from tests.faults.waiting import until

PATIENCE = 30.0
FROZEN = "idle_in_transaction_session_timeout"


@pytest.fixture(scope="module")
def scene(module_database_url: str) -> Iterator[Stage]:
    with hand.connect(module_database_url) as address, Stage(address, module_database_url) as made:
        yield made


def work_once(url: str, fault: str) -> None:
    """A worker's process: does what waits, on its way to the fault."""
    from semsearch import pipeline
    from semsearch.road import Road
    from semsearch.store import connection, leases, spaces

    points.install({"SEMSEARCH_TEST": "1", "SEMSEARCH_FAULT": fault})
    with hand.connect(url) as address:
        engine = connection.engine(address)
        with engine.connect() as first:
            space = spaces.find(first, "notes")
        with leases.Worker(address) as worker:
            pipeline.do(Road(address, engine, space, truth.Fake), worker)


def start(url: str, fault: str) -> BaseProcess:
    process = FORKS.Process(target=_quietly, args=(url, fault))
    process.start()
    return process


def _quietly(url: str, fault: str) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # the traceback of a fault that was ordered
    work_once(url, fault)


def is_stopped(process: BaseProcess) -> bool:
    assert process.is_alive(), "it ended and did not stop"
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def backends(scene: Stage) -> set[int]:
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    return {pid for (pid,) in scene.watch.execute(query)}


def wrong(scene: Stage) -> Any:
    return invariants.violations(scene.watch, scene.strict)


@pytest.mark.parametrize(("point", "fault"), list(itertools.product(POINTS, FAULTS)))
def test_a_fault_at_any_point_does_no_harm(scene: Stage, module_database_url: str, point: str, fault: str) -> None:
    scene.reset()
    scene.put("p", 0, poison=True)
    before = backends(scene)
    process = start(module_database_url, f"{point}:{fault}")
    try:
        if fault == "stop":
            until(lambda: is_stopped(process))
            assert wrong(scene) == {}
            other = threading.Thread(target=meanwhile, args=(scene,))
            other.start()
            # It waits for the one that was stopped in the middle of a transaction, and users do not.
            until(lambda: not other.is_alive() or scene._is_waiting(scene.workers["W2"].pid))
            assert wrong(scene) == {}
            assert process.pid
            os.kill(process.pid, signal.SIGCONT)
            other.join(PATIENCE)
            assert not other.is_alive()
        process.join(PATIENCE)
        assert process.exitcode == {"kill": -signal.SIGKILL, "stop": 0, "error": 1}[fault]
    finally:
        process.kill()
        process.join()
        process.close()
    until(lambda: backends(scene) <= before)  # what a killed one holds, its backend holds until it notices
    assert wrong(scene) == {}
    assert scene._rest() == ""
    failed = scene.watch.execute("SELECT document_id FROM semsearch.failures").fetchall()
    assert failed == [("p",)]


def meanwhile(scene: Stage) -> None:
    """A user changes two documents, and another worker does what it can get: the first one has become a zombie."""
    scene.watch.execute(hand.EXPIRE)
    scene.put("a", 1)
    scene.put("d", 3)
    worker = scene.workers["W2"]
    worker.claim()
    worker.read()
    worker.finish()


def test_outside_of_tests_there_are_no_faults() -> None:
    assert points.parse({"SEMSEARCH_FAULT": "after_claim:kill"}) == {}
    found = points.parse({"SEMSEARCH_TEST": "1", "SEMSEARCH_FAULT": "after_claim:kill,before_commit:stop"})
    assert found == {"after_claim": "kill", "before_commit": "stop"}


def test_a_worker_that_stays_frozen_in_a_transaction_does_not_keep_its_locks(
    scene: Stage, module_database_url: str
) -> None:
    """The setting ends it; here after a tenth of a second instead of half a minute."""
    assert int(WRITING[FROZEN]) <= 30_000
    scene.reset()
    with hand.connect(module_database_url) as address:
        frozen = address.connect({**WRITING, FROZEN: 100})
        frozen.execute("SELECT id FROM semsearch.documents FOR KEY SHARE")
        scene.users["U1"].execute("SET lock_timeout = '20s'")
        scene.delete("U1", "a")  # waits until the server has ended the other transaction
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            frozen.execute("SELECT 1")
        frozen.close()
    scene.users["U1"].execute("RESET lock_timeout")
