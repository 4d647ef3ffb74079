"""Which OS user runs the embedded server: whoever calls, but for root a system user of its own.

PostgreSQL refuses to run as root, and a system user that exists already for another server is none of our business.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from semsearch.errors import DatabaseUnavailable

SYSTEM_USER = "semsearch"


@dataclass(frozen=True, slots=True)
class Account:
    """The user of the server; `switch` says that we are root and must become that user first."""

    name: str
    uid: int
    gid: int
    switch: bool

    def run(
        self, command: Sequence[str | Path], *, folder: Path = Path("/"), pass_fds: Sequence[int] = (), stdin: str = ""
    ) -> str:
        """Run a program of PostgreSQL as this user and return what it printed; DatabaseUnavailable when it fails."""
        completed = subprocess.run(
            command,
            # The caller's folder may be closed to this user; PG* variables and locales of the caller are not wanted.
            cwd=folder,
            env={"PATH": os.defpath, "LC_ALL": "C", "PGDATA": str(folder)},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            # Ctrl-C in the caller's terminal must not reach the server.
            start_new_session=True,
            pass_fds=pass_fds,
            umask=0o077,
            check=False,
            user=self.uid if self.switch else None,
            group=self.gid if self.switch else None,
            extra_groups=[] if self.switch else None,
        )
        if completed.returncode != 0:
            raise DatabaseUnavailable(f"{Path(command[0]).name} failed: {' '.join(completed.stdout.split()[-60:])}")
        return completed.stdout

    def own(self, path: Path) -> None:
        """Give what root has made to the server's user."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def reaches(self, folder: Path) -> bool:
        """Whether this user can enter the folder."""
        if not self.switch:
            return os.access(folder, os.X_OK)
        try:
            self.run(["test", "-x", folder])
        except DatabaseUnavailable:
            return False
        return True


def current() -> Account:
    """The account for this process; as root the system user is created where it is missing."""
    if os.geteuid() == 0:
        entry = _system_user()
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)
    try:
        entry = pwd.getpwuid(os.geteuid())
    except KeyError:
        raise DatabaseUnavailable(
            f"User id {os.geteuid()} has no name in /etc/passwd, which PostgreSQL needs to know its user: "
            "add an entry, or set SEMSEARCH_DATABASE_URL to a server of your own."
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=False)


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    useradd = shutil.which("useradd", path=f"/usr/sbin:/sbin:{os.defpath}")
    if useradd:
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        # It fails when another process was first: the second look then finds the user.
        subprocess.run(
            [useradd, *options, "--shell", "/usr/sbin/nologin", SYSTEM_USER], capture_output=True, check=False
        )
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise DatabaseUnavailable(
            f"PostgreSQL does not run as root: create a system user named {SYSTEM_USER!r}, run as an ordinary user, "
            "or set SEMSEARCH_DATABASE_URL to a server of your own."
        ) from None
