"""Keys: how they are made, kept, recognised, limited and ended; and the door that is open while there are none."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import time
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import event
from starlette.applications import Starlette
from starlette.routing import Mount, Route, WebSocketRoute

from semsearch import web
from semsearch.database import Database
from semsearch.store import api_keys
from semsearch.web import access, keyring, routes
from semsearch.web.rules import Rules
from tests.integration.command_line import Cli, answer
from tests.integration.web.conftest import Client, NewKey, Serve, opened

pytestmark = pytest.mark.usefixtures("probed")

CHALLENGE = 'Bearer realm="semsearch"'


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the database said is believed for longer than a moment."""
    monkeypatch.setattr(keyring, "FRESH", 0.0)


def execute(db: Database, statement: str) -> list[tuple[object, ...]]:
    with db.pools.writing.begin() as connection:
        found = connection.exec_driver_sql(statement)
        return [tuple(row) for row in found] if found.returns_rows else []


def test_the_command_line_makes_lists_rotates_and_revokes_keys(cli: Cli, database_url: str) -> None:
    assert "no keys" in cli("keys", "list").out
    cli("create", "handbook", "--dimensions", "8")
    made = cli("keys", "create", "web site", "--collections", "handbook", "--expires", "90d")
    key = made.out.strip()
    id = api_keys.id_of(key)
    assert id is not None and id in made.err
    shown = answer(cli("keys", "list", "--json"))["keys"][0]
    assert (shown["id"], shown["name"], shown["scope"], shown["collections"]) == (id, "web site", "read", ["handbook"])
    assert key not in cli("keys", "list").out
    successor = answer(cli("keys", "rotate", id, "--overlap", "1h", "--json"))
    assert api_keys.id_of(successor["key"]) == successor["id"] != id
    assert (successor["name"], successor["collections"]) == ("web site", ["handbook"])
    ends = [one["expires_at"] for one in answer(cli("keys", "list", "--json"))["keys"]]
    assert ends[0] < ends[1]
    assert "revoked" in cli("keys", "revoke", id).out
    assert [one["state"] for one in answer(cli("keys", "list", "--json"))["keys"]] == ["revoked", "valid"]
    assert "is revoked" in cli("keys", "rotate", id, code=4).err
    assert "there is no key" in cli("keys", "revoke", "ffffffffffff", code=3).err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["", "--scope", "read"], 2, "name"),
        (["a", "--collections", "nowhere"], 3, "nowhere"),
        (["a", "--collections", ","], 2, "for no collection"),
        (["a", "--scope", "admin", "--tenant", "acme"], 2, "tenant"),
        (["a", "--tenant", ""], 2, "tenant"),
        (["a", "--expires", "soon"], 2, "90d"),
        (["a", "--expires", "0d"], 2, "of no use"),
    ],
)
def test_keys_that_make_no_sense_are_refused(cli: Cli, arguments: list[str], code: int, told: str) -> None:
    assert told in cli("keys", "create", *arguments, code=code).err


def test_the_database_keeps_a_hash_only(model_db: Database, new_key: NewKey) -> None:
    key = new_key("write")
    row = execute(model_db, "SELECT * FROM semsearch.api_keys")[0]
    assert key.split("_", 2)[2] not in str(row)
    assert bytes(row[1]) == hashlib.sha256(key.encode()).digest()  # type: ignore[arg-type]


def test_a_key_is_recognised_and_its_use_noted(
    connect: Client, model_db: Database, new_key: NewKey, impatient: None
) -> None:
    client = connect(key := new_key("read"))
    used = "SELECT used_at FROM semsearch.api_keys"
    assert execute(model_db, used) == [(None,)]
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    for sent in ("", "nonsense", "ss_" + "0" * 12 + "_" + "x" * 43, wrong, f"{key} ", key.upper(), f"{key}\u00e9"):
        refused = client.get("/metrics", headers={"authorization": f"Bearer {sent}".encode()})
        if sent.strip() == key:
            continue
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, CHALLENGE), sent
        assert "canary" not in refused.text and wrong not in refused.text
    del client.headers["authorization"]
    assert client.get("/metrics").status_code == 401
    assert client.get(f"/metrics?key={key}", headers={"cookie": f"key={key}"}).status_code == 401
    assert client.get("/metrics", headers={"authorization": f"Basic {key}"}).status_code == 401
    doubled = [("authorization", f"Bearer {key}"), ("authorization", f"Bearer {key}")]
    assert client.get("/metrics", headers=doubled).status_code == 401
    assert client.get("/metrics", headers={"authorization": f"bearer {key}"}).status_code == 200
    assert execute(model_db, used) != [(None,)]


