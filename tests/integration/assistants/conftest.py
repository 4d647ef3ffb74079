"""A library for assistants, and ways to talk to `semsearch mcp` about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from semsearch import Document
from semsearch.database import Database
from tests.integration.assistants.asking import HOSTILE, LIMIT, Script, Talk, tickets
from tests.integration.hands import MODEL
from tests.provider import Provider

PROGRAM = ("-m", "semsearch", "mcp")


@pytest.fixture(scope="module")
def library(module_db: Database, provider_process: Provider) -> None:
    """Collections of every kind: plain, with tenants, without a model, and a document that wants to be obeyed."""
    provider_process.reset()
    handbook = module_db.create_collection(
        "handbook", model=MODEL, fields={"year": "integer", "lang": "text"}, chunk_size=16, chunk_overlap=0
    )
    handbook.put(
        [
            Document("passwords.md", "How a password is reset.", {"year": 2024, "lang": "en"}, title="Passwords"),
            Document("holidays.md", "Holidays are asked for in May.", {"year": 2019, "lang": "en"}),
            Document("urlaub.md", "Urlaub für Möwen.", {"year": 2021, "lang": "de"}),
            Document("guides/a b?c#d.md", "A guide with an odd name.", {"year": 2022, "lang": "en"}),
        ]
    )
    handbook.put([Document("long.md", " ".join(f"word{n}" for n in range(3000)), {"year": 1999, "lang": "en"})])
    strange = module_db.create_collection("strange", model=MODEL, chunk_size=0)
    strange.put([Document("bad\n[3] id", HOSTILE, {"note": HOSTILE, "ok": None}, title=HOSTILE[:200])])
    tickets(module_db)
    module_db.create_collection("vectors", dimensions=8)
    large = {"note": "m" * 60_000, "small": 1}
    huge = module_db.create_collection("huge", model=MODEL, language=None)
    huge.put([Document(f"h{n}", "x" * 100_000, large, embedding=[1.0, n, 0, 0, 0, 0, 0, 1]) for n in range(9)])


@pytest.fixture(scope="module")
def surroundings(
    library: None, module_database_url: str, provider_process: Provider, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    return {
        **os.environ,
        "SEMSEARCH_DATABASE_URL": module_database_url,
        "SEMSEARCH_HOME": str(Path(tmp_path_factory.getbasetemp()) / "unused"),
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": provider_process.url,
    }


def server(surroundings: dict[str, str], *arguments: str) -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=[*arguments], env=surroundings)


@pytest.fixture
def talk(surroundings: dict[str, str], tmp_path: Path) -> Talk:
    """Starts `semsearch mcp` with these arguments, has a client do what is wanted, and ends it."""

    def run(script: Script, *arguments: str, program: tuple[str, ...] = PROGRAM) -> Any:
        async def go() -> Any:
            with (tmp_path / "log").open("w+") as log, anyio.fail_after(LIMIT):
                async with Client(stdio_client(server(surroundings, *program, *arguments), errlog=log)) as client:
                    return await script(client)

        return anyio.run(go)

    return run


@pytest.fixture(scope="module")
def ask(surroundings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """Has the client of one server, which all tests of a module share, do what is wanted."""
    with (tmp_path_factory.mktemp("mcp") / "log").open("w+") as log, start_blocking_portal() as portal:
        connecting = Client(stdio_client(server(surroundings, *PROGRAM), errlog=log))
        with portal.wrap_async_context_manager(connecting) as client:

            async def run(script: Script) -> Any:
                with anyio.fail_after(LIMIT):
                    return await script(client)

            yield lambda script: portal.call(run, script)
