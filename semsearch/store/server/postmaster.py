"""PostgreSQL's first process: found, started, waited for, stopped. The callers hold the locks."""

from __future__ import annotations

import logging
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from psycopg import pq
from psycopg.conninfo import make_conninfo

from semsearch.errors import DatabaseUnavailable
from semsearch.store.server import binaries, cluster, locks, settings, socket
from semsearch.store.server.account import Account

PATIENCE = 600.0  # seconds: recovery after a crash replays up to max_wal_size, 4 GB
QUIET = 5.0  # seconds before a wait is worth a word

logger = logging.getLogger(__name__)


class Postmaster:
    """The server process of one home, alive or not."""

    def __init__(self, home: Path, account: Account, *, durable: bool) -> None:
        self.home = home
        self.data = home / cluster.FOLDER
        self._account = account
        self._durable = durable

    def answers(self) -> bool:
        """Whether a server takes connections, not one that is starting or stopping."""
        if self._pid_file() is None:
            return False
        return pq.PGconn.ping(make_conninfo(self.conninfo(), connect_timeout=10).encode()) == pq.Ping.OK

    def conninfo(self) -> str:
        found = self._pid_file()
        if found is None:
            raise DatabaseUnavailable(f"The embedded server in {self.home} was stopped by somebody else: try again.")
        return make_conninfo(
            "",
            host=found[1],
            port=socket.PORT,
            user=cluster.ROLE,
            dbname=cluster.DATABASE,
            # The kernel says which user serves the socket: nobody else can stand in for our server.
            requirepeer=self._account.name,
        )

    def run(self) -> None:
        """Wait until the server answers; start it as soon as it is certain that there is none."""
        launched = False

        def answers() -> bool:
            nonlocal launched
            if self.answers():
                return True
            if (alone := locks.try_exclusive(self._lock)) is not None:
                try:
                    if launched:
                        raise DatabaseUnavailable(f"The embedded server does not start: {self._last_words()}")
                    self._launch(alone)
                    launched = True
                finally:
                    # The postmaster has inherited the lock: it is free again when the last server process has ended.
                    os.close(alone)
            return False

        self._wait(answers, "is not ready")

    def stop(self) -> None:
        """A "fast" shutdown: other connections are cut, everything is written."""
        if self._dead():
            return
        found = self._pid_file()
        if found:
            os.kill(found[0], signal.SIGINT)
        self._wait(self._dead, "has not stopped")
        if found:
            # It may lie in /tmp, where nobody else would clean up.
            with suppress(OSError):
                Path(found[1]).rmdir()

    def _launch(self, lock: int) -> None:
        programs = binaries.reachable(self.home, self._account)
        if not self.data.exists():
            cluster.create(self.data, programs, self._account, durable=self._durable)
        self._forget_dead_postmaster()
        folder = socket.prepare(self.home, self._account)
        text = settings.configuration(folder, durable=self._durable)
        cluster.write(self.data / "semsearch.conf", text, self._account)
        (self.data / "startup.log").unlink(missing_ok=True)
        # pg_ctl hands paths to a shell: it gets none, but PGDATA and a name relative to it.
        options = ["start", "--no-wait", "--silent", "--log=startup.log"]
        self._account.run([programs / "pg_ctl", *options], folder=self.data, pass_fds=[lock])

    def _forget_dead_postmaster(self) -> None:
        # PostgreSQL refuses to start while the pid in its two lock files is alive and of the same user, whatever
        # process it is by now; in a restarted container that is likely. Where /proc can tell, it is believed.
        found = self._pid_file()
        if found and Path("/proc/self/stat").exists() and not _works_in(found[0], self.data):
            (self.data / "postmaster.pid").unlink()
            (Path(found[1]) / f".s.PGSQL.{socket.PORT}.lock").unlink(missing_ok=True)

    @property
    def _lock(self) -> Path:
        return self.home / "server.lock"

    def _dead(self) -> bool:
        if (alone := locks.try_exclusive(self._lock)) is None:
            return False
        os.close(alone)
        return True

    def _wait(self, done: Callable[[], bool], complaint: str) -> None:
        if done():
            return
        begun = time.monotonic()
        told = False
        while not done():
            waited = time.monotonic() - begun
            if waited > PATIENCE:
                place = self.data / "log"
                raise DatabaseUnavailable(f"The embedded server {complaint} after {waited:.0f} s: look into {place}.")
            if waited > QUIET and not told:
                logger.warning("The embedded server %s yet; after a crash this can take minutes.", complaint)
                told = True
            time.sleep(min(0.01 + waited / 20, 0.5))

    def _pid_file(self) -> tuple[int, str] | None:
        """Pid and socket folder of the running server, or of one that was killed."""
        # Its lines: https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/utils/pidfile.h
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            return int(lines[0]), lines[4]
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def _last_words(self) -> str:
        logs = sorted((self.data / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
        for path in [self.data / "startup.log", *logs[-1:]]:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
            # "the database system is starting up" is what our own question was answered.
            fatal = [line for line in lines if re.search(r"(FATAL|PANIC): (?! the database system is )", line)]
            if fatal:
                return fatal[-1]
        return f"its log is in {self.data / 'log'}."


def _works_in(pid: int, folder: Path) -> bool:
    # A postmaster's working directory is its data directory. A killed one that its parent has not taken note of, which
    # in a container may be for ever, has its pid and name still, but no directory.
    try:
        return Path(f"/proc/{pid}/cwd").samefile(folder)
    except OSError:
        return False
