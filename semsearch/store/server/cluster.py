"""The home and the data directory in it: made whole or not at all, and private to the server's user."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from semsearch.errors import DatabaseUnavailable
from semsearch.store.server import binaries
from semsearch.store.server.account import Account

ROLE = DATABASE = "semsearch"
FOLDER = f"postgresql-{binaries.MAJOR}"

HBA = "# Only the OS users of pg_ident.conf, over the Unix socket, by the kernel's word. No password, no network.\n"
LOCALE = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]


def prepare_home(home: Path, account: Account) -> None:
    """Make the home if it is missing. Raises DatabaseUnavailable where the server's user cannot use it."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        # Only a folder that we make gets our mode: nothing of the user's is opened to the server's user.
        home.mkdir(mode=0o711 if account.switch else 0o700)
    except FileExistsError:
        pass
    owner = home.stat().st_uid
    if account.switch and owner not in (0, account.uid):
        # Its owner could have laid links there for root to follow.
        raise DatabaseUnavailable(f"SEMSEARCH_HOME {home} belongs to another user: run as that user, or change it.")
    if not account.reaches(home) or not os.access(home, os.W_OK):
        raise DatabaseUnavailable(
            f"The user {account.name}, who runs the embedded server, has no access to {home}: "
            "set SEMSEARCH_HOME to another folder."
        )


def create(data: Path, programs: Path, account: Account, *, durable: bool) -> None:
    """Make the data directory with its role and its database. Call it while nobody else starts the server."""
    unfinished = data.with_name(data.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(mode=0o700)
        account.own(unfinished)
        options = [f"--username={ROLE}", "--auth=peer", "--no-instructions", "--no-sync", *LOCALE]
        account.run([programs / "initdb", *options], folder=unfinished)
        statement = f"CREATE DATABASE {DATABASE};\n"
        options = ["--single", "-F", "-D", str(unfinished), "postgres"]
        account.run([programs / "postgres", *options], folder=unfinished, stdin=statement)
        write(unfinished / "pg_hba.conf", f"{HBA}local all all peer map={ROLE}\n", account)
        write(unfinished / "pg_ident.conf", _identities(account), account)
        original = (unfinished / "postgresql.conf").read_text(encoding="utf-8")
        write(unfinished / "postgresql.conf", f"{original}\ninclude 'semsearch.conf'\n", account)
        if durable:
            # Once for everything, instead of after each of the steps above: that is what takes time on a slow disk.
            account.run([programs / "initdb", "--sync-only", "-D", unfinished], folder=unfinished)
        # Only a whole directory gets the name that says that it is one.
        unfinished.rename(data)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write(path: Path, text: str, account: Account) -> None:
    """Replace a file at once, readable for the server's user only."""
    # As root we write into another user's folder: a new file under a random name follows no link laid there.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        account.own(Path(name))
        os.replace(name, path)  # noqa: PTH105
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _identities(account: Account) -> str:
    # root can become the server's user anyway. "all": any role, so that rights of other roles can be tried out.
    names = dict.fromkeys([account.name, "root"])
    return "".join(f'{ROLE} "{name}" all\n' for name in names)
