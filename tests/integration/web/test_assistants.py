"""The door for assistants by HTTP: the protocol's own client against a server, within what keys allow."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from starlette.testclient import TestClient

from semsearch import Document, web
from semsearch.database import Database
from semsearch.mcp import Bounds
from tests.integration.assistants.asking import CANARY, LIMIT, Script, call, calls, said, tickets
from tests.integration.command_line import Cli
from tests.integration.hands import MODEL
from tests.integration.web.conftest import LOCAL, NewKey, Serve
from tests.provider import Provider

LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
ACCEPTED = {"accept": "application/json, text/event-stream"}


@pytest.fixture(autouse=True)
def library(model_db: Database) -> None:
    handbook = model_db.create_collection("handbook", model=MODEL, fields={"year": "integer"})
    handbook.put([Document(f"h{n}", f"chapter {n}", {"year": 2020 + n}) for n in range(4)])
    secret = model_db.create_collection("secret_plans", model=MODEL)
    secret.put([Document("plan", "the secret plan")])
    tickets(model_db)


def ask(url: str, script: Script, key: str | None = None) -> Any:
    async def go() -> Any:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(headers=headers, timeout=LIMIT) as http:
            with anyio.fail_after(LIMIT):
                async with Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client:
                    return await script(client)

    return anyio.run(go)


def test_it_answers_by_http_as_python_does(serve: Serve, model_db: Database) -> None:
    query = {"collection": "handbook", "query": "chapter 2", "filter": "year > 2020", "top_k": 2}

    async def many(client: Client) -> Any:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["collections", "search", "get"]
        found: list[Any] = []

        async def one() -> None:
            found.append(await client.call_tool("search", query))

        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(one)
        return found

    expected = model_db.collection("handbook").search("chapter 2", filter={"year": {"$gt": 2020}}, top_k=2)
    for answer in ask(serve().url, many):
        hits = answer.structured_content["hits"]
        assert [(hit["document_id"], hit["text"]) for hit in hits] == [(hit.document_id, hit.text) for hit in expected]
        assert [hit["distance"] for hit in hits] == pytest.approx([hit.distance for hit in expected], abs=1e-6)


def test_the_key_decides_what_is_there(serve: Serve, new_key: NewKey) -> None:
    url = serve().url
    plan = ("get", {"collection": "secret_plans", "document_id": "plan"})
    near = ("search", {"collection": "secret_plan", "query": "x"})
    bound = new_key("read", collections=["handbook"])
    shown, hidden, unnamed = ask(url, calls(("collections", {}), plan, near), bound)
    assert [one["name"] for one in shown.structured_content["collections"]] == ["handbook"]
    for answer in (hidden, unnamed):
        assert answer.is_error
        assert "does not exist. The tool `collections`" in said(answer)

    every, read = ask(url, calls(("collections", {}), plan), new_key("admin"))
    assert [one["name"] for one in every.structured_content["collections"]] == ["handbook", "secret_plans", "tickets"]
    assert read.structured_content["text"] == "the secret plan"


def test_a_tenant_s_key_shows_nothing_of_others(serve: Serve, new_key: NewKey) -> None:
    everything = calls(
        ("collections", {}),
        ("search", {"collection": "tickets", "query": CANARY[:4], "top_k": 50}),
        ("search", {"collection": "tickets", "query": "x", "mode": "text", "filter": {CANARY[:3]: 1}}),
        ("search", {"collection": "tickets", "query": "x", "tenant": "b"}),
        ("get", {"collection": "tickets", "document_id": "b1"}),
        ("get", {"collection": "tickets", "document_id": "b1", "tenant": "b"}),
        ("search", {"collection": "handbook", "query": "x"}),
    )
    answers = ask(serve().url, everything, new_key("read", tenant="a"))
    assert CANARY not in "".join(answer.model_dump_json() for answer in answers)
    (one,) = answers[0].structured_content["collections"]
    assert (one["name"], one["documents"]) == ("tickets", 1)
    assert [hit["document_id"] for hit in answers[1].structured_content["hits"]] == ["a1"]
    assert [answer.is_error for answer in answers] == [False, False, False, True, True, True, True]


def test_without_a_key_nothing_is_answered(serve: Serve, new_key: NewKey) -> None:
    url, key = serve().url, new_key("read")
    with httpx2.Client(base_url=url, headers=ACCEPTED, timeout=LIMIT) as http:
        for headers in ({}, {"authorization": "Bearer " + key[:-2] + "xx"}, {"authorization": f"Basic {key}"}):
            assert http.post("/mcp", json=LIST, headers=headers).status_code == 401
        assert http.post(f"/mcp?key={key}", json=LIST).status_code == 401
        assert http.get("/mcp").status_code == 401
        assert http.post("/mcp", json=LIST, headers={"authorization": f"Bearer {key}"}).status_code == 200
    with pytest.raises(BaseExceptionGroup) as raised:
        ask(url, call("collections"))
    assert raised.group_contains(MCPError)


def test_what_is_no_message_is_refused(serve: Serve) -> None:
    with httpx2.Client(base_url=serve().url, headers=ACCEPTED, timeout=LIMIT) as http:

        def sent(path: str = "/mcp", method: str = "POST", **more: Any) -> int:
            return http.request(method, path, **more).status_code

        assert sent(json=LIST) == sent("/mcp/", json=LIST) == 200
        assert sent(json=LIST, headers={"origin": "https://evil.example"}) == 403
        assert sent(json=LIST, headers={"host": "evil.example"}) == 403
        assert sent("/mcp/tools", json=LIST) == sent("/mcpx", json=LIST) == sent("/MCP", json=LIST) == 404
        assert sent(method="GET") == sent(method="DELETE") == sent(method="PUT", json=LIST) == 405
        assert sent(content=b"{", headers={"content-type": "application/json"}) == 400
        assert sent(content=b"[" * 100_000, headers={"content-type": "application/json"}) == 400
        assert sent(json=LIST | {"params": {"x": "x" * 2**20}}) == 413
        assert sent(data={"a": "b"}) in (400, 415)


def test_what_is_not_asked_by_post_is_a_problem_as_everywhere(serve: Serve) -> None:
    with httpx2.Client(base_url=serve().url, headers=ACCEPTED, timeout=LIMIT) as http:
        for path, method, status, code in (
            ("/mcp/tools", "POST", 404, "not_found"),
            ("/mcp", "GET", 405, "method_not_allowed"),
            ("/mcp", "DELETE", 405, "method_not_allowed"),
        ):
            answer = http.request(method, path, json=LIST)
            assert answer.headers["content-type"] == "application/problem+json"
            assert (answer.status_code, answer.json()["status"], answer.json()["code"]) == (status, status, code)
            assert answer.headers.get("allow") == ("POST" if status == 405 else None)


def test_before_it_serves_it_says_when_to_ask_again(model_db: Database) -> None:
    client = TestClient(web.create_app(model_db, web.Options()), base_url=LOCAL, client=("127.0.0.1", 50000))
    answer = client.post("/mcp", json=LIST, headers=ACCEPTED)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "overloaded", "1")


def test_bounds_and_key_hold_together(serve: Serve, new_key: NewKey) -> None:
    url = serve(assistants=Bounds(frozenset({"handbook", "tickets"}), "a")).url
    shown = ask(url, call("collections"), new_key("read", collections=["secret_plans", "tickets"]))
    assert [one["name"] for one in shown.structured_content["collections"]] == ["tickets"]
    other = ask(url, call("search", collection="tickets", query="x"), new_key("read", tenant="b"))
    assert other.is_error
    assert CANARY not in said(other)


def test_the_command_serves_assistants_alone(
    model_db: Database, module_database_url: str, provider: Provider, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "SEMSEARCH_DATABASE_URL": module_database_url,
        "SEMSEARCH_HOME": str(tmp_path),
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": provider.url,
    }
    command = [sys.executable, "-m", "semsearch", "mcp", "--http", "--port", "0", "--collections", "handbook"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            (url,) = next(
                found for line in process.stderr if (found := re.findall(r"listening url=\"?([^\s\"]+)", line))
            )
            handbook = ("search", {"collection": "handbook", "query": "x"})
            ask(url, calls(handbook))  # which loads the model, and may take longer for it than a search may
            answer, hidden = ask(url, calls(handbook, ("search", {"collection": "tickets", "query": "x"})))
            assert not answer.is_error, said(answer)
            assert len(answer.structured_content["hits"]) == 4
            assert hidden.is_error
            with httpx2.Client(base_url=url, timeout=LIMIT) as http:
                assert http.get("/healthz").status_code == 200
                assert {http.get(path).status_code for path in ("/v1/collections", "/", "/v1/status")} == {404}
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT) == 0, process.stderr.read()
        finally:
            process.kill()


def test_it_listens_beyond_this_machine_as_serve_does_only(cli: Cli) -> None:
    assert "keys would pass in the clear" in cli("mcp", "--http", "--host", "0.0.0.0", code=2).err
    assert "needs a key" in cli("mcp", "--http", "--host", "0.0.0.0", "--behind-proxy", "--port", "0", code=2).err
