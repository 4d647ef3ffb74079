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
        self.port = free_port()
        self.size = size
        folder.mkdir(mode=0o755)
        users, configuration = folder / "users", folder / "pgbouncer.ini"
        users.write_text(f'"{USER}" "{PASSWORD}"\n')
        values = {"target": cluster.port, "port": self.port, "users": users, "mode": mode, "size": size, "user": USER}
        configuration.write_text(CONFIGURATION.format(**values))
        self._process = subprocess.Popen(
            [program(), "--quiet", configuration],
            user=cluster.account.uid if cluster.account.switch else None,
            group=cluster.account.gid if cluster.account.switch else None,
            extra_groups=[] if cluster.account.switch else None,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def url(self, database: str) -> str:
        return self.cluster.url(database, port=self.port)

    def connect(self, database: str) -> psycopg.Connection[Any]:
        """A client that knows of the pooler."""
        return psycopg.connect(self.cluster.conninfo(database, port=self.port), prepare_threshold=None)

    def _wait(self) -> None:
        begun = time.monotonic()
        while True:
            assert self._process.poll() is None, "pgbouncer has not started"
            try:
                self.connect("pgbouncer").close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() - begun < 30, "pgbouncer does not answer"
                time.sleep(0.02)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
