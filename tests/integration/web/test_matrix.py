"""Every address with every kind of key. An address that the table does not have fails: whoever adds one says here who
may use it, and a second pair of eyes reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.store import api_keys
from tests.integration.web.conftest import opened

CANARY = "kanarienvogel"
EMBEDDING = [1.0, 0.0]


@dataclass(frozen=True)
class Row:
    """Who may use an address, and how it is asked; `method` where another than its own shows the same, and ends."""

    needs: str
    params: dict[str, Any] = field(default_factory=dict)
    json: Any = None
    content: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    method: str | None = None


DOCUMENT = {"text": CANARY, "embedding": EMBEDDING, "metadata": {"owner": "acme"}}
LINE = b'{"id": "a1", "text": "taken away", "embedding": [1, 0]}\n'
NDJSON, TEXT = {"content-type": "application/x-ndjson"}, {"content-type": "text/plain"}
PAGE = {"collection": "tickets", "q": CANARY, "mode": "text"}

TABLE = {
    "GET /": Row("visit", PAGE),
    "GET /healthz": Row("anybody"),
    "GET /metrics": Row("read"),
    "GET /openapi.json": Row("anybody"),
    "GET /page/assets/{version}/{name}": Row("anybody"),
    "GET /page/explain": Row("read", PAGE),
    "GET /page/facets": Row("read", PAGE),
    "GET /page/hits": Row("read", PAGE),
    "GET /page/main": Row("read", PAGE),
    "GET /page/parts": Row("read", {**PAGE, "of": "a1"}),
    "GET /readyz": Row("anybody"),
    "* /mcp": Row("read", json={}, method="POST"),
    "DELETE /v1/collections/{name}": Row("admin"),
    "DELETE /v1/collections/{name}/documents/{id:any}": Row("write"),
    "DELETE /v1/collections/{name}/failures": Row("write"),
    "GET /v1/collections": Row("read"),
    "GET /v1/collections/{name}": Row("read"),
    "GET /v1/collections/{name}/chunks": Row("read", {"document_id": "a1"}),
    "GET /v1/collections/{name}/documents": Row("read"),
    "GET /v1/collections/{name}/documents/{id:any}": Row("read"),
    "GET /v1/collections/{name}/failures": Row("read"),
    "GET /v1/collections/{name}/index": Row("read"),
    "GET /v1/collections/{name}/search": Row("read", {"q": CANARY}),
    "GET /v1/collections/{name}/similar": Row("read", {"document_id": "a1"}),
    "GET /v1/events": Row("read", method="HEAD"),
    "GET /v1/models": Row("read"),
    "GET /v1/models/{model:path}": Row("read"),
    "GET /v1/status": Row("read"),
    "POST /v1/collections": Row("admin", json={"name": "NOT A NAME", "dimensions": 2}),
    "POST /v1/collections/{name}/documents/bulk": Row("write", content=LINE, headers=NDJSON),
    "POST /v1/collections/{name}/documents/delete": Row("write", json={"ids": ["a1"]}),
    "POST /v1/collections/{name}/facets": Row("read", json={"names": ["owner"]}),
    "POST /v1/collections/{name}/failures/retry": Row("write", json={}),
    "POST /v1/collections/{name}/recommend": Row("read", json={"positive": ["a1"]}),
    "POST /v1/collections/{name}/search": Row("read", json={"query": CANARY, "mode": "text"}),
    "POST /v1/collections/{name}/verify": Row("admin"),
    "POST /v1/embeddings": Row("read", json={"model": "none", "input": "a"}),
    "PUT /v1/collections/{name}/documents": Row("write", json={"documents": [{"id": "a1", **DOCUMENT}]}),
    "PUT /v1/collections/{name}/documents/{id:any}": Row("write", json=DOCUMENT),
    "PUT /v1/collections/{name}/files/{filename:any}": Row("write", content=b"a1", headers=TEXT),
}
RANKS = {"anybody": 0, "visit": 0, "read": 1, "write": 2, "admin": 3}
FORGED = {
    "malformed": "ss_nonsense",
    "unknown": "ss_0123456789ab_" + "x" * 43,
    "foreign": "sk-proj-0123456789",
    "empty": "",
}


@pytest.fixture(scope="module")
def tickets(module_db: Database) -> Iterator[Collection]:
    """Two tenants in one collection, and another collection beside it."""
    made = module_db.create_collection("tickets", dimensions=2, fields={"owner": "text"}, tenant="owner")
    made.put([Document("a1", f"{CANARY} of acme", {"owner": "acme", "note": CANARY}, embedding=EMBEDDING)])
    made.put([Document("u1", "nothing", {"owner": "umbrella"}, embedding=EMBEDDING)])
    module_db.create_collection("beside", dimensions=2)
    yield made
    for name in ("tickets", "beside"):
        module_db.drop_collection(name)


@pytest.fixture(scope="module")
def keys(module_db: Database, tickets: Collection) -> Iterator[dict[str, str]]:
    """One of each kind."""

    def make(scope: api_keys.KeyScope, **limits: Any) -> str:
        with module_db.pools.writing.begin() as connection:
            return api_keys.create(connection, scope, scope, **limits)[1]

    made = {scope: make(scope) for scope in ("read", "write", "admin")}
    made |= {"expired": make("admin", expires=timedelta(days=1)), "revoked": make("admin")}
    made |= {"elsewhere": make("write", collections=["beside"]), "stranger": make("write", tenant="umbrella")}
    made |= {"tenant": make("read", tenant="acme", collections=["tickets"])}
    with module_db.pools.writing.begin() as connection:
        api_keys.revoke(connection, api_keys.id_of(made["revoked"]) or "")
        connection.exec_driver_sql("UPDATE semsearch.api_keys SET expires_at = now() WHERE expires_at IS NOT NULL")
    yield made | FORGED
    with module_db.pools.writing.begin() as connection:
        connection.exec_driver_sql("DELETE FROM semsearch.api_keys")


@pytest.fixture(scope="module")
def door(module_db: Database, keys: dict[str, str]) -> Iterator[TestClient]:
    with opened(module_db, rate=0, failures=0) as client:
        yield client


def ask(door: TestClient, address: str, key: str | None, **names: str) -> httpx2.Response:
    method, template = address.split(" ")
    row = TABLE[address]
    path = template
    for name, value in {
        "name": "tickets",
        "id": "a1",
        "filename": "a.txt",
        "model": "m",
        "version": "v",
        **names,
    }.items():
        path = re.sub(rf"{{{name}(:\w+)?}}", value, path)
    headers = {**row.headers, **({} if key is None else {"authorization": f"Bearer {key}"})}
    given = {"params": row.params, "headers": headers}
    if row.json is not None:
        given["json"] = row.json
    return door.request(row.method or method, path, **given, content=row.content)  # type: ignore[arg-type]


def test_the_table_has_every_address(door: TestClient) -> None:
    rules = door.app.state.semsearch.rules.all  # type: ignore[attr-defined]
    there = {f"{method} {rule.template}": rule.needs for rule in rules for method in rule.methods or ("*",)}
    assert there == {address: row.needs for address, row in TABLE.items()}
    described = door.get("/openapi.json").json()["paths"]
    shown = {f"{method.upper()} {path}" for path, operations in described.items() for method in operations}
    assert shown <= {re.sub(r":\w+}", "}", address) for address in TABLE}


@pytest.mark.parametrize("address", TABLE)
def test_who_has_no_valid_key_gets_nothing(door: TestClient, keys: dict[str, str], address: str) -> None:
    for kind in (None, *FORGED, "expired", "revoked"):
        answer = ask(door, address, None if kind is None else keys[kind])
        if RANKS[TABLE[address].needs]:
            assert answer.status_code == 401, (kind, answer.text)
            assert answer.headers["www-authenticate"].startswith("Bearer")
        else:
            assert answer.status_code in (200, 404)
        assert CANARY not in answer.text


@pytest.mark.parametrize("address", TABLE)
def test_a_scope_reaches_as_far_as_it_says(door: TestClient, keys: dict[str, str], address: str) -> None:
    needs = TABLE[address].needs
    for scope in ("read", "write", "admin"):
        answer = ask(door, address, keys[scope], name="nowhere")
        if RANKS[scope] < RANKS[needs]:
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        else:
            assert answer.status_code not in (401, 403) and answer.status_code < 500, answer.text


@pytest.mark.parametrize("address", TABLE)
def test_a_key_for_another_collection_sees_none_of_this_one(
    door: TestClient, keys: dict[str, str], tickets: Collection, address: str
) -> None:
    answer = ask(door, address, keys["elsewhere"])
    needs = TABLE[address].needs
    if needs == "admin" or address == "GET /metrics":
        assert answer.status_code == 403
    elif "/collections/{name}" in address:
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), answer.text
    else:
        assert answer.status_code < 500 and answer.status_code != 401
        assert "tickets" not in answer.text.replace("collection=tickets", "") or answer.status_code == 404
    assert "acme" not in answer.text and f"{CANARY} of" not in answer.text


@pytest.mark.parametrize("address", TABLE)
def test_a_key_of_another_tenant_sees_and_changes_nothing(
    door: TestClient, keys: dict[str, str], tickets: Collection, address: str
) -> None:
    answer = ask(door, address, keys["stranger"])
    assert answer.status_code < 500 and answer.status_code != 401, answer.text
    assert '"errors": [' not in answer.text, "the table's own body is not valid"
    assert "acme" not in answer.text and f"{CANARY} of" not in answer.text
    found = tickets.get("a1", tenant="acme")
    assert found is not None and found.text == f"{CANARY} of acme"


def test_a_key_of_the_tenant_sees_it(door: TestClient, keys: dict[str, str]) -> None:
    """So that what the others do not see is there to be seen."""
    for address in (
        "GET /v1/collections/{name}/documents",
        "GET /v1/collections/{name}/documents/{id:any}",
        "POST /v1/collections/{name}/search",
        "GET /v1/collections/{name}/chunks",
        "GET /page/hits",
    ):
        assert f"{CANARY}" in ask(door, address, keys["tenant"]).text, address
    naming_another = door.get(
        "/v1/collections/tickets/documents",
        params={"tenant": "umbrella"},
        headers={"authorization": f"Bearer {keys['tenant']}"},
    )
    assert naming_another.status_code == 403
