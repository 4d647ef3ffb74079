"""What every test may ask for: a database of its own on a real PostgreSQL, settings that point to it, the shared data.

One embedded server serves the whole run, pytest-xdist's workers too; `SEMSEARCH_TEST_DATABASE_URL` names another one
(its user must be allowed to create databases). A template database is migrated once, each test gets a copy of it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import conninfo, sql

from semsearch.config import Settings, parse
from semsearch.store import server
from semsearch.store.server import binaries, locks
from tests.provider import Provider

TEST_SERVER = os.environ.get("SEMSEARCH_TEST_DATABASE_URL")
ROOT = Path(__file__).parent.parent
TEMPLATE = "semsearch_template"

ServerUrl = Callable[[str], str]
home_key = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """One home for the server of the whole run; xdist's workers are told by their controller."""
    _isolate()
    # A shell lets its background jobs ignore SIGINT, and they hand that down: tests of Ctrl-C would wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    told = getattr(config, "workerinput", {}).get("semsearch_home")
    if told is None:
        home = Path(tempfile.mkdtemp(prefix="semsearch-test-"))
        home.chmod(0o711)  # as root the server runs as another user, who must pass through
    config.stash[home_key] = Path(told) if told else home


def _isolate() -> None:
    """No test may depend on the caller's database or keys, or on a model hub; before anything reads them."""
    for variable in list(os.environ):
        if variable.startswith(("PG", "SEMSEARCH_", "OPENAI_")) and variable != "SEMSEARCH_TEST_DATABASE_URL":
            del os.environ[variable]
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["semsearch_home"] = str(node.config.stash[home_key])


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and home_key in config.stash:
        shutil.rmtree(config.stash[home_key], ignore_errors=True)


def pytest_report_header() -> str:
    if TEST_SERVER:
        with psycopg.connect(parse(TEST_SERVER)) as connection:
            row = connection.execute(
                "SELECT current_setting('server_version'),"
                " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector')"
            ).fetchone()
        postgres, pgvector = row or ("?", "?")
    else:
        programs = binaries.find()
        postgres = subprocess.check_output([programs / "postgres", "--version"], text=True).split()[-1]
        control = (programs.parent / "share/postgresql/extension/vector.control").read_text()
        pgvector = control.partition("default_version = '")[2].partition("'")[0]
    return f"PostgreSQL {postgres}, pgvector {pgvector}, {'SEMSEARCH_TEST_DATABASE_URL' if TEST_SERVER else 'embedded'}"


@pytest.fixture(scope="session")
def server_home(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.stash[home_key]


@pytest.fixture(scope="session")
def server_conninfo(server_home: Path) -> Iterator[str]:
    """The server's connection string, as its superuser (or whoever SEMSEARCH_TEST_DATABASE_URL names)."""
    if TEST_SERVER:
        yield parse(TEST_SERVER)
        return
    with server.Embedded(server_home, durable=False) as embedded:
        yield embedded


@pytest.fixture(scope="session")
def server_url(server_conninfo: str) -> ServerUrl:
    """A function from the name of a database to its URL."""

    def url(database: str) -> str:
        parts = {**conninfo.conninfo_to_dict(server_conninfo), "dbname": database}
        return "postgresql://?" + "&".join(f"{name}={quote(str(value), safe='')}" for name, value in parts.items())

    return url


@contextmanager
def maintenance(server_conninfo: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection that creates and drops databases: it may not sit in one of them."""
    with psycopg.connect(conninfo.make_conninfo(server_conninfo, dbname="postgres"), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def template(server_home: Path, server_conninfo: str, server_url: ServerUrl) -> str:
    """The migrated database that others are copied from; made by the first worker that needs it."""
    from semsearch.store import connection as connections
    from semsearch.store import migrate

    with locks.exclusive(server_home / "template.lock"), maintenance(server_conninfo) as connection:
        done = server_home / "template.done"
        if not done.exists():
            connection.execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
            fresh = Settings(database_url=server_url(TEMPLATE), home=server_home / "unused")
            with connections.Address(fresh) as address:
                migrate.upgrade(address)
            done.touch()
    return TEMPLATE


_numbers = itertools.count(1)


@contextmanager
def fresh_database(server_conninfo: str, server_url: ServerUrl, template: str) -> Iterator[str]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    name = f"semsearch_{worker}_{os.getpid()}_{next(_numbers)}"
    with maintenance(server_conninfo) as connection:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        connection.execute(create)
    try:
        yield server_url(name)
    finally:
        with maintenance(server_conninfo) as connection:
            try:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            except psycopg.errors.InternalError_ as error:  # says no more than to look into the log, which goes with us
                log = connection.execute("SELECT right(pg_read_file(pg_current_logfile()), 2000)").fetchone()
                raise AssertionError(f"{error}\n{log}") from error


@pytest.fixture
def database_url(server_conninfo: str, server_url: ServerUrl, template: str) -> Iterator[str]:
    """A migrated database of this test's own."""
    with fresh_database(server_conninfo, server_url, template) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(server_conninfo: str, server_url: ServerUrl, template: str) -> Iterator[str]:
    """A migrated database that the tests of one module share: to copy the template takes longer than most tests."""
    with fresh_database(server_conninfo, server_url, template) as url:
        yield url


@pytest.fixture
def empty_database_url(server_conninfo: str, server_url: ServerUrl) -> Iterator[str]:
    """A database of this test's own that nothing was done to: no schema, no extension."""
    with fresh_database(server_conninfo, server_url, "template1") as url:
        yield url


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, home=tmp_path / "home")


@pytest.fixture
def db(settings: Settings) -> Iterator[Any]:
    """`semsearch.connect()` on a migrated database of this test's own."""
    import semsearch

    with semsearch.connect(settings=settings) as database:
        yield database


@pytest.fixture(scope="session")
def provider_process() -> Iterator[Provider]:
    with Provider.start() as started:
        yield started


@pytest.fixture
def provider(provider_process: Provider) -> Provider:
    """A server that speaks OpenAI's protocol, with no script, no rules and nothing counted yet."""
    from semsearch import batching

    while any(batcher._embedding for batcher in batching._batchers.values()):  # what an earlier test did not wait for
        time.sleep(0.01)
    provider_process.reset()
    return provider_process


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The evaluation data beside the checkout; the test skips where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no evaluation data in {folder}")
    return folder


@pytest.fixture(scope="session")
def model_name() -> str:
    """The model that the `demo` extra brings along: 384 dimensions, no hub needed."""
    return "sentence-transformers:all-MiniLM-L6-v2"
