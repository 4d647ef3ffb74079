"""`semsearch mcp` as a process: what its options hide, what it prints where, how it begins and ends."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.assistants.asking import CANARY, LIMIT, Talk, calls, said
from tests.integration.command_line import Cli


def test_bounds_hide_what_is_outside(talk: Talk) -> None:
    everything = (
        ("collections", {}),
        ("search", {"collection": "ticket", "query": "x"}),
        ("search", {"collection": "tickets", "query": CANARY[:3], "top_k": 50}),
        ("search", {"collection": "tickets", "query": "x", "tenant": "b"}),
        ("search", {"collection": "tickets", "query": "x", "mode": "hybrid", "filter": {"customer": "b"}}),
        ("get", {"collection": "tickets", "document_id": "a1"}),
        ("get", {"collection": "tickets", "document_id": "b1"}),
        ("search", {"collection": "handbook", "query": "x"}),
    )
    answers = talk(calls(*everything), "--tenant", "a")
    assert CANARY not in "".join(answer.model_dump_json() for answer in answers)
    (tickets,) = answers[0].structured_content["collections"]
    assert (tickets["name"], tickets["documents"], tickets["needs_tenant"]) == ("tickets", 1, False)
    assert "Did you mean 'tickets'?" in said(answers[1])
    assert [hit["document_id"] for hit in answers[2].structured_content["hits"]] == ["a1"]
    assert "leave the tenant out" in said(answers[3])
    assert answers[4].structured_content["hits"] == []
    assert answers[5].structured_content["text"] == "the printer burns"
    assert answers[6].is_error and answers[7].is_error

    wrong = {"collection": "tickts", "query": "x"}
    shown, hidden, near = talk(
        calls(("collections", {}), ("search", wrong | {"collection": "tickets"}), ("search", wrong)),
        *("--collections", "handbook, strange", "--collections", "gone"),
    )
    assert [one["name"] for one in shown.structured_content["collections"]] == ["handbook", "strange"]
    for answer in (hidden, near):
        assert "does not exist. The tool" in said(answer)


def test_nothing_but_the_protocol_is_on_standard_output(talk: Talk, tmp_path: Path) -> None:
    """A library that prints, a child that does, and a bug: none of it breaks the wire."""
    noise = (
        "import os, subprocess, sys\n"
        "from semsearch.cli import main\n"
        "from semsearch.collection import Collection\n"
        "print('noise at the start') if '--early' in sys.argv else None\n"
        "def noisy(self, id, **more):\n"
        "    print('noise from Python'); os.write(1, b'noise from C\\n')\n"
        "    subprocess.run(['echo', 'noise from a child'])\n"
        "    assert sys.stdin.read() == '' and id != 'bug', 'secret detail'\n"
        "    return get(self, id, **more)\n"
        "get, Collection.get = Collection.get, noisy\n"
        "sys.exit(main(['mcp']))\n"
    )
    asked = {"collection": "handbook", "document_id": "passwords.md"}
    read, failed, again = talk(
        calls(("get", asked), ("get", asked | {"document_id": "bug"}), ("get", asked)), program=("-c", noise)
    )
    assert read.structured_content["text"] == again.structured_content["text"] == "How a password is reset."
    assert said(failed) == "the server failed at this; its log says more."
    log = (tmp_path / "log").read_text()
    for line in ("noise from Python", "noise from C", "noise from a child", "secret detail"):
        assert line in log


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


@pytest.fixture
def process(surroundings: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A server that has answered once."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-m", "semsearch", "mcp"]
    with subprocess.Popen(command, env=surroundings, text=True, **pipes) as started:  # type: ignore[call-overload]
        started.stdin.write("no JSON at all\n" + json.dumps(INITIALIZE) + "\n")
        started.stdin.flush()
        answer = next(line for line in started.stdout if '"id":1,' in line)
        assert json.loads(answer)["result"]["serverInfo"]["name"] == "semsearch"
        yield started
        started.kill()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, None])
def test_it_ends_in_good_order(process: subprocess.Popen[str], how: signal.Signals | None) -> None:
    if how is None:
        assert process.stdin
        process.stdin.close()
        process.stdin = None
    else:
        process.send_signal(how)
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    assert out == ""
    assert "Traceback" not in err


def test_what_was_asked_before_the_end_is_answered(surroundings: dict[str, str]) -> None:
    """As of `printf ... | semsearch mcp`: all is written at once, and the end follows."""
    search = {"name": "search", "arguments": {"collection": "handbook", "query": "passwords"}}
    asked = [
        INITIALIZE,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        *({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": search} for id in range(2, 14)),
        {"jsonrpc": "2.0", "id": "a", "method": "nothing/like/it"},
    ]
    command = [sys.executable, "-m", "semsearch", "mcp"]
    sent = "".join(json.dumps(message) + "\n" for message in asked)
    done = subprocess.run(command, env=surroundings, input=sent, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    answers = {answer["id"]: answer for answer in map(json.loads, done.stdout.splitlines())}
    assert set(answers) == {*range(1, 14), "a"}
    assert answers["a"]["error"]["code"] == -32601
    for id in range(2, 14):
        assert answers[id]["result"]["structuredContent"]["hits"]


def test_a_database_that_is_away_is_said_on_standard_error(surroundings: dict[str, str]) -> None:
    away = surroundings | {"SEMSEARCH_DATABASE_URL": "postgresql://localhost:1/nothing"}
    command = [sys.executable, "-m", "semsearch", "mcp"]
    done = subprocess.run(command, env=away, stdin=subprocess.PIPE, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_without_the_library_it_says_what_to_install(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "mcp" else find(name, *more))
    assert "pip install 'semsearch[mcp]'" in cli("mcp", code=2).err


@pytest.mark.parametrize("way", [(), ("--http", "--port", "0")])
def test_bounds_that_bind_to_nothing_are_refused(cli: Cli, way: tuple[str, ...]) -> None:
    for nothing in ("", " , "):
        assert "--collections names none" in cli("mcp", *way, "--collections", nothing, code=2).err
    for nobody in ("", "x" * 2000):
        assert "a tenant is a text of 1 to 1,024 bytes" in cli("mcp", *way, "--tenant", nobody, code=2).err


def test_where_to_listen_is_for_http(cli: Cli) -> None:
    assert "--port is for --http." in cli("mcp", "--port", "8001", code=2).err
