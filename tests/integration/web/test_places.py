"""How many are answered at once: all together, of one key, and while their bytes are on their way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx2
import pytest

from semsearch.database import Database
from semsearch.web.app import OTHER_THREADS, SENDERS
from tests.integration.web import probes
from tests.integration.web.conftest import Client, NewKey, Serve
from tests.integration.web.raw import Raw, refused

pytestmark = pytest.mark.usefixtures("probed")


def test_searches_beyond_their_number_wait_a_moment_and_are_sent_away(serve: Serve) -> None:
    url = serve(searches=2, search_wait=0.2).url
    with ThreadPoolExecutor(4) as pool, httpx2.Client(base_url=url, timeout=30) as client:
        running = [pool.submit(client.get, "/probe/search") for _ in range(2)]
        for _ in running:
            assert probes.arrived.acquire(timeout=30)
        assert "semsearch_searches_running 2.0" in client.get("/metrics").text
        over = client.get("/probe/search")
        assert "2 searches are running" in refused(over, 503, "overloaded")
        assert int(over.headers["retry-after"]) == 1
        assert client.get("/probe/text?length=1").status_code == 200, "others are answered meanwhile"
        probes.go_on.set()
        assert [each.result().status_code for each in running] == [200, 200]
        assert client.get("/probe/search").status_code == 200
        assert "semsearch_searches_running 0.0" in client.get("/metrics").text


def test_a_crowd_of_other_requests_keeps_no_search_waiting(serve: Serve) -> None:
    url = serve(searches=1, search_wait=0.2).url
    with ThreadPoolExecutor(OTHER_THREADS) as pool, httpx2.Client(base_url=url, timeout=30) as client:
        running = [pool.submit(client.get, "/probe/wait") for _ in range(OTHER_THREADS)]
        for _ in running:
            assert probes.arrived.acquire(timeout=30)
        over = client.put("/probe/documents", json=[])
        assert f"{OTHER_THREADS} other requests are running" in refused(over, 503, "overloaded")
        assert client.post("/probe/search", json={}).status_code == 200
        assert client.get("/healthz").status_code == 200
        probes.go_on.set()
        assert [each.result().status_code for each in running] == [200] * OTHER_THREADS
        assert client.put("/probe/documents", json=[]).status_code == 200


def test_a_key_has_half_of_the_places_at_most(serve: Serve, new_key: NewKey) -> None:
    url, eager, modest = serve(searches=2, search_wait=0.2).url, new_key("read"), new_key("read")

    def search(method: str, key: str) -> httpx2.Response:
        headers = {"authorization": f"Bearer {key}"}
        json = {} if method == "POST" else None
        return httpx2.request(method, f"{url}/probe/search", headers=headers, json=json, timeout=30)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(search, "GET", eager)
        assert probes.arrived.acquire(timeout=30)
        over = search("POST", eager)
        assert "1 searches of this key" in refused(over, 429, "too_many_requests")
        assert over.headers["retry-after"] == "1"
        assert search("POST", modest).status_code == 200
        probes.go_on.set()
        assert running.result().status_code == 200
    assert search("POST", eager).status_code == 200


def test_a_key_has_a_tenth_of_the_streams_of_events(serve: Serve, new_key: NewKey) -> None:
    url, eager, modest = serve(streams=20, search_wait=0.2).url, new_key("read"), new_key("read")
    with ExitStack() as stack:

        def listen(key: str) -> httpx2.Response:
            headers = {"authorization": f"Bearer {key}"}
            return stack.enter_context(httpx2.stream("GET", f"{url}/probe/events", headers=headers, timeout=30))

        assert [listen(eager).status_code for _ in range(2)] == [200, 200]
        over = listen(eager)
        over.read()
        assert "2 streams of events of this key" in refused(over, 429, "too_many_requests")
        assert listen(modest).status_code == 200


def test_who_sends_slowly_takes_no_place(serve: Serve, model_db: Database) -> None:
    """Streams and files, as many as are let in: their places are free while their bytes are waited for."""
    model_db.create_collection("given", dimensions=2)
    url = serve(search_wait=0.2, body_seconds=60).url
    bulk, file = b"POST /v1/collections/given/documents/bulk", b"PUT /v1/collections/given/files/a.txt"
    senders = [Raw(url) for _ in range(SENDERS)]
    for number, each in enumerate(senders):
        head = b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nExpect: 100-continue\r\n"
        kind = b"Content-Type: application/x-ndjson\r\nContent-Length: 2\r\n\r\n"
        each.send((bulk if number % 2 else file) + head + kind)
        each.let_in()
        each.send(b"\n")
    with httpx2.Client(base_url=url, timeout=30) as client:
        assert "32 streams and files are running" in refused(
            client.post("/probe/bulk", content=b"x"), 503, "overloaded"
        )
        assert client.put("/probe/documents", json=[]).status_code == 200
        assert client.get("/v1/collections").status_code == 200
        assert client.post("/probe/search", json={}).status_code == 200
        for each in senders:
            each.send(b"\n")
        assert all(b" 200 " in each.read().split(b"\r\n")[0] for each in senders[1::2])
        assert all(each.read() for each in senders[::2])
        assert client.post("/probe/bulk", content=b"x").status_code == 200


def test_bodies_that_are_not_json_are_not_waited_for(serve: Serve, connect: Client) -> None:
    url = serve(searches=2, search_wait=0.2, body_seconds=60).url
    senders = [Raw(url) for _ in range(8)]
    for number, each in enumerate(senders):
        each.send(b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n" % (b"/mcp", b"/probe/search")[number % 2])
        each.send((b"Content-Length: 9\r\nContent-Type: text/plain", b"Transfer-Encoding: chunked")[number % 2])
        each.send(b"\r\n\r\n")
        each.send((b"{", b"1\r\n{\r\n")[number % 2])
    with httpx2.Client(base_url=url, timeout=30) as client:
        assert client.post("/probe/search", json={}).status_code == 200
    assert all(b" 415 " in each.read().split(b"\r\n")[0] for each in senders)
    client = connect()
    assert refused(client.post("/probe/search", content=b"{}"), 415, "unsupported_media")
    assert client.request("GET", "/probe/text?length=1", headers={"content-length": "0"}).status_code == 200
    assert refused(client.post("/probe/search", headers={"content-type": "text/plain"}), 400, "invalid_input")
