"""A PostgreSQL of a test's own on a loopback port: started, stopped, killed, crashed, and its backends too.

The embedded server listens on a Unix socket only, which no proxy and no pooler of another user can stand before, and it
serves the whole test run: it must not be killed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import conninfo

from semsearch.errors import DatabaseUnavailable
from semsearch.store.server import account, binaries, cluster, locks

PASSWORD = "only-for-tests"
USER = "tester"
SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "fsync": "off",
    "full_page_writes": "off",
    "jit": "on",  # as users' servers have it: what we switch off must be seen to be off
    "log_min_messages": "warning",
    "lc_messages": "'C'",
}


# Below those that systems give to outgoing connections: such a port may be taken while a server is down, even by a
# client of its own, whose connection to a port on which nobody listens can be given that very port to come from.
PORTS = range(20_000, 32_000)
_chance = random.SystemRandom()  # every process of a test run seeds the usual one alike


def free_port() -> int:
    while True:
        port = _chance.choice(PORTS)
        with socket.socket() as listening, suppress(OSError):
            listening.bind(("127.0.0.1", port))
            return port


class PgCluster:
    """A data directory in `folder` and the server on it. `home` is where the programs may be copied to.

    The folder's parents must let other users pass: as root the server runs as another one (pytest's tmp_path does not).
    """

    def __init__(self, folder: Path, home: Path, settings: Mapping[str, str] | None = None) -> None:
        self.account = account.current()
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self._has_begun = False
        self.settings = {**SETTINGS, **(settings or {})}
        with locks.exclusive(home / "start.lock"):  # as the embedded server does
            self._programs = binaries.reachable(home, self.account)

    def create(self) -> None:
        """initdb, with a password: any user of this machine can reach a loopback port."""
        self._prepare_folder()
        password = self.folder / "password"
        cluster.write(password, PASSWORD, self.account)
        options = [f"--username={USER}", f"--pwfile={password}", "--auth=password", "--no-sync", "--no-instructions"]
        self._run("initdb", *options, *cluster.LOCALE)

    def copy(self, of: Path) -> None:
        """As `create`, from the data directory of a stopped cluster."""
        self._prepare_folder()
        self.account.run(["cp", "-a", of, self.data])

    def _prepare_folder(self) -> None:
        self.folder.mkdir(mode=0o711, parents=True)
        self.account.own(self.folder)

    def start(self) -> None:
        """Returns when it takes connections. After a kill it waits until the last process of before has ended."""
        try:
            self._start()
        except DatabaseUnavailable:
            if "could not create any TCP/IP sockets" not in (self.data / "log").read_text(errors="replace"):
                raise
            # Another process has taken the port, or has just tried whether it is free.
            if not self._has_begun:
                self.port = free_port()
            self._start()
        self._has_begun = True

    def _start(self) -> None:
        settings = {**self.settings, "port": str(self.port)}
        text = "".join(f"{name} = {value}\n" for name, value in settings.items())
        cluster.write(self.data / "postgresql.auto.conf", text, self.account)
        (self.data / "postmaster.pid").unlink(missing_ok=True)  # the lock below says whether a server is there
        lock = self._lock()
        try:
            self._run("pg_ctl", "start", "--wait", "--timeout=120", "--silent", "--log=log", pass_fds=[lock])
        finally:
            os.close(lock)

    def _lock(self) -> int:
        """Handed down to the server's processes, so that it is free again when the last of them has ended."""
        begun = time.monotonic()
        while (lock := locks.try_exclusive(self.folder / "server.lock")) is None:
            assert time.monotonic() - begun < 60, "the processes of the killed server do not end"
            time.sleep(0.02)
        return lock

    def stop(self, mode: str = "fast") -> None:
        """`immediate` is a crash in which the processes end by themselves; nothing happens when it is down."""
        if self.is_running:
            self._run("pg_ctl", "stop", f"--mode={mode}", "--wait", "--timeout=120", "--silent")

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL to the postmaster: its children end by themselves as soon as they notice; `start` recovers."""
        os.kill(self.pid, signal.SIGKILL)

    def kill_backend(self, pid: int) -> None:
        """SIGKILL to one backend: the postmaster then ends all others, recovers and takes connections again."""
        os.kill(pid, signal.SIGKILL)

    def terminate(self, where: str = "true") -> int:
        """pg_terminate_backend on every other client for which the condition on pg_stat_activity holds."""
        with self.connect() as connection:
            row = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                f" WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND ({where})"
            ).fetchone()
        return int(row[0]) if row else 0

    @property
    def pid(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split("\n")[0])

    @property
    def is_running(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except (OSError, ValueError):
            return False
        return True

    def conninfo(self, database: str = "postgres", *, port: int | None = None) -> str:
        """For libpq; with a `port`, through whatever stands before it there."""
        values = {"host": "127.0.0.1", "user": USER, "password": PASSWORD}
        return conninfo.make_conninfo("", port=port or self.port, dbname=database, **values)

    def url(self, database: str = "postgres", *, port: int | None = None) -> str:
        """For SEMSEARCH_DATABASE_URL."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port or self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A user's own connection, in autocommit."""
        return psycopg.connect(self.conninfo(database), autocommit=True, connect_timeout=10)

    def _run(self, program: str, *options: str | Path, pass_fds: list[int] | None = None) -> None:
        folder = self.data if self.data.exists() else self.folder
        self.account.run([self._programs / program, "-D", self.data, *options], folder=folder, pass_fds=pass_fds or [])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with suppress(Exception):
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)
