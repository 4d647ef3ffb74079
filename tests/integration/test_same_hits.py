"""The same query through every door finds the same hits: Python, command line, HTTP, SQL, and an assistant's tools."""

from __future__ import annotations

import inspect
import itertools
import json
import os
import posixpath
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import anyio
import psycopg
import pytest
from mcp.client.client import Client
from psycopg import conninfo
from starlette.testclient import TestClient

from semsearch import Document, cli
from semsearch.answering import Answerer
from semsearch.database import Database
from semsearch.mcp import Bounds, server
from semsearch.mcp.door import Shelf
from tests.integration.web.conftest import opened

pytestmark = pytest.mark.model

MINE = "acme"
SEVERAL = {"fields": {"kind": "text", "words": "integer"}, "chunk_size": 48, "chunk_overlap": 8, "cache": True}
COLLECTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "halves": {"vector_type": "halfvec", "distance": "l2"},
    "walked": {"distance": "inner_product"},
    "shared": {"fields": {"kind": "text", "words": "integer", "customer": "text"}, "tenant": "customer"},
}
# As JSON, in text, and as a jsonpath.
FILTERS: dict[str, tuple[dict[str, Any] | None, str | None, str | None]] = {
    "everything": (None, None, None),
    "range": ({"words": {"$gte": 30}}, "words >= 30", "$.words >= 30"),
    "either": (
        {"$or": [{"kind": {"$in": ["str", "dict"]}}, {"words": {"$lt": 12}}]},
        "kind in (str, dict) or words < 12",
        '$.kind == "str" || $.kind == "dict" || $.words < 12',
    ),
    "nothing": ({"kind": "poem"}, "kind = poem", '$.kind == "poem"'),
}
# With how many hits.
QUERIES = (
    ("take whitespace off both ends", 3),
    ("Does a file exist at this path?", 40),
    ("größer — 'or' \"equal\"; $1 %s", 10),
)

Row: TypeAlias = tuple[str, int, str, str, dict[str, Any], float | None]  # the last is the distance


def documents() -> list[Document]:
    """What Python says of its own texts, lists, dictionaries and paths."""
    found = []
    for kind in (str, list, dict, posixpath):
        name = kind.__name__
        for member in sorted(vars(kind)):
            text = inspect.getdoc(getattr(kind, member))
            if callable(getattr(kind, member)) and not member.startswith("_") and text:
                metadata = {"kind": name, "words": len(text.split()), "customer": MINE if len(found) % 3 else "other"}
                found.append(Document(f"{name}.{member}", f"{text}\n\nSee {name}.{member}.", metadata, title=member))
    return found


@dataclass
class Doors:
    """All doors of one database."""

    database: Database
    http: TestClient
    sql: dict[str, psycopg.Connection[Any]]  # by tenant; "" is the owner's
    url: str

    def python(self, name: str, query: str, filter: str, **options: Any) -> list[Row]:
        hits = self.database.collection(name).search(query, filter=FILTERS[filter][0], **options)
        assert hits.complete
        return [(hit.document_id, hit.ordinal, hit.heading, hit.text, hit.metadata, hit.distance) for hit in hits]

    def command(self, printed: Callable[[], str], name: str, query: str, filter: str, **options: Any) -> list[Row]:
        given = options | {"filter": FILTERS[filter][1]}
        arguments = [f"--{key.replace('_', '-')}={value}" for key, value in given.items() if value is not None]
        assert cli.main(["--database-url", self.url, "search", name, query, *arguments, "--json"]) == 0
        return rows(json.loads(printed())["hits"])

    def by_http(self, name: str, query: str, filter: str, **options: Any) -> list[Row]:
        body = {"query": query, "filter": FILTERS[filter][0], **options}
        answer = self.http.post(f"/v1/collections/{name}/search", json=body)
        assert answer.status_code == 200, answer.text
        short = self.http.get(
            f"/v1/collections/{name}/search",
            params={"q": query, **options} | ({} if FILTERS[filter][1] is None else {"filter": FILTERS[filter][1]}),
        )
        assert rows(short.json()["hits"]) == rows(answer.json()["hits"])
        return rows(answer.json()["hits"])

    def by_sql(self, name: str, query: str, filter: str, top_k: int, tenant: str = "") -> list[Row]:
        """As the role of the tenant, whom row-level security shows no other's."""
        connection = self.sql[tenant]
        connection.execute("CALL semsearch.embed(%s, %s, '60 s')", [name, query])
        return connection.execute(
            "SELECT document_id, ordinal, heading, text, metadata, distance "
            "FROM semsearch.search(%s, %s, %s, %s::jsonpath)",
            [name, query, top_k, FILTERS[filter][2]],
        ).fetchall()

    def assistant(self, name: str, query: str, filter: str, **options: Any) -> list[Row]:
        made = server.build(self.database, Shelf(self.database).collection, lambda _: Bounds(), 60.0)
        asked = {"collection": name, "query": query, "filter": FILTERS[filter][1], **options}

        async def go() -> Any:
            async with Client(made) as client:
                return await client.call_tool("search", asked)

        answer = anyio.run(go)
        assert not answer.is_error, answer.content
        assert not answer.structured_content["cut"]
        return rows(answer.structured_content["hits"])


