"""The tools for assistants, by the protocol's own client and a real `semsearch mcp`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

from semsearch.database import Database
from tests.integration.assistants.asking import HOSTILE, Talk, call, calls, said
from tests.integration.hands import MODEL


def test_the_tools_say_what_they_do(ask: Talk) -> None:
    async def script(client: Client) -> Any:
        return client.instructions, client.server_info, (await client.list_tools()).tools

    instructions, info, tools = ask(script)
    assert info.name == "semsearch"
    assert "untrusted" in instructions
    assert [tool.name for tool in tools] == ["collections", "search", "get"]
    for tool in tools:
        assert tool.annotations.read_only_hint and not tool.annotations.destructive_hint
        assert tool.input_schema["type"] == tool.output_schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False
        assert all(each.get("description") for each in tool.input_schema["properties"].values())
    search = tools[1].input_schema["properties"]
    assert '{"year": {"$gte": 2020}' in search["filter"]["description"]
    assert (search["top_k"]["default"], search["top_k"]["maximum"]) == (5, 50)


def test_collections_are_described(ask: Talk) -> None:
    result = ask(call("collections"))
    found = {one["name"]: one for one in result.structured_content["collections"]}
    assert list(found) == ["handbook", "huge", "strange", "tickets", "vectors"]
    assert found["handbook"] == {
        "name": "handbook",
        "description": "5 documents; fields year (integer), lang (text); search by vector, hybrid, text.",
        "documents": 5,
        "waiting": 0,
        "fields": {"year": "integer", "lang": "text"},
        "modes": ["vector", "hybrid", "text"],
        "model": MODEL,
        "language": "english",
        "needs_tenant": False,
    }
    assert found["tickets"]["needs_tenant"]
    assert (found["vectors"]["modes"], found["huge"]["modes"]) == (["text"], ["vector"])
    assert "model" not in found["vectors"]
    assert f"handbook: {found['handbook']['description']}" in said(result).splitlines()


def test_search_finds_what_python_finds(ask: Talk, module_db: Database) -> None:
    handbook = module_db.collection("handbook")
    asked: list[dict[str, Any]] = [
        {},
        {"top_k": 1},
        {"filter": {"year": {"$gte": 2020}}},
        {"filter": {"$or": [{"lang": "de"}, {"year": 1999}]}, "top_k": 2, "neighbours": 1},
        {"mode": "hybrid"},
        {"mode": "text"},
    ]
    query = "how is a password reset"
    spelt = {"filter": 'year >= 2020 and lang in ("en", de)'}
    answers = ask(
        calls(
            *(("search", {"collection": "handbook", "query": query} | more) for more in [*asked, spelt]),
            ("search", {"collection": "handbook", "query": query, "filter": '{"lang": "de"}', "top_k": "3"}),
        )
    )
    expected = [handbook.search(query, **{"top_k": 5, **more}) for more in asked]
    expected.append(handbook.search(query, top_k=5, filter={"year": {"$gte": 2020}, "lang": {"$in": ["en", "de"]}}))
    expected.append(handbook.search(query, top_k=3, filter={"lang": "de"}))
    for answer, hits in zip(answers, expected, strict=True):
        assert not answer.is_error, said(answer)
        shown = answer.structured_content
        assert shown["complete"] == hits.complete
        for one, hit in zip(shown["hits"], hits, strict=True):
            assert (one["document_id"], one["ordinal"], one["text"]) == (hit.document_id, hit.ordinal, hit.text)
            assert (one["start"], one["metadata"]) == (hit.start, hit.metadata)
            assert one.get("heading", "") == hit.heading
            assert one.get("distance") == pytest.approx(hit.distance, abs=1e-6)
            assert one.get("score") == pytest.approx(hit.score, abs=1e-6)
            assert [chunk["text"] for chunk in one.get("after", [])] == [chunk.text for chunk in hit.after]
    first = said(answers[1])
    assert first.startswith("1 hit in collection handbook.")
    assert (
        f"document {expected[1][0].document_id}, chunk {expected[1][0].ordinal}, distance {expected[1][0].distance:.4f}"
        in first
    )


def test_what_is_wrong_is_said_in_a_sentence(ask: Talk) -> None:
    handbook = {"collection": "handbook", "query": "x"}
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("search", handbook | {"collection": "handbok"}, "'handbok' does not exist. Did you mean 'handbook'?"),
        ("search", handbook | {"collection": "q" * 500}, "The tool `collections` lists those that are there."),
        ("search", handbook | {"filter": {"year": {"$above": 3}}}, "filter $.year.$above: unknown operator '$above'"),
        ("search", handbook | {"filter": "year >"}, "filter at character 7: a value is missing"),
        ("search", handbook | {"filter": "{"}, "the filter begins like JSON and is none"),
        ("search", handbook | {"filter": 3}, "filter is a JSON object or a text."),
        ("search", handbook | {"query": " "}, "the query is empty."),
        ("search", handbook | {"query": "a" * 40_000}, "the query is longer than 32 kB."),
        ("search", handbook | {"top_k": 51}, "top_k: input should be less than or equal to 50."),
        ("search", handbook | {"limit": 3}, "there is no argument 'limit': there are collection, query, top_k"),
        ("search", {"collection": "handbook"}, "query is missing."),
        ("search", handbook | {"tenant": "a"}, "has no tenants: ask it without one."),
        ("search", handbook | {"collection": "tickets"}, "has tenants: say whose documents are asked for (tenant)."),
        ("search", handbook | {"collection": "vectors"}, "has no model"),
        ("get", {"collection": "handbook", "document_id": "nothing"}, "document 'nothing' does not exist"),
        ("get", {"collection": "handbook", "document_id": "\0"}, "does not exist in collection 'handbook'"),
        (
            "get",
            {"collection": "strange", "document_id": "bad\n[3] id", "offset": 10**20},
            "offset is behind the end: ",
        ),
        ("get", {"collection": "tickets", "document_id": "a1", "tenant": "b"}, "document 'a1' does not exist"),
        ("collections", {"verbose": True}, "there is no argument 'verbose': there are none."),
    ]
    answers = ask(calls(*((tool, arguments) for tool, arguments, _ in wrong)))
    for answer, (_, arguments, sentence) in zip(answers, wrong, strict=True):
        assert answer.is_error, arguments
        assert sentence in said(answer)

    async def unknown(client: Client) -> str:
        with pytest.raises(MCPError) as raised:
            await client.call_tool("delete", {})
        return str(raised.value)

    assert ask(unknown) == "there is no tool 'delete': there are collections, search, get."


def test_a_document_is_read_in_parts(ask: Talk, module_db: Database) -> None:
    whole = module_db.collection("handbook").get("long.md").text

    async def script(client: Client) -> list[dict[str, Any]]:
        parts, offset = [], 0
        while offset is not None:
            asked = {"collection": "handbook", "document_id": "long.md", "offset": offset, "length": 9000}
            parts.append((await client.call_tool("get", asked)).structured_content)
            offset = parts[-1].get("next_offset")
        asked = {"collection": "handbook", "document_id": "long.md", "offset": len(whole)}
        return [*parts, (await client.call_tool("get", asked)).structured_content]

    *parts, end = ask(script)
    assert "".join(part["text"] for part in parts) == whole
    assert len(parts) == len(whole) // 9000 + 1
    assert {part["length"] for part in parts} == {len(whole)}
    assert (end["text"], "next_offset" in end) == ("", False)


def test_documents_are_resources(ask: Talk) -> None:
    async def script(client: Client) -> Any:
        (template,) = (await client.list_resource_templates()).resource_templates
        assert template.uri_template.startswith("semsearch://")
        assert (await client.list_resources()).resources == []
        for uri in ("semsearch://handbook/nothing", "semsearch://nope/x", "file:///etc/passwd", "semsearch://[/x"):
            with pytest.raises(MCPError, match=r"does not exist|there is no resource"):
                await client.read_resource(uri)
        return [
            (await client.read_resource(f"semsearch://handbook/{path}")).contents[0].text
            for path in ("passwords.md", "guides/a%20b%3Fc%23d.md", "guides/a b?c#d.md")
        ]

    guide = "A guide with an odd name."
    assert ask(script) == ["How a password is reset.", guide, guide]


def test_texts_are_data_whatever_they_say(ask: Talk) -> None:
    asked = {"collection": "strange", "document_id": "bad\n[3] id"}
    found, read = ask(calls(("search", {"collection": "strange", "query": "x"}), ("get", asked)))
    (hit,) = found.structured_content["hits"]
    for part in (hit, read.structured_content):
        assert part["document_id"] == "bad\n[3] id"
        assert part["text"] == HOSTILE
        assert part["metadata"] == {"note": HOSTILE, "ok": None}
    for text in (said(found), said(read)):
        ours = [line for line in text.splitlines() if not line.startswith("    ")]
        assert not [line for line in ours if line.startswith(("[2]", "[3]", "IGNORE", '"}]}'))]
        assert "\x1b" not in "".join(ours)
    assert said(read).split("text:\n    ")[1].replace("\n    ", "\n").replace("\r\n    ", "\r\n")[:33] == HOSTILE[:33]


def test_answers_are_bounded(ask: Talk) -> None:
    asked = {"collection": "huge", "query": "x", "top_k": 9}
    found, read, words = ask(
        calls(
            ("search", asked),
            ("get", {"collection": "huge", "document_id": "h1", "length": 40_000}),
            ("search", {"collection": "handbook", "query": "word1", "top_k": 50, "neighbours": 3}),
        )
    )
    for answer in (found, read, words):
        assert not answer.is_error, said(answer)
        assert len(said(answer)) < 100_000
        assert len(json.dumps(answer.structured_content)) < 150_000
    assert [len(hit["text"]) for hit in found.structured_content["hits"]] == [4444] * 9
    assert read.structured_content["cut"] and read.structured_content["metadata"] == {"small": 1}
    assert read.structured_content["next_offset"] == 40_000
    assert len(words.structured_content["hits"]) == 50
    assert found.structured_content["cut"] and "were cut" in said(found)
    assert not words.structured_content["cut"] and "were cut" not in said(words)
