"""A disk of a few megabytes that tests fill and free: a tmpfs, which only root can mount."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg import sql as composing
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

import semsearch
from semsearch.collection import Collection
from semsearch.config import Settings
from semsearch.database import Database
from semsearch.store import migrate, server
from semsearch.store.connection import Address
from semsearch.store.server import account
from tests.conftest import TEST_SERVER, maintenance
from tests.integration.hands import MODEL
from tests.provider import Provider

BALLAST = "ballast"
_numbers = itertools.count(1)


class Disk:
    """A mounted tmpfs. `fill` leaves so many bytes, `free` takes back what `fill` took."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def available(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int = 0) -> None:
        with (self.folder / BALLAST).open("ab", buffering=0) as file:
            try:
                file.write(bytes(max(0, self.available - leave)))
            except OSError as error:  # the server has just written something, too
                if error.errno != errno.ENOSPC:
                    raise

    def free(self) -> None:
        (self.folder / BALLAST).unlink()

    def grow(self, megabytes: int) -> None:
        _mount("-o", f"remount,size={megabytes}m", str(self.folder))


@contextmanager
def mounted(folder: Path, megabytes: int, user: int) -> Iterator[Disk]:
    """Skips where it cannot be mounted."""
    folder.mkdir(mode=0o711)
    try:
        _mount("-t", "tmpfs", "-o", f"size={megabytes}m,uid={user},mode=700", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        folder.rmdir()
        pytest.skip(f"a tmpfs cannot be mounted here: {error}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


def _mount(*options: str) -> None:
    subprocess.run(["mount", *options], check=True, capture_output=True)


@pytest.fixture
def disk(server_home: Path) -> Iterator[Disk]:
    """48 MB, of which an empty database takes about ten."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    folder = server_home / f"disk-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}-{next(_numbers)}"
    with mounted(folder, 48, account.current().uid) as made:
        yield made


@pytest.fixture(scope="session")
def disk_server(server_home: Path) -> Iterator[str]:
    """A server of this process's own: while one database's disk is full, no checkpoint of its server succeeds, and a
    database that another test drops meanwhile asks for one."""
    if TEST_SERVER:
        pytest.skip("the server of SEMSEARCH_TEST_DATABASE_URL may be on another machine")
    home = server_home / f"disk-server-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    with server.Embedded(home, durable=False) as conninfo:
        yield conninfo


@pytest.fixture
def disk_db(disk: Disk, disk_server: str, provider: Provider) -> Iterator[Database]:
    """A database whose tables are on that disk; the log of the server (WAL) is not."""
    name = disk.folder.name.replace("-", "_")
    with maintenance(disk_server) as administrator:
        location = composing.Literal(str(disk.folder))
        administrator.execute(
            composing.SQL("CREATE TABLESPACE {} LOCATION {}").format(composing.Identifier(name), location)
        )
        administrator.execute(f"CREATE DATABASE {name} TABLESPACE {name}")
    try:
        settings = Settings(
            database_url=make_conninfo(disk_server, dbname=name),
            home=disk.folder / "unused",
            openai_api_key=SecretStr("sk-test"),
            openai_base_url=provider.url,
        )
        with Address(settings) as address:
            migrate.upgrade(address)
        with semsearch.connect(settings=settings) as opened:
            yield opened
    finally:
        with maintenance(disk_server) as administrator:
            administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
            administrator.execute(f"DROP TABLESPACE {name}")


@pytest.fixture
def disk_notes(disk_db: Database, provider: Provider) -> Collection:
    return disk_db.create_collection("notes", model=MODEL, chunk_size=0)
