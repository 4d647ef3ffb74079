"""pgbouncer before a cluster: Debian's program, with a configuration of the test's own, as an unprivileged user."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import pytest

from tests.faults.cluster import PASSWORD, USER, PgCluster, free_port

# Few connections to the server, so that clients are given each other's.
CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={target}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {users}
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
admin_users = {user}
server_login_retry = 1
"""


def program() -> str:
    """The pgbouncer of this machine; the test skips where there is none."""
    found = shutil.which("pgbouncer", path=f"/usr/sbin:{os.environ.get('PATH', '')}")
    if not found:
        pytest.skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
    return found


class Pooler:
    """A running pgbouncer; `folder` must be one that the cluster's user can reach."""

    def __init__(self, cluster: PgCluster, folder: Path, *, mode: str = "transaction", size: int = 3) -> None:
        self.cluster = cluster
        self.size = size
        folder.mkdir(mode=0o755)
        (folder / "users").write_text(f'"{USER}" "{PASSWORD}"\n')
        if not (self._start(folder, mode) or self._start(folder, mode)):  # somebody may have taken the first port
            raise AssertionError("pgbouncer has not started")

    def _start(self, folder: Path, mode: str) -> bool:
        """Whether it has, on a port that was free."""
        self.port = free_port()
        values = {"target": self.cluster.port, "port": self.port, "users": folder / "users"}
        configuration, account = folder / "pgbouncer.ini", self.cluster.account
        configuration.write_text(CONFIGURATION.format(**values, mode=mode, size=self.size, user=USER))
        self._process = subprocess.Popen(
            [program(), "--quiet", configuration],
            user=account.uid if account.switch else None,
            group=account.gid if account.switch else None,
            extra_groups=[] if account.switch else None,
            stderr=subprocess.DEVNULL,
        )
        return self._answers()

    def url(self, database: str) -> str:
        return self.cluster.url(database, port=self.port)

    def connect(self, database: str) -> psycopg.Connection[Any]:
        """A client that knows of the pooler."""
        return psycopg.connect(self.cluster.conninfo(database, port=self.port), prepare_threshold=None)

    def _answers(self) -> bool:
        """Once it does; False when it has ended instead."""
        begun = time.monotonic()
        while self._process.poll() is None:
            try:
                self.connect("pgbouncer").close()
                return True
            except psycopg.OperationalError:
                assert time.monotonic() - begun < 60, "pgbouncer does not answer"
                time.sleep(0.02)
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
