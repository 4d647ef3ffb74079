"""From settings to connections: where the database is, how to reach it, and what stands before it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import psycopg
from pgvector.psycopg import register_vector
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import set_json_loads
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from semsearch import config
from semsearch.errors import DatabaseUnavailable
from semsearch.store import json_values, server, watchdog
from semsearch.store.watchdog import Watched

CONNECT_TIMEOUT = 10  # seconds

# Plans are made for the values asked for: a generic plan once chosen for a common filter returns too few rows for a
# rare one (reproduced on PostgreSQL 18). relaxed_order costs nothing when the first batch of candidates suffices.
EF_SEARCH = 75  # enough for 100,000 chunks; larger collections ask for more with each query
Parameters = Mapping[str, str | int]
# A process that freezes in the middle of a transaction (SIGSTOP, a suspended machine) would keep its locks for as long,
# and users who delete the same documents would wait for it: the server ends its transaction.
FROZEN = 30_000  # milliseconds
WRITING: Parameters = {
    "jit": "off",
    "idle_in_transaction_session_timeout": FROZEN,
    "citus.propagate_set_commands": "local",
}
SEARCHING: Parameters = {
    **WRITING,
    "plan_cache_mode": "force_custom_plan",
    "hnsw.ef_search": EF_SEARCH,
    "hnsw.iterative_scan": "relaxed_order",
    "hnsw.scan_mem_multiplier": 16,  # times work_mem: a scan that is full ends in silence, at 20,000 nodes of 4 MB
    "ivfflat.iterative_scan": "relaxed_order",
}


class Address:
    """A database that can be connected to; keeps the embedded server running for as long as it is open.

    `pooled` says whether something like pgbouncer stands before it, which gives each transaction another session: then
    settings are sent with every transaction instead of once, nothing is prepared, and no lock of a session is any use.
    """

    def __init__(self, settings: config.Settings) -> None:
        self.embedded: server.Embedded | None = None
        self.conninfo: str | None = config.conninfo(settings)
        self._pooled: bool | None = None  # None: not known before the first connection
        self._hides_names = False
        if self.conninfo is None:
            self.embedded = server.Embedded(settings.home)
            self.conninfo = self.embedded.start()
            self._pooled = False

    @property
    def display(self) -> str:
        """What to call this database in a message: never with a password."""
        return "the embedded database" if self.embedded else config.display(self.conninfo or "")

    @property
    def pooled(self) -> bool:
        """Whether a session lasts no longer than a transaction. Raises DatabaseUnavailable."""
        if self._pooled is None:
            self.connect(vectors=False).close()
        return bool(self._pooled)

    def connect(
        self, settings: Parameters = WRITING, *, vectors: bool = True, autocommit: bool = False, patient: bool = False
    ) -> Watched:
        """A new connection; an embedded server that has died meanwhile is started again.

        Where the database is pooled, `settings` hold in transactions only, not in autocommit. `patient` is for what
        may take hours (`watchdog.Watched`).
        """
        try:
            connection = self._connect(settings)
        except psycopg.OperationalError as error:
            if self.embedded is None:
                raise unavailable(error, self.display) from error
            self.embedded.ensure_running()
            connection = self._connect(settings)
        try:
            if self._pooled is None:
                self._look(connection, settings)
            if self._pooled:
                connection.prepare_threshold = None
                connection.settings = [f"SET LOCAL {name} = {value}" for name, value in settings.items()]
            connection.autocommit = autocommit
            connection.patient = patient
            if vectors:
                register_vector(connection)
            set_json_loads(json_values.loads, connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, settings: Parameters) -> Watched:
        name = watchdog.new_name()
        connection = Watched.connect(
            self._with_options(settings) if self._pooled is False else self.conninfo or "",
            application_name=name,
            connect_timeout=CONNECT_TIMEOUT,
        )
        connection.name, connection.is_at_work = name, self._is_at_work
        return connection

    def _with_options(self, settings: Parameters) -> str:
        """As part of the connection's start settings cost no round trip. pgbouncer refuses them."""
        given = conninfo_to_dict(self.conninfo or "").get("options") or os.environ.get("PGOPTIONS")
        ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
        return make_conninfo(self.conninfo or "", options=f"{given} {ours}" if given else ours)

    def _look(self, connection: Watched, settings: Parameters) -> None:
        """On the first connection, whether the database is pooled; it gets its settings when it is not."""
        row = connection.execute("SELECT pg_backend_pid(), current_setting('application_name')").fetchone()
        connection.rollback()
        assert row is not None
        # A pooler tells its clients a number of its own, by which it knows them when they cancel.
        self._pooled = row[0] != connection.info.backend_pid
        self._hides_names = not row[1].startswith(connection.name)
        if not self._pooled:
            connection.execute("; ".join(f"SET {name} = {value}" for name, value in settings.items()))
            connection.commit()

    def _is_at_work(self, connection: Watched) -> bool | None:
        return None if self._hides_names else watchdog.ask(connection, self.conninfo or "")

    def close(self) -> None:
        if self.embedded:
            self.embedded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True)
