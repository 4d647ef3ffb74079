"""Builds and drops ANN indexes: memory and workers computed, progress watched, others not disturbed."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Engine

from semsearch.errors import Conflict, DatabaseUnavailable, NotFound
from semsearch.store import index_sizes, indexes, spaces, watchdog
from semsearch.store.connection import Address
from semsearch.store.index_expressions import indexed_type
from semsearch.store.index_statements import (
    Options,
    embedding_index,
    metadata_index,
    options_of,
    settled,
    table_name,
    tenant_condition,
    terms_index,
)
from semsearch.store.indexes import Index
from semsearch.store.spaces import Space
from semsearch.store.watchdog import Watched

OnTuples = Callable[[int, int | None], None]
logger = logging.getLogger(__name__)

# A concurrent build waits until every transaction has ended that is older than it.
BLOCKERS = """
SELECT concat_ws(' ', 'process', a.pid, 'of', a.usename, 'in ' || nullif(a.application_name, ''),
                 to_char(a.xact_start, '"since" YYYY-MM-DD HH24:MI:SS'))
FROM unnest(pg_blocking_pids(%s)) AS b (pid) JOIN pg_stat_activity a ON a.pid = b.pid
"""

LOOK = 0.5  # seconds between looks at the progress of a build
BUILD_LOCK = 7365  # first half of the advisory lock of whoever builds an index; the second is the space


def build(address: Address, engine: Engine, space: Space, options: Options, on_tuples: OnTuples | None = None) -> None:
    """Build the index; CONCURRENTLY when anybody else is connected to the database.

    Raises InvalidInput, and Conflict when there is one already or somebody is just building it.
    """
    settled(space, options)
    with alone(address, space) as connection:
        with engine.connect() as reading:
            there = _same(indexes.every(reading, space), space, options)
        if there:
            raise Conflict(f"collection {space.name!r} has the {there.kind} index {there.name}: drop it first.")
        # The embedding's comes last: once it is valid nobody looks at the others any more.
        create_others(address, connection, space)
        create(address, connection, space, options, indexes.name(space, options.tenant), on_tuples)
        indexes.analyze(connection, space)


def _same(found: Sequence[Index], space: Space, options: Options) -> Index | None:
    """What is there already of what is asked for: that tenant's index, or one for the whole collection."""
    name = indexes.name(space, options.tenant)
    whole = indexes.main(found) if options.tenant is None else None
    return whole or next((index for index in found if index.valid and index.name == name), None)


def create(
    address: Address,
    connection: Watched,
    space: Space,
    options: Options,
    name: str,
    on_tuples: OnTuples | None,
) -> None:
    """The index on the embeddings, under this name."""
    number = rows(connection, space, options)
    set_resources(address, connection, space, options, number)
    with watched(address, connection, on_tuples):
        connection.execute(embedding_index(space, options, name, number, concurrently=_others(address, connection)))


def create_others(address: Address, connection: Watched, space: Space) -> None:
    """The indexes for filters and words, where they are missing."""
    wanted = [metadata_index] if space.language is None else [metadata_index, terms_index]
    with watched(address, connection, None):
        for statement in wanted:
            connection.execute(statement(space, concurrently=_others(address, connection)))


def drop(engine: Engine, address: Address, space: Space) -> list[str]:
    """Drop the ANN indexes; returns their names. Searches are exact from then on. Raises NotFound without any."""
    with engine.connect() as connection:
        found = [index.name for index in indexes.every(connection, space)]
        if not found:
            spaces.check_exists(connection, space)
            raise NotFound(f"collection {space.name!r} has no index.")
    with address.connect(autocommit=True, patient=True) as raw:
        for name in found:
            drop_one(raw, name)
    return found


def drop_one(connection: psycopg.Connection[Any], name: str) -> None:
    """Drop an index; searches and writes go on."""
    connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier("semsearch", name)))


def restore(address: Address, engine: Engine, space: Space) -> list[str]:
    """Drop what interrupted builds left and build what is missing then; returns the names of what was invalid.

    Raises Conflict while somebody else builds.
    """
    with engine.connect() as reading:
        names = indexes.invalid(reading, space)
        there = indexes.every(reading, space)
    with alone(address, space) as connection:
        if {f"{space.table_name}_metadata", f"{space.table_name}_terms"} & set(names):
            create_others(address, connection, space)
    broken = [index for index in there if index.name in names and index.predicate is None]
    if broken and not indexes.main(there):
        build(address, engine, space, options_of(broken[0], space))
    return names


@contextmanager
def alone(address: Address, space: Space) -> Iterator[Watched]:
    """A connection on which to build, while nobody else builds; what interrupted builds left is gone.

    Of its own, because a concurrent build runs outside any transaction, so that its settings are the session's. A time
    limit of the role would throw a build away that took hours; who makes it wait is told (`_watch`).
    """
    with address.connect(autocommit=True, patient=True) as connection, _alone(address, connection, space):
        if not address.pooled:
            connection.execute(
                "SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false)"
            )
        _drop_invalid(connection, space)
        yield connection


@contextmanager
def _alone(address: Address, connection: psycopg.Connection[Any], space: Space) -> Iterator[None]:
    """One build at a time. Behind a pooler a second connection holds the lock, in a transaction that does nothing."""
    if not address.pooled:
        _lock(connection, "pg_try_advisory_lock", space)
        with _given_back(lambda: connection.execute("SELECT pg_advisory_unlock_all()")):
            yield
        return
    with closing(address.connect(vectors=False)) as holding:
        holding.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        _lock(holding, "pg_try_advisory_xact_lock", space)
        with _given_back(holding.rollback):
            yield


