"""What the tests of faults share: servers of their own, which they may stop, kill and cut off."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from semsearch.config import Settings
from semsearch.store import connection, migrate
from tests.faults.cluster import PgCluster
from tests.faults.full_disk import disk, disk_db, disk_notes, disk_server  # noqa: F401
from tests.integration.conftest import hands, model_db, module_db, notes, other_sql, sql  # noqa: F401

DATABASE = "semsearch"
_numbers = itertools.count(1)

MakeCluster = Callable[..., PgCluster]


def _folder(home: Path) -> Path:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return home / f"cluster-{worker}-{os.getpid()}-{next(_numbers)}"


@pytest.fixture(scope="session")
def migrated_data(server_home: Path) -> Iterator[Path]:
    """The data directory of a stopped cluster whose database `semsearch` is migrated; others are copied from it."""
    with PgCluster(_folder(server_home), server_home) as made:
        made.create()
        made.start()
        with made.connect() as administrator:
            administrator.execute(f"CREATE DATABASE {DATABASE}")
        with connection.Address(Settings(database_url=made.url(DATABASE))) as address:
            migrate.upgrade(address)
        made.stop()
        yield made.data


@pytest.fixture
def make_cluster(server_home: Path, migrated_data: Path) -> Iterator[MakeCluster]:
    """A function that starts a cluster of the test's own: `make_cluster(folder=None, **settings)`.

    Its database `semsearch` is migrated. Without a folder it lies in the home of the test run.
    """
    with ExitStack() as stack:

        def make(folder: Path | None = None, **settings: str) -> PgCluster:
            made = stack.enter_context(PgCluster(folder or _folder(server_home), server_home, settings))
            made.copy(migrated_data)
            made.start()
            return made

        yield make


@pytest.fixture
def cluster(make_cluster: MakeCluster) -> PgCluster:
    """A running cluster of the test's own, with a migrated database `semsearch`."""
    return make_cluster()


@pytest.fixture(scope="module")
def module_cluster(server_home: Path, migrated_data: Path) -> Iterator[PgCluster]:
    """A running cluster that the tests of a module share: nobody stops it."""
    with PgCluster(_folder(server_home), server_home) as made:
        made.copy(migrated_data)
        made.start()
        yield made


@pytest.fixture
def database(module_cluster: PgCluster) -> Iterator[str]:
    """The name of a migrated database of this test's own in `module_cluster`."""
    name = f"d{next(_numbers)}"
    with module_cluster.connect() as administrator:
        administrator.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}")
    yield name
    with module_cluster.connect() as administrator:
        administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
