"""Runs batches side by side, each on its own thread and core, instead of every batch on all cores.

Measured with MiniLM on 2 cores: as fast on an idle machine, mostly 3 to 4 times as fast while other processes use the
same cores, because OpenMP's threads wait for one another after every operation.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Python's own share of a batch of MiniLM is about 2 of 40 ms, on one interpreter lock: more threads would wait for it.
MOST = 8


class Workers:
    """A pool of threads on which torch has `cores // count` threads each; the rest of the process keeps its setting."""

    def __init__(self, cores: int) -> None:
        self.count = min(cores, MOST)
        self._cores = cores
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0
        self._starting = threading.Lock()

    def map(self, function: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
        """The answers in the order of the items; the first error ends it."""
        with self._starting:
            if self._pool is None or self._process != os.getpid():  # threads do not survive a fork
                self._pool, self._process = self._start(), os.getpid()
        return list(self._pool.map(function, items))

    def _start(self) -> ThreadPoolExecutor:
        import torch

        share, all_there = self._cores // self.count, threading.Barrier(self.count)

        def take_share() -> None:
            torch.set_num_threads(share)
            torch.get_num_threads()  # A thread's first look at the setting fixes it for this thread.
            all_there.wait()

        pool = ThreadPoolExecutor(self.count, "semsearch-embed")
        for started in [pool.submit(take_share) for _ in range(self.count)]:
            started.result()
        # For threads that have not looked yet, what was set last counts (aten/src/ATen/ParallelOpenMP.cpp).
        torch.set_num_threads(self._cores)
        return pool


@cache
def workers() -> Workers:
    """Those of this process: as many as torch has threads (one for each physical core, unless the user set it)."""
    import torch

    return Workers(torch.get_num_threads())
