"""An isolation tester: every order in which the steps of several sessions can meet, looked at after each step.

A session is a list of steps, taken one after another on a connection of its own. A step that waits for a lock is left
waiting while others go on, as PostgreSQL's own isolationtester does it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

PATIENCE = 0.02  # seconds a step may take before it is asked whether it waits for a lock
LIMIT = 20.0

Order = tuple[str, ...]


@dataclass(frozen=True)
class Step:
    name: str
    take: Callable[[], object]


@dataclass(frozen=True)
class Session:
    """`pid` is the backend of its connection."""

    name: str
    pid: int
    steps: Sequence[Step]


@dataclass(frozen=True)
class Finding:
    """Something that must not be, and the steps that led to it."""

    steps: tuple[str, ...]
    what: str


def orders(lengths: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every order of so many steps of each session, as the numbers of the sessions: 3 and 3 give 20.

    >>> list(orders([1, 2]))
    [(0, 1, 1), (1, 0, 1), (1, 1, 0)]
    """
    if not any(lengths):
        yield ()
    for number, length in enumerate(lengths):
        if length:
            rest = [*lengths[:number], length - 1, *lengths[number + 1 :]]
            yield from ((number, *order) for order in orders(rest))


class Interleaver:
    """`is_waiting` says of a pid whether it waits for a lock, `look` what is wrong at this moment."""

    def __init__(self, is_waiting: Callable[[int], bool], look: Callable[[], str]) -> None:
        self._is_waiting, self._look = is_waiting, look

    def run(self, sessions: Sequence[Session], order: Sequence[int]) -> Iterator[Finding]:
        """Take the steps in that order; yields what is found wrong, also errors that sessions met."""
        pools = [ThreadPoolExecutor(1) for _ in sessions]
        taken: list[str] = []
        futures: list[list[Future[object]]] = [[] for _ in sessions]
        try:
            for number in order:
                step = sessions[number].steps[len(futures[number])]
                taken.append(f"{sessions[number].name}.{step.name}")
                futures[number].append(pools[number].submit(step.take))
                self._settle(sessions, futures)
                if wrong := self._look():
                    yield Finding(tuple(taken), wrong)
            _, pending = wait([future for each in futures for future in each], LIMIT)
            assert not pending, f"{taken} come to no end"
        finally:
            for pool in pools:
                pool.shutdown(wait=False)
        for session, each in zip(sessions, futures, strict=True):
            for future in each:
                if error := future.exception():
                    yield Finding(tuple(taken), f"{session.name}: {type(error).__name__}: {error}")

    def _settle(self, sessions: Sequence[Session], futures: Sequence[Sequence[Future[object]]]) -> None:
        """Until every session has taken its steps or waits for a lock."""
        limit = time.monotonic() + LIMIT
        for session, each in zip(sessions, futures, strict=True):
            while wait(each, PATIENCE)[1] and not self._is_waiting(session.pid):
                assert time.monotonic() < limit, f"{session.name} neither goes on nor waits"
