"""The settings of PostgreSQL that a search needs, for its transaction only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from semsearch.store.connection import driver
from semsearch.store.watchdog import Watched

Setting = tuple[str, int]


def local(settings: Sequence[Setting]) -> list[str]:
    """As statements for the transaction."""
    return [f"SET LOCAL {name} = {value:d}" for name, value in settings]


@contextmanager
def transaction(connection: Connection, settings: Sequence[Setting]) -> Iterator[None]:
    """A transaction with these settings; none where there are none."""
    if not settings:
        yield
        return
    raw = driver(connection)
    with raw.transaction():
        raw.execute("; ".join(local(settings)))
        yield


@contextmanager
def settled(connection: Connection, settings: Sequence[Setting]) -> Iterator[None]:
    """For one statement through the driver: a transaction that is one round trip, BEGIN and COMMIT included; none where
    nothing is to be set. Behind a pooler the connection's own settings are sent with it.
    """
    raw = driver(connection)
    statements = [*(raw.settings if isinstance(raw, Watched) else ()), *local(settings)]
    if not statements:
        yield
        return
    # psycopg's own transactions wait for an answer to their BEGIN and to their COMMIT.
    before, raw.autocommit = raw.autocommit, True
    try:
        with raw.pipeline():
            for statement in ("BEGIN", *statements):
                raw.execute(statement)
            yield
            raw.execute("COMMIT")
    finally:
        raw.rollback()  # of what failed; after COMMIT it sends nothing
        if not raw.closed:
            raw.autocommit = before