def test_its_use_is_written_once_a_minute(
    connect: Client, model_db: Database, new_key: NewKey, impatient: None
) -> None:
    client = connect(new_key("read"))
    written = "SELECT used_at, xmin::text FROM semsearch.api_keys"
    client.get("/metrics")
    first = execute(model_db, written)
    client.get("/metrics")
    assert execute(model_db, written) == first
    execute(model_db, "UPDATE semsearch.api_keys SET used_at = used_at - interval '2 minutes'")
    client.get("/metrics")
    assert execute(model_db, written)[0][0] > first[0][0]  # type: ignore[operator]


def test_a_malformed_key_takes_no_connection_and_no_byte_of_the_body(connect: Client, new_key: NewKey) -> None:
    app = connect(new_key("read")).app
    database = app.state.semsearch.database  # type: ignore[attr-defined]
    assert app.state.semsearch.keys.look_whether_open() is False  # type: ignore[attr-defined]
    taken: list[object] = []
    event.listen(database.pools.writing, "checkout", lambda *_: taken.append(1))
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [
        (b"host", b"127.0.0.1"),
        (b"authorization", b"Bearer ss_malformed"),
        (b"content-type", b"application/json"),
    ]
    scope = {"type": "http", "method": "POST", "path": "/probe/search", "headers": headers, "scheme": "http"}
    asyncio.run(app({**scope, "query_string": b"", "client": ("127.0.0.1", 1)}, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 401
    assert taken == []


def test_keys_end_when_they_expire_and_when_they_are_revoked(
    connect: Client, model_db: Database, new_key: NewKey, impatient: None
) -> None:
    client = connect(new_key("read", expires=timedelta(days=1)))
    assert client.get("/metrics").status_code == 200
    execute(model_db, "UPDATE semsearch.api_keys SET expires_at = clock_timestamp()")
    expired = client.get("/metrics")
    assert (expired.status_code, expired.json()["detail"]) == (401, "this key is expired.")
    execute(model_db, "UPDATE semsearch.api_keys SET expires_at = NULL, revoked_at = clock_timestamp()")
    assert client.get("/metrics").json()["detail"] == "this key is revoked."


def test_a_revoked_key_is_believed_for_seconds_at_most(
    connect: Client, model_db: Database, new_key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keyring.FRESH <= 5
    monkeypatch.setattr(keyring, "FRESH", 600.0)  # the test itself may take longer
    client = connect(new_key("read"))
    assert client.get("/metrics").status_code == 200
    execute(model_db, "UPDATE semsearch.api_keys SET revoked_at = clock_timestamp()")
    assert client.get("/metrics").status_code == 200
    keys = client.app.state.semsearch.keys  # type: ignore[attr-defined]
    for id, seen in list(keys._known.items()):  # as if so much time had passed
        keys._known[id] = keyring.Known(seen.found, seen.until - keyring.FRESH)
    assert client.get("/metrics").status_code == 401


def test_a_key_that_ends_soon_is_not_believed_longer(
    model_db: Database, new_key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "FRESH", 3600.0)
    key = new_key("read", expires=timedelta(seconds=600))
    keys = keyring.Keyring(model_db.pools.writing)
    id = api_keys.id_of(key) or ""
    seen = keys.look_up(id, key)
    assert seen.found is not None and seen.found.key.state == "valid"
    assert seen.until - time.monotonic() < 600
    execute(model_db, "UPDATE semsearch.api_keys SET expires_at = clock_timestamp()")
    keys._known[id] = keyring.Known(seen.found, time.monotonic())  # as if so much time had passed
    assert keys.look_up(id, key).found.key.state == "expired"  # type: ignore[union-attr]


def test_a_rotated_key_is_valid_beside_its_successor_for_a_while(
    connect: Client, model_db: Database, new_key: NewKey, impatient: None
) -> None:
    old = new_key("write", expires=timedelta(days=10))
    with model_db.pools.writing.begin() as connection:
        made, new = api_keys.rotate(connection, api_keys.id_of(old) or "", timedelta(hours=1))
    assert made.scope == "write"
    client = connect()
    for key in (old, new):
        assert client.get("/metrics", headers={"authorization": f"Bearer {key}"}).status_code == 200
    execute(
        model_db, f"UPDATE semsearch.api_keys SET expires_at = expires_at - interval '1 hour' WHERE id <> '{made.id}'"
    )
    statuses = [client.get("/metrics", headers={"authorization": f"Bearer {key}"}).status_code for key in (old, new)]
    assert statuses == [401, 200]


def test_scopes_and_bounds(connect: Client, model_db: Database, new_key: NewKey) -> None:
    model_db.create_collection("one", dimensions=2)
    reader = connect(new_key("read"))
    assert reader.get("/probe/text?length=1").status_code == 200
    refused = reader.put("/probe/documents", json=[])
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert connect(new_key("write")).put("/probe/documents", json=[]).status_code == 200
    bound = connect(new_key("admin", collections=["one"]))
    assert bound.get("/metrics").status_code == 403
    assert connect(new_key("read", tenant="acme")).get("/metrics").status_code == 403


def test_the_door_is_open_on_this_machine_until_there_is_a_key(
    connect: Client, model_db: Database, new_key: NewKey, impatient: None
) -> None:
    client = connect()
    assert client.get("/metrics", headers={"authorization": "Bearer whatever-some-client-sends"}).status_code == 200
    new_key("read", expires=timedelta(days=1))
    assert client.get("/metrics").status_code == 401
    execute(model_db, "UPDATE semsearch.api_keys SET expires_at = clock_timestamp()")
    assert client.get("/metrics").status_code == 401, "the end of the last key opens the door to nobody"
    assert connect().get("/metrics").status_code == 401
    execute(model_db, "DELETE FROM semsearch.api_keys")
    assert client.get("/metrics").status_code == 401, "it does not open again while the server runs"
    assert connect().get("/metrics").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8000"}, 200),
        ({"host": "LOCALHOST"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "localhost."}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://127.0.0.1:8000"}, 200),
        ({"origin": "http://127.0.0.1:3000"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"x-forwarded-for": "203.0.113.9"}, 401),
        ({"x-forwarded-proto": "https"}, 401),
        ({"x-client-ip": "203.0.113.9"}, 401),
        ({"true-client-ip": "203.0.113.9"}, 401),
        ({"cf-connecting-ip": "203.0.113.9"}, 401),
        ({"forwarded": "for=203.0.113.9"}, 401),
    ],
)
def test_the_open_door_is_for_programs_of_this_machine(connect: Client, headers: dict[str, str], status: int) -> None:
    assert connect().get("/metrics", headers=headers).status_code == status


def test_the_open_door_is_for_this_machine_only(model_db: Database) -> None:
    for options in ({"host": "0.0.0.0"}, {"behind_proxy": True}):
        with opened(model_db, **options) as client:
            assert client.get("/metrics").status_code == 401
    with opened(model_db) as client:
        client._transport.client = ("203.0.113.9", 50000)  # type: ignore[attr-defined]
        assert client.get("/metrics").status_code == 401


def test_with_a_key_the_name_of_the_server_does_not_matter(connect: Client, new_key: NewKey) -> None:
    client = connect(new_key("read"))
    headers = {"host": "search.example", "origin": "https://search.example", "x-forwarded-for": "203.0.113.9"}
    assert client.get("/metrics", headers=headers).status_code == 200


TRICKS = ("//metrics", "/metrics/", "/metrics.", "/METRICS", "/metrics%2F", "/%6detrics/..", "/healthz/../metrics")
TRICKS += ("/metrics%00", "/metrics;a", "/healthz%2f..%2fmetrics", "/probe/../metrics", "/./metrics", "/metrics%20")
TRICKS += ("/%6Detrics", "http://127.0.0.1/metrics", "/page/assets/../../metrics", "/page/assets/a/..%2f..%2fmetrics")
LIES = {"X-Original-URL": "/healthz", "X-Rewrite-URL": "/healthz", "X-Forwarded-Prefix": "/healthz"}


def test_no_spelling_of_an_address_goes_around_the_gate(serve: Serve, new_key: NewKey) -> None:
    address = urlsplit(serve().url).netloc
    new_key("read")
    for trick in TRICKS:
        for headers in ({}, LIES, {"X-HTTP-Method-Override": "OPTIONS"}):
            connection = http.client.HTTPConnection(address, timeout=30)  # which sends the address as it is
            connection.request("GET", trick, headers=headers)
            answer = connection.getresponse()
            assert answer.status in (401, 404), trick
            assert b"semsearch_http" not in answer.read()
            connection.close()


def test_wrong_keys_of_one_address_are_limited(connect: Client, new_key: NewKey) -> None:
    right = new_key("read")
    client = connect(right, failures=3)
    assert client.get("/metrics").status_code == 200
    guesses = [f"Bearer ss_{number:012x}_{'x' * 43}" for number in range(5)]
    refused = [client.get("/metrics", headers={"authorization": guess}) for guess in guesses]
    assert [answer.status_code for answer in refused] == [401, 401, 401, 429, 429]
    assert int(refused[-1].headers["retry-after"]) >= 1
    assert client.get("/metrics").status_code == 200, "who has a key that was valid is not kept out"


def test_addresses_told_by_a_proxy_are_told_apart(connect: Client, new_key: NewKey) -> None:
    client = connect(behind_proxy=True, failures=1)
    new_key("read")

    def guess(forwarded: str) -> int:
        headers = {"authorization": f"Bearer ss_{'0' * 12}_{'x' * 43}", "x-forwarded-for": forwarded}
        return client.get("/metrics", headers=headers).status_code

    assert [guess("9.9.9.9, 203.0.113.1"), guess("8.8.8.8, 203.0.113.1"), guess("203.0.113.2")] == [401, 429, 401]
    assert [guess("203.0.113.2:4711"), guess("203.0.113.3:1"), guess("203.0.113.3:2")] == [429, 401, 429]
    assert [guess("2001:db8::1"), guess("[2001:db8::2]:443"), guess("2001:db8:0:1::1")] == [401, 429, 401]


def test_a_database_that_is_away_lets_nobody_in(connect: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect()

    def away(_: object) -> bool:
        from semsearch.errors import DatabaseUnavailable

        raise DatabaseUnavailable("canary")

    monkeypatch.setattr(api_keys, "are_there", away)
    answer = client.get("/metrics")
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert "canary" not in answer.text


def undeclared() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.get("/nobody")(lambda: None)
    return app


def doubly() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/both")
    def both(_: access.Anybody, __: access.Admin) -> None: ...

    return app


@pytest.mark.parametrize(
    "app",
    [
        undeclared(),
        doubly(),
        Starlette(routes=[Mount("/mounted", app=FastAPI())]),
        Starlette(routes=[Route("/plain", lambda _: None)]),
        Starlette(routes=[WebSocketRoute("/socket", lambda _: None)]),
        FastAPI(),  # with pages of its own that load scripts from elsewhere
    ],
)
def test_a_route_that_does_not_say_who_may_use_it_is_refused(app: FastAPI) -> None:
    with pytest.raises(RuntimeError, match=r"^/\w+.* does not say who may use it"):
        Rules(app)


def test_an_application_with_such_a_route_does_not_start(model_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    router = APIRouter()
    router.get("/forgotten")(lambda: None)
    monkeypatch.setattr(routes, "ROUTERS", (*routes.ROUTERS, router))
    with pytest.raises(RuntimeError, match="/forgotten does not say"):
        web.create_app(model_db, web.Options())
