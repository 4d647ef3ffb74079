"""Twelve points on a worker's way at which it can be made to die, to stop or to fail.

    SEMSEARCH_TEST=1 SEMSEARCH_FAULT=after_claim:kill,before_commit:stop

Each fault happens once. `stop` is SIGSTOP: longer than the lease, for as long as the test likes. The program knows
nothing of this: the functions it calls are wrapped, in a process of the test's own.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Engine, event

from semsearch import embedding, work
from semsearch.store import chunks, leases, tasks

POINTS = (
    "before_claim",
    "after_claim",  # the lease is committed
    "after_read",
    "before_model",
    "after_model",
    "before_fence",
    "after_fence",  # the tasks are deleted
    "after_chunks",  # and the chunks stored
    "before_failures",
    "before_leases",
    "before_commit",
    "after_commit",
)
FAULTS = ("kill", "stop", "error")


class Broken(Exception):
    """What `error` raises: nothing the program knows."""


def parse(environment: Mapping[str, str]) -> dict[str, str]:
    """The faults by point; none unless this is a test."""
    if environment.get("SEMSEARCH_TEST") != "1":
        return {}
    parts = (part.partition(":") for part in environment.get("SEMSEARCH_FAULT", "").split(",") if part)
    faults = {point: fault for point, _, fault in parts}
    assert faults.keys() <= set(POINTS) and set(faults.values()) <= set(FAULTS), faults
    return faults


def install(environment: Mapping[str, str]) -> None:
    """Have the faults happen in this process."""
    faults = parse(environment)

    def point(name: str) -> None:
        fault = faults.pop(name, None)
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif fault == "error":
            raise Broken(name)

    _around(tasks, "claim", functools.partial(point, "before_claim"))
    _around(work, "claim", after=functools.partial(point, "after_claim"))
    _around(tasks, "read", after=functools.partial(point, "after_read"))
    _around(embedding, "embed", functools.partial(point, "before_model"), functools.partial(point, "after_model"))
    _around(tasks, "fence", functools.partial(point, "before_fence"), functools.partial(point, "after_fence"))
    _around(chunks, "replace", after=functools.partial(point, "after_chunks"))
    _around(tasks, "forgive", functools.partial(point, "before_failures"))
    _around(work, "in_transaction", after=functools.partial(point, "after_commit"))
    _around(leases, "end", functools.partial(point, "before_leases"), functools.partial(_expect_commit, point))


def _around(
    module: Any, name: str, before: Callable[[], object] | None = None, after: Callable[[], object] | None = None
) -> None:
    """Have something happen before and after a function of this name is called."""
    original = getattr(module, name)

    @functools.wraps(original)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        if before:
            before()
        found = original(*arguments, **options)
        if after:
            after()
        return found

    setattr(module, name, wrapped)


def _expect_commit(point: Callable[[str], None]) -> None:
    """`leases.end` is the last statement of a finish: the next commit of this process is the finish's."""
    done: list[bool] = []

    @event.listens_for(Engine, "commit")
    def before(connection: Any) -> None:
        if not done:
            done.append(True)
            point("before_commit")
