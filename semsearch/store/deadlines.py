"""Limits on the time a statement may take, and what happens when it takes longer."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError

from semsearch.errors import DeadlineExceeded
from semsearch.store.complaints import reason

SEARCH = (
    "the search takes longer than its deadline of {:g} s. Give it more, ask for the best so far (partial), or see with "
    "explain what takes so long."
)
FACETS = "counting takes longer than its deadline of {:g} s. Give it more, or narrow it by a filter or to fewer fields."


class Deadline:
    """Counts down from so many seconds; without any it never ends. `told` is what is said when it has."""

    def __init__(self, seconds: float | None, told: str = SEARCH) -> None:
        self.seconds, self._told = seconds, told
        self._ends = None if seconds is None else time.monotonic() + seconds

    def remaining(self) -> float | None:
        """Seconds that are left, None for any number. Raises DeadlineExceeded when none are."""
        if self._ends is None:
            return None
        left = self._ends - time.monotonic()
        if left <= 0:
            raise self.exceeded()
        return left

    def exceeded(self) -> DeadlineExceeded:
        return DeadlineExceeded(self._told.format(self.seconds))


def limited(timeout: float | None) -> tuple[tuple[str, int], ...]:
    """The setting that has the server end a statement after so many seconds."""
    return () if timeout is None else (("statement_timeout", max(1, math.ceil(timeout * 1000))),)


@contextmanager
def kept(deadline: Deadline) -> Iterator[None]:
    """Have a statement that was ended by the server raise DeadlineExceeded."""
    try:
        yield
    except (psycopg.Error, DBAPIError) as error:
        if deadline.seconds is not None and isinstance(reason(error), psycopg.errors.QueryCanceled):
            raise deadline.exceeded() from error
        raise


@contextmanager
def given_up() -> Iterator[None]:
    """Go on after the block when the time is over, or the server has ended its statement."""
    try:
        yield
    except DeadlineExceeded:
        return
    except (psycopg.Error, DBAPIError) as error:
        if not isinstance(reason(error), psycopg.errors.QueryCanceled):
            raise
