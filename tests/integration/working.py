"""What the tests of the worker share: one that runs in this process until nothing waits, or until a block ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from semsearch import Document, worker
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.worker import Options


def put(collection: Collection, count: int, prefix: str = "d") -> None:
    documents = [Document(f"{prefix}{number}", f"{collection.name} {prefix} {number}") for number in range(count)]
    collection.put(documents, wait=False)


def run(db: Database, **options: Any) -> None:
    """A worker until nothing waits; stopped after a minute, or a test would hang."""
    stop = threading.Event()
    timer = threading.Timer(60, stop.set)
    timer.start()
    try:
        worker.run(db, Options(**{"until_idle": True, "concurrency": 1, **options}), stop)
        assert not stop.is_set() or not timer.finished.is_set(), "it did not come to an end"
    finally:
        timer.cancel()


@contextmanager
def running(db: Database, **options: Any) -> Iterator[None]:
    """A worker that goes on until the block ends."""
    stop = threading.Event()
    failed: list[Exception] = []

    def live() -> None:
        try:
            worker.run(db, Options(**{"concurrency": 1, "grace": 10.0, **options}), stop)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    assert not failed, failed
    assert not thread.is_alive(), "it does not end"


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """With a limit that only a fault reaches: a process takes seconds to start on a busy machine."""
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit, f"not in {seconds} seconds"
        time.sleep(0.01)
