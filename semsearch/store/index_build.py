"""Builds and drops ANN indexes: memory and workers computed, progress watched, others not disturbed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Engine

from semsearch.errors import Conflict, DatabaseUnavailable, InvalidInput, NotFound
from semsearch.store import indexes
from semsearch.store.connection import Address
from semsearch.store.spaces import Space

OnTuples = Callable[[int, int | None], None]
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
    with address.connect(autocommit=True) as connection:
        _lock(connection, space)
        with engine.connect() as reading:
            valid = [index for index in indexes.every(reading, space) if index.valid]
        if valid:
            raise Conflict(f"collection {space.name!r} has the {valid[0].kind} index {valid[0].name}: drop it first.")
        _drop_invalid(connection, space)
        number = _rows(connection, space)
        _set_resources(connection, space, options, number)
        with _watched(address, connection.info.backend_pid, on_tuples):
            connection.execute(_statement(space, options, number, _others(connection)))
        connection.execute(_metadata_statement(space, _others(connection)))
        indexes.analyze(connection, space)


def drop(engine: Engine, address: Address, space: Space) -> list[str]:
    """Drop the ANN indexes; returns their names. Searches are exact from then on. Raises NotFound without any."""
    with engine.connect() as connection:
        found = [index.name for index in indexes.every(connection, space)]
    if not found:
        raise NotFound(f"collection {space.name!r} has no index.")
    with address.connect(autocommit=True) as raw:
        for name in found:
            raw.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier("semsearch", name)))
    return found


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


def _lock(connection: psycopg.Connection[Any], space: Space) -> None:
    """One build at a time; never waited for, because a concurrent build waits in turn for whoever waits here."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (BUILD_LOCK, space.id)).fetchone()
    if not (row and row[0]):
        raise Conflict(f"the index of collection {space.name!r} is just being built: wait for that.")


def _drop_invalid(connection: psycopg.Connection[Any], space: Space) -> None:
    """Indexes of any kind that an interrupted concurrent build left: IF NOT EXISTS would report them as done."""
    found = connection.execute(
        """
        SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
        WHERE x.indrelid = to_regclass(%s) AND NOT (x.indisvalid AND x.indisready)
        """,
        (f"semsearch.{space.table_name}",),
    )
    for (name,) in found.fetchall():
        connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier("semsearch", name)))


def _rows(connection: psycopg.Connection[Any], space: Space) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(_table(space))).fetchone()
    return int(row[0]) if row else 0


def _others(connection: psycopg.Connection[Any]) -> bool:
    """Whether another process is connected to this database: then its reads and writes must go on."""
    row = connection.execute(
        """
        SELECT EXISTS (SELECT FROM pg_stat_activity other, pg_stat_activity own
                       WHERE own.pid = pg_backend_pid()
                         AND other.datname = current_database() AND other.backend_type = 'client backend'
                         AND (other.application_name, other.client_addr)
                             IS DISTINCT FROM (own.application_name, own.client_addr))
        """
    ).fetchone()
    return bool(row and row[0])


def _set_resources(connection: psycopg.Connection[Any], space: Space, options: Options, rows: int) -> None:
    """Memory for the whole graph if the server can spare it, and every core the server allows.

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
def _watched(address: Address, backend: int, on_tuples: OnTuples | None) -> Iterator[None]:
    """Report tuples done and in all while the block runs, as pg_stat_progress_create_index tells them."""
    if on_tuples is None:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(address, backend, on_tuples, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watch(address: Address, backend: int, on_tuples: OnTuples, stop: threading.Event) -> None:
    with suppress(psycopg.Error, DatabaseUnavailable), address.connect(autocommit=True, vectors=False) as connection:
        while not stop.wait(LOOK):
            row = connection.execute(
                "SELECT tuples_done, nullif(tuples_total, 0) FROM pg_stat_progress_create_index WHERE pid = %s",
                (backend,),
            ).fetchone()
            if row:
                on_tuples(row[0], row[1])
