"""The HTTP door for its tests: in this process without a socket (`client`), or as it is served (`server`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from semsearch import web
from semsearch.database import Database
from semsearch.store import api_keys
from semsearch.web import routes, server
from tests.integration.web import probes
from tests.integration.web.raw import Raw

LOCAL = "http://127.0.0.1:8000"
PATIENT: dict[str, Any] = {"search_deadline": 60.0}  # what is to succeed may take long; a test may say otherwise

Client = Callable[..., TestClient]
NewKey = Callable[..., str]
Serve = Callable[..., server.Running]


@contextmanager
def opened(database: Database, **options: Any) -> Iterator[TestClient]:
    """A client on this machine, with the options of the server; what fails there is an answer here, too."""
    app = web.create_app(database, web.Options(**{**PATIENT, **options}))
    with TestClient(app, base_url=LOCAL, client=("127.0.0.1", 50000), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(model_db: Database) -> Iterator[TestClient]:
    """Everybody is an administrator, for there is no key. `openai:` models are the scripted provider's."""
    with opened(model_db) as client:
        yield client


@pytest.fixture
def connect(model_db: Database) -> Iterator[Client]:
    """Makes clients with options of the server, and of what is sent: `connect(key=..., rate=1)`."""
    with ExitStack() as stack:

        def make(key: str | None = None, **options: Any) -> TestClient:
            made = stack.enter_context(opened(model_db, **options))
            if key is not None:
                made.headers["authorization"] = f"Bearer {key}"
            return made

        yield make


@pytest.fixture
def new_key(model_db: Database) -> Iterator[NewKey]:
    """Makes keys: `new_key("read", collections=["notes"])`. Once there is one, everybody needs one."""

    def make(scope: api_keys.KeyScope = "read", **limits: Any) -> str:
        with model_db.pools.writing.begin() as connection:
            return api_keys.create(connection, f"{scope} key", scope, **limits)[1]

    yield make
    with model_db.pools.writing.begin() as connection:
        connection.exec_driver_sql("DELETE FROM semsearch.api_keys")


@pytest.fixture
def serve(model_db: Database) -> Iterator[Serve]:
    """Starts servers on free ports, in threads of this process: `serve(grace=1)`."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(
            server.running(model_db, web.Options(**{"port": 0, "grace": 5.0, **PATIENT, **options}))
        )


@pytest.fixture
def served(serve: Serve) -> Iterator[httpx2.Client]:
    """A client of such a server, by TCP."""
    with httpx2.Client(base_url=serve().url, timeout=30) as client:
        yield client


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Applications of this test have the routes of `probes`, too."""
    monkeypatch.setattr(routes, "ROUTERS", (*routes.ROUTERS, probes.router))
    probes.go_on.clear()
    while probes.arrived.acquire(blocking=False):
        pass


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """No sender outlives its test."""
    yield
    while Raw.opened:
        Raw.opened.pop().close()
