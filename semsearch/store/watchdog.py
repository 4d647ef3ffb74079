"""A connection that notices when nobody is at its other end: no call waits for ever on a network that swallowed it.

Keepalives and tcp_user_timeout see only as far as the next machine that acknowledges, a proxy or a balancer: with all
of them set psycopg still hung after 12 s. The server's own timeouts do not help a client that cannot hear it. So when
the server has been silent for a while, it is asked over a second connection whether it works on the statement. A
statement that takes its time, or waits for a lock, is worked on; one whose request or answer was lost is not.
"""

from __future__ import annotations

import itertools
import os
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import generators, pq
from psycopg.abc import PQGen
from psycopg.errors import error_from_result
from psycopg.rows import TupleRow

T = TypeVar("T")

# Seconds; at worst SILENCE, twice ANSWER and twice GRACE one after the other, which is less than 30.
SILENCE = 12.0  # without a byte before the server is asked
ANSWER = 4.0  # for the second connection, and again for its answer
GRACE = 2.0  # in which the answer of a statement that has just ended may still arrive

_PROCESS = secrets.token_hex(3)  # process ids alone are not unique: workers run on several machines
_numbers = itertools.count(1)

# A backend that waits for its client has received nothing, or cannot get rid of its answer. Poolers may append to a
# name (pgbouncer's application_name_add_host); "disabled" is said where track_activities is off.
BACKEND = """
SELECT pid, state IN ('active', 'disabled') AND wait_event_type IS DISTINCT FROM 'Client' AS at_work
FROM pg_stat_activity
WHERE (application_name = %(name)s OR starts_with(application_name, %(name)s || ' '))
  AND backend_type = 'client backend'
"""


def new_name() -> str:
    """An application_name that no other connection has: `semsearch`, the process, the number of the connection."""
    return f"semsearch {os.getpid()}.{_PROCESS}.{next(_numbers)}"


class Watched(psycopg.Connection[TupleRow]):
    """A connection whose calls are watched once `is_at_work` is set.

    `is_at_work` asks the server about this connection by its `name`: None when there is no telling. `silence` is how
    long nothing may come before it is asked; `patient` lets a call go on while there is no telling. `settings` are
    literal `SET LOCAL` statements that every transaction begins with, in the round trip of its BEGIN.
    """

    name = ""
    settings: Sequence[str] = ()
    silence: float | None = None  # None: SILENCE
    patient = False
    is_at_work: Callable[[Watched], bool | None] | None = None

    def wait(self, gen: PQGen[T], *arguments: Any, **options: Any) -> T:
        """As psycopg's. Raises OperationalError, the connection then being closed, when it was found dead."""
        if self.is_at_work is None:
            return super().wait(gen, *arguments, **options)
        try:
            return super().wait(self._watch(gen), *arguments, **options)
        except _Dead as dead:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"the database has not answered for {dead.seconds:.0f} s") from None

    def rollback(self) -> None:
        """As psycopg's, but of a connection that is gone the server rolls back by itself."""
        try:
            # A pool rolls back every connection that is returned: where nothing is begun that should cost nothing.
            if not (self.closed or self._is_idle()):
                super().rollback()
        except psycopg.OperationalError:
            if not self.closed:
                raise

    def _is_idle(self) -> bool:
        return self._pipeline is None and self.pgconn.transaction_status == pq.TransactionStatus.IDLE

    def _watch(self, gen: PQGen[T]) -> PQGen[T]:
        """Stands between psycopg and its generator, which is sent 0 ten times a second while nothing arrives."""
        silence = SILENCE if self.silence is None else self.silence
        heard = time.monotonic()
        due = heard + silence
        given_up = False
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                now = time.monotonic()
                if ready:
                    heard, due, given_up = now, now + silence, False
                elif now > due:
                    if given_up:
                        raise _Dead(now - heard)
                    given_up = not self._may_go_on()
                    due = time.monotonic() + (GRACE if given_up else silence)
                wanted = gen.send(ready)
        except StopIteration as done:
            result: T = done.value
            return result

    def _may_go_on(self) -> bool:
        assert self.is_at_work is not None
        at_work = self.is_at_work(self)
        return self.patient if at_work is None else at_work

    def _exec_command(self, command: Any, *arguments: Any, **options: Any) -> PQGen[pq.abc.PGresult | None]:
        # Not psycopg's public interface: tests/integration/test_connection.py pins it.
        if not self.settings or command != self._get_tx_start_command():
            return (yield from super()._exec_command(command, *arguments, **options))
        if self._pipeline:  # executemany is one
            for statement in (command, *self.settings):
                yield from super()._exec_command(statement, *arguments, **options)
            return None
        self._check_connection_ok()
        self.pgconn.send_query(b"; ".join([command, *(setting.encode() for setting in self.settings)]))
        for result in (yield from generators.execute(self.pgconn)):
            if result.status != pq.ExecStatus.COMMAND_OK:
                raise error_from_result(result)
        return result  # type: ignore[no-any-return]


class _Dead(Exception):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


def ask(watched: Watched, conninfo: str) -> bool | None:
    """Whether the server works for that connection; None when nobody answers."""
    # A name may stand for several servers: asked is the one that the connection leads to.
    info = watched.info
    try:
        with Watched.connect(
            conninfo,
            host=info.host or None,
            hostaddr=info.hostaddr or None,
            port=info.port,
            application_name=new_name(),
            connect_timeout=int(ANSWER),
            autocommit=True,
            prepare_threshold=None,
        ) as asking:
            asking.silence, asking.is_at_work = ANSWER, lambda _: False
            return any(at_work for _, at_work in asking.execute(BACKEND, {"name": watched.name}))
    except psycopg.Error:
        return None


def backend(asking: psycopg.Connection[Any], name: str) -> int | None:
    """The server process that works for the connection of that name, behind a pooler only for just now."""
    row = asking.execute(BACKEND, {"name": name}).fetchone()
    return row and int(row[0])
