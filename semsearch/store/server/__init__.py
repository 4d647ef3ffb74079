"""The embedded PostgreSQL: started by the first process that needs it, stopped by the last one that leaves.

Three lock files in `home` keep the processes apart (locks.py says why they cannot go stale):

- `users.lock`, shared: held by every process while it uses the server. The last one to leave gets it exclusively,
  and stops the server while it holds it. A process killed by SIGKILL leaves a running server to the next one.
- `start.lock`, exclusive: held while a process starts the server or waits for it. A process that joins takes it first
  and then `users.lock`, so it waits for a leaver that is just stopping; a leaver never waits for `start.lock`.
- `server.lock`, exclusive: handed down to the postmaster and its children. While any of them is alive there can be no
  second server on the directory, whatever postmaster.pid says: its pid may be another process by now, or belong to
  another container. Only the holder of `start.lock`, or of `users.lock` exclusively, touches it.
"""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path
from types import TracebackType

from semsearch.errors import DatabaseUnavailable
from semsearch.store.server import account, cluster, locks
from semsearch.store.server.postmaster import Postmaster


class Embedded:
    """The server of one `home`. Safe in several threads, processes and forked children at once.

    `durable=False` gives up safety against power loss: for tests only.
    """

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self.home = home
        self._durable = durable
        self._mutex = threading.RLock()
        self._users: int | None = None  # the descriptor that holds users.lock

    def start(self) -> str:
        """Join the running server, or start it; returns its connection string. Again and again is fine.

        Raises DatabaseUnavailable.
        """
        with self._mutex:
            try:
                if self._users is None:
                    self._join()
                return self._ensure_running()
            except BaseException as error:
                self.close()
                if isinstance(error, OSError):
                    raise DatabaseUnavailable(f"The embedded server in {self.home} cannot start: {error}.") from error
                raise

    # For those who have joined already and lost the connection: the server may have died under them.
    ensure_running = start

    def close(self) -> None:
        """Leave; the last one to leave stops the server and waits for its end."""
        with self._mutex:
            if self._users is None:
                return
            atexit.unregister(self.close)
            # Closed, never unlocked: a forked child has the same lock, and keeps it for as long as it lives.
            os.close(self._users)
            self._users = None
            if (last := locks.try_exclusive(self.home / "users.lock")) is not None:
                try:
                    self._postmaster.stop()
                finally:
                    os.close(last)

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _join(self) -> None:
        runner = account.current()
        cluster.prepare_home(self.home, runner)
        self._postmaster = Postmaster(self.home, runner, durable=self._durable)
        with locks.exclusive(self.home / "start.lock"):
            self._users = locks.shared(self.home / "users.lock")
        atexit.register(self.close)

    def _ensure_running(self) -> str:
        if not self._postmaster.answers():
            with locks.exclusive(self.home / "start.lock"):
                self._postmaster.run()
        return self._postmaster.conninfo()