def rows(hits: list[dict[str, Any]]) -> list[Row]:
    return [
        (hit["document_id"], hit["ordinal"], hit.get("heading", ""), hit["text"], hit["metadata"], hit.get("distance"))
        for hit in hits
    ]


@pytest.fixture(scope="module")
def doors(module_db: Database, module_database_url: str, model_name: str) -> Iterator[Doors]:
    """Its SQL is answered as a worker answers it. The role of the tenant owns nothing."""
    for name, how in COLLECTIONS.items():
        made = module_db.create_collection(name, model=model_name, **{**SEVERAL, **how})
        made.put(documents())
    module_db.collection("walked").create_index("hnsw")
    role = f"same_hits_{os.getpid()}"
    with psycopg.connect(module_database_url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret' IN ROLE semsearch_reader")
        module_db.collection("shared").grant_tenant(MINE, role)
        login = conninfo.make_conninfo(module_database_url, user=role, password="secret")
        try:
            with (
                psycopg.connect(login, autocommit=True) as tenant,
                opened(module_db, search_deadline=60.0) as http,
                Answerer(module_db, threading.Event()),
            ):
                yield Doors(module_db, http, {"": owner, MINE: tenant}, module_database_url)
        finally:
            owner.execute(f"DROP OWNED BY {role}")
            owner.execute(f"DROP ROLE {role}")


def same(found: list[Row], expected: list[Row], door: str) -> None:
    assert [row[:5] for row in found] == [row[:5] for row in expected], door
    for mine, other in zip(found, expected, strict=True):
        assert mine[5] == pytest.approx(other[5], abs=1e-6), door


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("name", COLLECTIONS)
def test_every_door_finds_the_same(
    doors: Doors, name: str, filter: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMSEARCH_HOME", "/nonexistent")
    tenant = {"tenant": MINE} if name == "shared" else {}
    doors.sql[""].execute("TRUNCATE semsearch.query_embeddings")  # so that SQL, which is first, must be answered
    for query, top_k in QUERIES:
        asked: dict[str, Any] = {"name": name, "query": query, "filter": filter, "top_k": top_k, **tenant}
        by_sql = doors.by_sql(**asked)
        expected = doors.python(**asked)
        assert len(expected) == (0 if filter == "nothing" else top_k) or top_k == 40
        same(by_sql, expected, "SQL")
        same(doors.by_http(**asked), expected, "HTTP")
        same(doors.assistant(**asked), expected, "MCP")
        same(doors.command(lambda: capsys.readouterr().out, **asked), expected, "command line")
        if tenant:
            assert {row[4]["customer"] for row in expected} <= {MINE}


@pytest.mark.parametrize("mode", ["hybrid", "text"])
@pytest.mark.parametrize("name", ["plain", "shared"])
def test_words_find_the_same(
    doors: Doors, name: str, mode: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMSEARCH_HOME", "/nonexistent")
    tenant = {"tenant": MINE} if name == "shared" else {}
    for query, filter in itertools.product(("whitespace characters", "path exists"), ("everything", "range")):
        asked = {"name": name, "query": query, "filter": filter, "top_k": 8, "mode": mode, **tenant}
        expected = doors.python(**asked)
        assert expected
        same(doors.by_http(**asked), expected, "HTTP")
        same(doors.assistant(**asked), expected, "MCP")
        same(doors.command(lambda: capsys.readouterr().out, **asked), expected, "command line")