class Size:
    """How many connections a pool keeps, how many more it opens when all are in use, and how long it waits then."""

    kept: int
    more: int = 10
    wait: float = 30.0  # seconds

    @property
    def options(self) -> dict[str, Any]:
        return {"pool_size": self.kept, "max_overflow": self.more, "pool_timeout": self.wait}


def engine(address: Address, size: Size = Size(4), *, vectors: bool = True, patient: bool = False) -> Engine:
    """The engine for everything that writes, in transactions."""
    made = create_engine(
        "postgresql+psycopg://",
        creator=lambda: address.connect(vectors=vectors, patient=patient),
        isolation_level="READ COMMITTED",  # the queue relies on it, whatever the role's default is
        pool_pre_ping=True,
        **size.options,
    )
    event.listen(made, "handle_error", _leave_replica)
    _leave_out_lost(made)
    return made


def _leave_replica(context: ExceptionContext) -> None:
    """Connect anew for the next write: the server became a replica, and the address may lead to the new primary."""
    if isinstance(context.original_exception, errors.ReadOnlySqlTransaction):
        context.is_disconnect = True


def search_engine(address: Address, size: Size = Size(8)) -> Engine:
    """The engine for searches: autocommit, so that a query is one round trip; transactions where settings need one."""
    pooled = address.pooled
    made = create_engine(
        "postgresql+psycopg://",
        creator=lambda: address.connect(SEARCHING, autocommit=not pooled),
        isolation_level="READ COMMITTED" if pooled else "AUTOCOMMIT",
        **size.options,
    )
    _leave_out_lost(made)
    return made


def _leave_out_lost(engine: Engine) -> None:
    """Keep no connection lost in the middle of a COPY or of the hot query, of which SQLAlchemy has heard nothing.

    Nor one that was in use while the pool was disposed of: nobody would ever close it.
    """

    def remember(_: object, record: ConnectionPoolEntry) -> None:
        record.info["pool"] = engine.pool

    def leave_out(connection: psycopg.Connection[Any] | None, record: ConnectionPoolEntry) -> None:
        if connection is not None and (connection.closed or record.info.get("pool") is not engine.pool):
            record.invalidate()

    event.listen(engine, "connect", remember)
    event.listen(engine, "checkin", leave_out)


class Pools:
    """The two pools of one database: for what writes, and for searches."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.writing = engine(address)
        self.searching = search_engine(address)
        self._replaced: list[Engine] = []  # which collections opened before go on to use

    def widen(self, *, writing: int, searching: int, wait: float) -> None:
        """Make place for many threads, before any is at work; whoever waits longer for a connection gets none."""
        self.close_idle()
        self._replaced += self.writing, self.searching
        self.writing = engine(self.address, Size(writing, 0, wait))
        self.searching = search_engine(self.address, Size(searching, 0, wait))

    def close_idle(self) -> None:
        """Close the connections that nobody uses; others are made when they are needed."""
        for each in (self.writing, self.searching, *self._replaced):
            each.dispose()

    def close(self) -> None:
        self.close_idle()
        self.address.close()


def driver(connection: Connection) -> psycopg.Connection[Any]:
    """The psycopg connection underneath, inside the same transaction."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


def unavailable(error: Exception, display: str) -> DatabaseUnavailable:
    """The driver's complaint in one line, with the database's name and no password."""
    reason = " ".join(str(error).split())
    return DatabaseUnavailable(f"cannot connect to {display}: {reason}. Run `semsearch doctor` to see what is used.")
