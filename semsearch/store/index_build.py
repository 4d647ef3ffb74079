"""Builds and drops ANN indexes: memory and workers computed, progress watched, others not disturbed."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Engine

from semsearch.errors import Conflict, DatabaseUnavailable, InvalidInput, NotFound
from semsearch.store import indexes, watchdog
from semsearch.store.connection import Address
from semsearch.store.spaces import Space

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


@dataclass(frozen=True)
class Options:
    """How to build: `m` and `ef_construction` for hnsw, `lists` for ivfflat (None: computed from the rows)."""

    kind: str = "hnsw"
    m: int = 16
    ef_construction: int = 64
    lists: int | None = None


def build(address: Address, engine: Engine, space: Space, options: Options, on_tuples: OnTuples | None = None) -> None:
    """Build the index; CONCURRENTLY when anybody else is connected to the database.

    Raises InvalidInput, and Conflict when there is a valid one or somebody is just building it.
    """
    indexes.check(options.kind, space.dimensions, space.vector_type, space.distance)
    _check(options)
    # A connection of its own: a concurrent build runs outside any transaction, so its settings are the session's.
    with address.connect(autocommit=True, patient=True) as connection, _alone(address, connection, space):
        with engine.connect() as reading:
            valid = [index for index in indexes.every(reading, space) if index.valid]
        if valid:
            raise Conflict(f"collection {space.name!r} has the {valid[0].kind} index {valid[0].name}: drop it first.")
        _drop_invalid(connection, space)
        number = _rows(connection, space)
        if not address.pooled:  # there neither session nor transaction can hold settings for a concurrent build
            _set_resources(connection, space, options, number)
        # The embedding's comes last: once it is valid nobody looks at the other any more.
        with _watched(address, connection.name, None):
            connection.execute(_metadata_statement(space, _others(address, connection)))
        with _watched(address, connection.name, on_tuples):
            connection.execute(_statement(space, options, number, _others(address, connection)))
        indexes.analyze(connection, space)


def drop(engine: Engine, address: Address, space: Space) -> list[str]:
    """Drop the ANN indexes; returns their names. Searches are exact from then on. Raises NotFound without any."""
    with engine.connect() as connection:
        found = [index.name for index in indexes.every(connection, space)]
    if not found:
        raise NotFound(f"collection {space.name!r} has no index.")
    with address.connect(autocommit=True, patient=True) as raw:
        for name in found:
            raw.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier("semsearch", name)))
    return found


def restore(address: Address, engine: Engine, space: Space) -> list[str]:
    """Drop what interrupted builds left and build what is missing then; returns the names of what was invalid.

    Raises Conflict while somebody else builds.
    """
    with engine.connect() as reading:
        names = indexes.invalid(reading, space)
        there = indexes.every(reading, space)
    with address.connect(autocommit=True, patient=True) as connection, _alone(address, connection, space):
        _drop_invalid(connection, space)
        if f"{space.table_name}_metadata" in names:
            connection.execute(_metadata_statement(space, _others(address, connection)))
    broken = [index for index in there if index.name in names]
    if broken and not any(index.valid for index in there):
        build(address, engine, space, _options(broken[0]))
    return names


def _options(index: indexes.Index) -> Options:
    """Those an index was built with, as its definition tells: WITH (m='16', ef_construction='64')."""
    given = re.findall(r"(\w+)='?(\d+)", index.definition.partition(" WITH ")[2])
    return Options(index.kind, **{name: int(value) for name, value in given})


def _table(space: Space) -> sql.Identifier:
    return sql.Identifier("semsearch", space.table_name)


def _check(options: Options) -> None:
    """What CREATE INDEX would refuse (pgvector README, "HNSW" and "IVFFlat"), said before anything is dropped."""
    for name, lowest, highest in (("m", 2, 100), ("ef_construction", 4, 1000), ("lists", 1, 32768)):
        value = getattr(options, name)
        if value is not None and (type(value) is not int or not lowest <= value <= highest):
            raise InvalidInput(f"{name} is a whole number from {lowest} to {highest}; got {value!r}.")
    if options.ef_construction < 2 * options.m:
        raise InvalidInput(f"ef_construction is at least twice m: {2 * options.m}; got {options.ef_construction}.")


@contextmanager
def _alone(address: Address, connection: psycopg.Connection[Any], space: Space) -> Iterator[None]:
    """One build at a time. Behind a pooler a second connection holds the lock, in a transaction that does nothing."""
    if not address.pooled:
        _lock(connection, "pg_try_advisory_lock", space)
        yield
        return
    with closing(address.connect(vectors=False)) as holding:
        holding.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        _lock(holding, "pg_try_advisory_xact_lock", space)
        yield


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


def _rows(connection: psycopg.Connection[Any], space: Space) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(_table(space))).fetchone()
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


def _set_resources(connection: psycopg.Connection[Any], space: Space, options: Options, rows: int) -> None:
    """Memory for the whole graph if the server can spare it, every core the server allows, and time.

    A time limit of the role would throw a build away that took hours; who makes it wait is told (`_watch`).

    After the graph outgrows maintenance_work_mem every row is an insert on disk, 4 to 100 times slower. What the
    server can spare is not to be seen from here; half of shared_buffers or the configured value is taken as safe.
    """
    row = connection.execute(
        """
        SELECT pg_size_bytes(current_setting('maintenance_work_mem')), pg_size_bytes(current_setting('shared_buffers')),
               current_setting('max_parallel_workers')::int
        """
    ).fetchone()
    assert row is not None
    configured, buffers, workers = row
    needed = indexes.build_bytes(rows, space.dimensions, space.vector_type, options.m)
    memory = max(configured, min(needed, buffers // 2)) // 1024
    connection.execute("SELECT set_config('maintenance_work_mem', %s, false)", (f"{memory}kB",))
    local = max(1, (os.cpu_count() or 2) - 1) if connection.info.host.startswith("/") else workers
    connection.execute("SELECT set_config('max_parallel_maintenance_workers', %s, false)", (str(min(workers, local)),))
    connection.execute("SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false)")


def _statement(space: Space, options: Options, rows: int, concurrently: bool) -> sql.Composed:
    return sql.SQL("CREATE INDEX {} {} ON {} USING {} (embedding {}) WITH ({})").format(
        sql.SQL("CONCURRENTLY" if concurrently else ""),
        sql.Identifier(f"{space.table_name}_embedding"),
        _table(space),
        sql.Identifier(options.kind),
        sql.Identifier(f"{space.vector_type}_{indexes.OPERATOR_CLASSES[space.distance]}"),
        _parameters(options, rows),
    )


def _parameters(options: Options, rows: int) -> sql.Composed:
    if options.kind == "ivfflat":
        return sql.SQL("lists = {}").format(sql.Literal(options.lists or indexes.lists(rows)))
    return sql.SQL("m = {}, ef_construction = {}").format(sql.Literal(options.m), sql.Literal(options.ef_construction))


def _metadata_statement(space: Space, concurrently: bool) -> sql.Composed:
    """The index for filters on undeclared keys: only containment, which makes it small.

    Without fastupdate: after a load the planner took a sequential scan because of the pending list (20,000 chunks).
    """
    return sql.SQL(
        "CREATE INDEX {} IF NOT EXISTS {} ON {} USING gin (metadata jsonb_path_ops) WITH (fastupdate = off)"
    ).format(
        sql.SQL("CONCURRENTLY" if concurrently else ""), sql.Identifier(f"{space.table_name}_metadata"), _table(space)
    )


@contextmanager
def _watched(address: Address, name: str, on_tuples: OnTuples | None) -> Iterator[None]:
    """While the block runs, report tuples done and in all, and who makes it wait."""
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(address, name, on_tuples, stop), daemon=True)
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