@contextmanager
def _given_back(release: Callable[[], object]) -> Iterator[None]:
    """Release a lock behind the block: a closed session ends a moment later, and the next build would meet it still."""
    try:
        yield
    finally:
        with suppress(psycopg.Error):
            release()


def _lock(connection: psycopg.Connection[Any], function: str, space: Space) -> None:
    """Never waited for, because a concurrent build waits in turn for whoever waits here."""
    # Literals: with parameters the extended protocol leaves a portal, whose snapshot a concurrent build waits for.
    asked = sql.SQL("SELECT {}({}, {})").format(sql.Identifier(function), BUILD_LOCK, space.id)
    if connection.execute(asked).fetchone() != (True,):
        raise Conflict(f"the index of collection {space.name!r} is just being built: wait for that.")


def _drop_invalid(connection: psycopg.Connection[Any], space: Space) -> None:
    """Indexes of any kind that an interrupted concurrent build left: IF NOT EXISTS would report them as done.

    Also what REINDEX CONCURRENTLY leaves (_ccnew, _ccold); not what somebody is just building.
    """
    found = connection.execute(
        """
        SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
        WHERE x.indrelid = to_regclass(%s) AND NOT (x.indisvalid AND x.indisready)
          AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.relid = x.indrelid)
        """,
        (f"semsearch.{space.table_name}",),
    )
    for (name,) in found.fetchall():
        connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier("semsearch", name)))


def rows(connection: psycopg.Connection[Any], space: Space, options: Options) -> int:
    counted = sql.SQL("SELECT count(*) FROM {}{}").format(table_name(space), tenant_condition(space, options.tenant))
    row = connection.execute(counted).fetchone()
    return int(row[0]) if row else 0


def _others(address: Address, connection: psycopg.Connection[Any]) -> bool:
    """Whether another process is connected to this database: then its reads and writes must go on.

    A pooler's idle clients are not to be seen: there may always be others.
    """
    if address.pooled:
        return True
    row = connection.execute(
        r"""
        SELECT EXISTS (SELECT FROM pg_stat_activity other, pg_stat_activity own
                       WHERE own.pid = pg_backend_pid()
                         AND other.datname = current_database() AND other.backend_type = 'client backend'
                         -- the number of the connection is no part of the process's name
                         AND (regexp_replace(other.application_name, '\.\d+$', ''), other.client_addr)
                             IS DISTINCT FROM (regexp_replace(own.application_name, '\.\d+$', ''), own.client_addr))
        """
    ).fetchone()
    return bool(row and row[0])


def set_resources(
    address: Address, connection: psycopg.Connection[Any], space: Space, options: Options, rows: int
) -> None:
    """Memory for the whole graph if the server can spare it, and every core the server allows.

    After the graph outgrows maintenance_work_mem every row is an insert on disk, 4 to 100 times slower. What the
    server can spare is not to be seen from here; half of shared_buffers or the configured value is taken as safe.
    """
    if address.pooled:  # there neither session nor transaction can hold settings for a concurrent build
        return
    row = connection.execute(
        """
        SELECT pg_size_bytes(current_setting('maintenance_work_mem')), pg_size_bytes(current_setting('shared_buffers')),
               current_setting('max_parallel_workers')::int
        """
    ).fetchone()
    assert row is not None
    configured, buffers, workers = row
    memory = max(configured, min(_needed(space, options, rows), buffers // 2)) // 1024
    connection.execute("SELECT set_config('maintenance_work_mem', %s, false)", (f"{memory}kB",))
    local = max(1, (os.cpu_count() or 2) - 1) if connection.info.host.startswith("/") else workers
    connection.execute("SELECT set_config('max_parallel_maintenance_workers', %s, false)", (str(min(workers, local)),))
    # Vectors in TOAST leave so small a table that it would get no workers (PostgreSQL's compute_parallel_worker).
    connection.execute("SELECT set_config('min_parallel_table_scan_size', '0', false)")


def _needed(space: Space, options: Options, rows: int) -> int:
    quantization, dimensions = settled(space, options)
    held = indexed_type(space, quantization)
    if options.kind == "ivfflat":
        return index_sizes.sample_bytes(rows, dimensions, held)
    return index_sizes.build_bytes(rows, dimensions, held, options.m)


@contextmanager
def watched(address: Address, connection: Watched, on_tuples: OnTuples | None) -> Iterator[None]:
    """While the block runs, report tuples done and in all, and who makes it wait."""
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(address, connection.name, on_tuples, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watch(address: Address, name: str, on_tuples: OnTuples | None, stop: threading.Event) -> None:
    before: set[str] = set()
    told: set[str] = set()
    with suppress(psycopg.Error, DatabaseUnavailable), address.connect(autocommit=True, vectors=False) as connection:
        while not stop.wait(LOOK):
            backend = watchdog.backend(connection, name)
            row = connection.execute(
                "SELECT tuples_done, nullif(tuples_total, 0) FROM pg_stat_progress_create_index WHERE pid = %s",
                (backend,),
            ).fetchone()
            if row and on_tuples:
                on_tuples(row[0], row[1])
            blockers = {blocker for (blocker,) in connection.execute(BLOCKERS, (backend,))}
            for blocker in (before & blockers) - told:  # seen twice: not somebody who is just passing
                logger.warning("The index waits for %s: it is built when that transaction has ended.", blocker)
                told.add(blocker)
            before = blockers
