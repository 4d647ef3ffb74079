"""Server-sent events: what changes is told, to each what it may see, and the database is asked once for all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.store import api_keys
from semsearch.web import keyring, server
from semsearch.web.routes import events
from tests.integration.web.conftest import NewKey

Serve = Callable[..., server.Running]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second of this test is spent on waiting."""
    monkeypatch.setattr(events, "EVERY", 0.02)
    monkeypatch.setattr(events, "SHARE", 1.0)


class Stream:
    """One that listens; `next` is what the next event tells."""

    def __init__(self, stack: ExitStack, url: str, key: str | None = None) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        client = stack.enter_context(httpx2.Client(base_url=url, headers=headers, timeout=30))
        self.answer = stack.enter_context(client.stream("GET", "/v1/events"))
        assert self.answer.status_code == 200, self.answer.read()
        assert self.answer.headers["content-type"].startswith("text/event-stream")
        self.lines: Iterator[str] = self.answer.iter_lines()

    def next(self) -> dict[str, dict[str, Any]]:
        for line in self.lines:
            if line.startswith("data: "):
                return {each["name"]: each for each in json.loads(line[6:])["collections"]}
        raise AssertionError("it has ended")

    def until(self, condition: Callable[[dict[str, dict[str, Any]]], bool]) -> dict[str, dict[str, Any]]:
        while not condition(found := self.next()):
            pass
        return found


def board(model_db: Database) -> events.Board:
    (found,) = [each for each in events._boards.values() if each._state.database is model_db and each.open]
    return found


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.usefixtures("quick")
def test_changes_are_told_as_they_come(serve: Serve, notes: Collection) -> None:
    with ExitStack() as stack:
        stream = Stream(stack, serve().url)
        assert stream.next()["notes"]["documents"] == 0
        notes.put([{"id": "a", "text": "one"}], wait=False)
        assert stream.until(lambda seen: seen["notes"]["documents"] == 1)["notes"]["backlog"] == 1
        notes.work()
        assert stream.until(lambda seen: seen["notes"]["backlog"] == 0)["notes"]["coverage"] == 1.0


@pytest.mark.usefixtures("quick")
def test_a_key_is_told_of_its_collections_only(
    serve: Serve, notes: Collection, model_db: Database, new_key: NewKey
) -> None:
    model_db.create_collection("secret", dimensions=2)
    with ExitStack() as stack:
        url = serve().url
        assert set(Stream(stack, url, new_key("read", collections=["notes"])).next()) == {"notes"}
        assert set(Stream(stack, url, new_key("read")).next()) == {"notes", "secret"}


@pytest.mark.usefixtures("quick")
def test_a_stream_ends_when_who_listens_may_no_longer(
    serve: Serve, notes: Collection, model_db: Database, new_key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "FRESH", 0.05)
    with ExitStack() as stack:
        url = serve().url
        keyless = Stream(stack, url)
        assert "notes" in keyless.next()
        key = new_key("read")  # from now on everybody needs one
        assert not [line for line in keyless.lines if line.startswith("data: ")]
        stays, revoked = Stream(stack, url, new_key("read")), Stream(stack, url, key)
        assert "notes" in stays.next() and "notes" in revoked.next()
        with model_db.pools.writing.begin() as connection:
            api_keys.revoke(connection, api_keys.id_of(key) or "")
        assert not [line for line in revoked.lines if line.startswith("data: ")]
        refused = httpx2.get(f"{url}/v1/events", headers={"authorization": f"Bearer {key}"}, timeout=30)
        assert refused.status_code == 401
        notes.put([{"id": "a", "text": "one"}])
        assert stays.until(lambda seen: seen["notes"]["documents"] == 1)


@pytest.mark.usefixtures("quick")
def test_a_tenant_is_told_of_its_own_documents(serve: Serve, model_db: Database, new_key: NewKey) -> None:
    model_db.create_collection("open", dimensions=2)
    shared = model_db.create_collection("shared", dimensions=2, fields={"team": "text"}, tenant="team")

    def put(team: str, count: int) -> None:
        shared.put([{"id": f"{team}{at}", "text": "a", "embedding": [1, 1]} for at in range(count)], tenant=team)

    put("blue", 5)
    with ExitStack() as stack:
        url = serve().url
        red, all_of_them = Stream(stack, url, new_key("read", tenant="red")), Stream(stack, url, new_key("read"))
        first = red.next()
        assert set(first) == {"shared"}
        assert (first["shared"]["documents"], first["shared"]["bytes"]) == (0, None)
        put("red", 2)
        assert red.until(lambda seen: seen["shared"]["documents"] == 2)["shared"]["chunks"] == 2
        assert all_of_them.until(lambda seen: seen["shared"]["documents"] == 7)["shared"]["bytes"]


def test_many_streams_ask_the_database_as_often_as_one(serve: Serve, notes: Collection, model_db: Database) -> None:
    with ExitStack() as stack:
        url, begun = serve().url, time.monotonic()
        streams = [Stream(stack, url) for _ in range(30)]
        assert all("notes" in stream.next() for stream in streams)
        notes.put([{"id": "a", "text": "one"}])
        for stream in streams:
            stream.until(lambda seen: seen["notes"]["documents"] == 1)
        assert board(model_db).asked <= time.monotonic() - begun + 2


@pytest.mark.usefixtures("quick")
def test_a_stream_ends_when_the_client_goes_and_leaves_its_place(
    serve: Serve, notes: Collection, model_db: Database
) -> None:
    running = serve(streams=2)
    with ExitStack() as outer:
        with ExitStack() as stack:
            streams = [Stream(stack, running.url) for _ in range(2)]
            assert all(stream.next() for stream in streams)
            stays = board(model_db)
            assert stays.open == 2
            refused = httpx2.get(f"{running.url}/v1/events", timeout=30)
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert refused.headers["retry-after"]
        until(lambda: stays.open == 0)
        assert Stream(outer, running.url).next()


@pytest.mark.usefixtures("quick")
def test_silence_is_broken_and_a_stream_does_not_last_for_ever(
    serve: Serve, notes: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.1)
    with ExitStack() as stack:
        url = serve().url
        stream = Stream(stack, url)
        assert "notes" in stream.next()
        assert next(line for line in stream.lines if line) == ": still here"
        monkeypatch.setattr(events, "LONGEST", 1.0)
        lines = [*Stream(stack, url).lines]  # it ends
        assert sum(line.startswith("data: ") for line in lines) == 1


@pytest.mark.usefixtures("quick")
def test_a_server_that_ends_does_not_wait_for_streams(serve: Serve, model_db: Database, notes: Collection) -> None:
    from semsearch import web

    with ExitStack() as stack:
        with server.running(model_db, web.Options(port=0, grace=90.0)) as running:
            stream = Stream(stack, running.url)
            stream.next()
            begun = time.monotonic()
        assert time.monotonic() - begun < 45
        assert [line for line in stream.lines if line.startswith("data: ")] == []
