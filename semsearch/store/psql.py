"""A real psql on the database in use."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from semsearch.store.connection import Address
from semsearch.store.server import binaries

TERMINAL_DESCRIPTIONS = "/etc/terminfo:/lib/terminfo:/usr/share/terminfo"


def run(address: Address, arguments: Sequence[str]) -> int:
    """Give the terminal to psql and return its exit status. The embedded server runs on at least as long as psql."""
    parts = conninfo_to_dict(address.conninfo or "")
    # The arguments of a process are there for everybody to read, its environment is not.
    password = parts.pop("password", None)
    environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
    # The wheel's psql was built where terminals are described in other places than Debian's.
    environment.setdefault("TERMINFO_DIRS", TERMINAL_DESCRIPTIONS)
    command = [_program(address), f"--dbname={make_conninfo('', **parts)}", *arguments]
    with subprocess.Popen(command, env=environment) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # psql has got it too: it cancels the query and goes on


def _program(address: Address) -> Path | str:
    own = None if address.embedded else shutil.which("psql")
    return own or binaries.find() / "psql"
