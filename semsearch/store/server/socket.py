"""Where the server's Unix socket lies: in a folder that only the server's user may enter."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from pathlib import Path

from semsearch.errors import DatabaseUnavailable
from semsearch.store.server.account import Account

PORT = 5432  # part of the socket's name only
LONGEST = 103 if sys.platform == "darwin" else 107  # bytes, sun_path of sockaddr_un without its final zero


def prepare(home: Path, account: Account) -> Path:
    """Make the folder if it is missing; raises DatabaseUnavailable if it is not the server's user's own."""
    folder = home / "socket"
    if not _fits(folder):
        folder = _elsewhere(home, account)
    try:
        folder.mkdir(mode=0o700)
        account.own(folder)
    except FileExistsError:
        pass
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != account.uid or stat.S_IMODE(status.st_mode) != 0o700:
        raise DatabaseUnavailable(
            f"{folder} is not a private folder of the user {account.name}: remove it, or change SEMSEARCH_HOME."
        )
    return folder


def _fits(folder: Path) -> bool:
    # libpq reads a comma in a host as the end of one host and the start of the next; connection strings are UTF-8.
    path = folder / f".s.PGSQL.{PORT}"
    encoded = os.fsencode(path)
    return len(encoded) <= LONGEST and b"," not in encoded and encoded == str(path).encode(errors="replace")


def _elsewhere(home: Path, account: Account) -> Path:
    # Named after the home, and known to others from postmaster.pid: they may have another TMPDIR. Nobody else can lay
    # a trap there: the folder's owner and mode are checked, and clients ask the kernel who serves the socket.
    name = f"semsearch-{account.uid}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}"
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    places = [] if account.switch or not os.path.isdir(runtime) else [runtime]  # noqa: PTH112 - "" is no folder
    for place in [*places, tempfile.gettempdir(), "/tmp"]:  # noqa: S108
        folder = Path(place, name)
        if _fits(folder) and account.reaches(folder.parent):
            return folder
    raise DatabaseUnavailable(f"No place for a Unix socket: set SEMSEARCH_HOME to a shorter path than {home}.")
