"""From settings to connections: where the database is, how to reach it, and whether it is fit for us."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import psycopg
from pgvector.psycopg import register_vector
from psycopg.rows import dict_row
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError

from semsearch import config
from semsearch.errors import DatabaseUnavailable, SemsearchError
from semsearch.store import server
from semsearch.store.complaints import is_lost, reason

T = TypeVar("T")

CONNECT_TIMEOUT = 10  # seconds
DEADLOCK_TRIES = 5  # each takes deadlock_timeout, 1 s; two programs that write the same rows meet once, not always
MINIMUM_SERVER = 150000
MINIMUM_PGVECTOR = (0, 8, 0)
SOUND_PGVECTOR = (0, 8, 4)  # below it an HNSW index can be corrupted by vacuum (pgvector CHANGELOG, 0.8.3 and 0.8.4)

# Plans are made for the values asked for: a generic plan once chosen for a common filter returns too few rows for a
# rare one (reproduced on PostgreSQL 18). relaxed_order costs nothing when the first batch of candidates suffices.
EF_SEARCH = 75  # enough for 100,000 chunks; larger collections ask for more with each query
SEARCH_OPTIONS = (
    "-c plan_cache_mode=force_custom_plan -c jit=off -c citus.propagate_set_commands=local "
    f"-c hnsw.ef_search={EF_SEARCH} -c hnsw.iterative_scan=relaxed_order -c ivfflat.iterative_scan=relaxed_order"
)
OPTIONS = "-c jit=off -c citus.propagate_set_commands=local"


class Address:
    """A database that can be connected to; keeps the embedded server running for as long as it is open."""

    def __init__(self, settings: config.Settings) -> None:
        self.embedded: server.Embedded | None = None
        self.conninfo: str | None = config.conninfo(settings)
        if self.conninfo is None:
            self.embedded = server.Embedded(settings.home)
            self.conninfo = self.embedded.start()

    @property
    def display(self) -> str:
        """What to call this database in a message: never with a password."""
        return "the embedded database" if self.embedded else config.display(self.conninfo or "")

    def connect(self, options: str = OPTIONS, *, vectors: bool = True, autocommit: bool = False) -> psycopg.Connection:
        """A new connection; an embedded server that has died meanwhile is started again."""
        try:
            connection = self._connect(options, autocommit)
        except psycopg.OperationalError as error:
            if self.embedded is None:
                raise unavailable(error, self.display) from error
            self.embedded.ensure_running()
            connection = self._connect(options, autocommit)
        if vectors:
            register_vector(connection)
        return connection

    def _connect(self, options: str, autocommit: bool) -> psycopg.Connection:
        given = psycopg.conninfo.conninfo_to_dict(self.conninfo or "").get("options") or os.environ.get("PGOPTIONS")
        return psycopg.connect(
            self.conninfo or "",
            options=f"{given} {options}" if given else options,
            application_name=f"semsearch {os.getpid()}",  # index_build tells our own process from others by it
            connect_timeout=CONNECT_TIMEOUT,
            autocommit=autocommit,
        )

    def close(self) -> None:
        if self.embedded:
            self.embedded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def engine(address: Address, *, vectors: bool = True) -> Engine:
    """The engine for everything that writes: transactions, READ COMMITTED."""
    return create_engine(
        "postgresql+psycopg://", creator=lambda: address.connect(vectors=vectors), pool_pre_ping=True, pool_size=4
    )


def search_engine(address: Address) -> Engine:
    """The engine for searches: autocommit, so that a query is one round trip."""
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: address.connect(SEARCH_OPTIONS, autocommit=True),
        isolation_level="AUTOCOMMIT",
        pool_size=8,
    )


class Pools:
    """The two pools of one database: for what writes, and for searches."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.writing = engine(address)
        self.searching = search_engine(address)

    def close(self) -> None:
        self.writing.dispose()
        self.searching.dispose()
        self.address.close()


def in_transaction(engine: Engine, action: Callable[[Connection], T]) -> T:
    """Run it in a transaction of its own; again, when PostgreSQL chose it to resolve a deadlock."""
    for attempt in range(1, DEADLOCK_TRIES + 1):
        try:
            with engine.begin() as connection:
                return action(connection)
        except (psycopg.Error, DBAPIError) as error:
            if attempt == DEADLOCK_TRIES or not isinstance(reason(error), psycopg.errors.DeadlockDetected):
                raise
    raise AssertionError


def again_when_lost(engine: Engine, read: Callable[[], T]) -> T:
    """Run it; once more on new connections when the pool's had been cut: cheaper than to test each before its use."""
    try:
        return read()
    except (psycopg.Error, DBAPIError) as error:
        if not is_lost(error):
            raise
        engine.dispose()
        return read()


def driver(connection: Connection) -> psycopg.Connection[Any]:
    """The psycopg connection underneath, inside the same transaction."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


def unavailable(error: Exception, display: str) -> DatabaseUnavailable:
    """The driver's complaint in one line, with the database's name and no password."""
    reason = " ".join(str(error).split())
    return DatabaseUnavailable(f"cannot connect to {display}: {reason}. Run `semsearch doctor` to see what is used.")


FACTS = """
SELECT current_setting('server_version_num')::int AS server_number,
       current_setting('server_version') AS server,
       (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS pgvector,
       (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS pgvector_available,
       to_regclass('semsearch.alembic_version') IS NOT NULL AS migrated
"""


def facts(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """Versions of the server, pgvector (installed, and available to install) and our schema; None where absent."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(FACTS).fetchone() or {}
        row = cursor.execute("SELECT max(version_num) FROM semsearch.alembic_version") if found["migrated"] else None
        revision = (row.fetchone() or {"max": None})["max"] if row else None
    return {**found, "revision": revision}


def parse_version(version: str) -> tuple[int, ...]:
    """
    >>> parse_version("0.8.5")
    (0, 8, 5)
    """
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def check(found: Mapping[str, Any], display: str) -> None:
    """Raise one clear sentence when the server or its pgvector is not fit for us."""
    problem: SemsearchError | None = None
    pgvector = found["pgvector"] or found["pgvector_available"]
    if found["server_number"] < MINIMUM_SERVER:
        problem = DatabaseUnavailable(
            f"{display} runs PostgreSQL {found['server']}; semsearch needs PostgreSQL 15 or newer."
        )
    elif pgvector is None:
        problem = DatabaseUnavailable(
            f"{display} has no pgvector: install it on the server (Debian: postgresql-NN-pgvector; Docker: the image "
            "pgvector/pgvector), then run `semsearch migrate`."
        )
    elif parse_version(pgvector) < MINIMUM_PGVECTOR:
        problem = DatabaseUnavailable(
            f"{display} has pgvector {pgvector}; semsearch needs 0.8.0 or newer: install it on the server, then run "
            "ALTER EXTENSION vector UPDATE."
        )
    if problem:
        raise problem
