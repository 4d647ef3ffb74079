"""Every limit of the door, each met by a request that goes beyond it; and what may not happen, however it is met."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from semsearch import web
from semsearch.database import Database
from semsearch.errors import InvalidInput
from semsearch.store.connection import Size, engine
from semsearch.web import gate, json_scan
from semsearch.web.limits import Buckets
from semsearch.web.options import limited
from tests.integration.web import probes
from tests.integration.web.conftest import Client, NewKey, Serve
from tests.integration.web.raw import Raw, refused
from tests.integration.working import until

pytestmark = pytest.mark.usefixtures("probed")

CONNECTIONS, ESTABLISHED = Path("/proc/net/tcp"), "01"
JSON = {"content-type": "application/json"}
AWKWARD = {
    "nested": (b"[" * 100_000 + b"]" * 100_000, "nested deeper"),
    "nested and never closed": (b'{"a":' * 5_000, "nested deeper"),
    "a million keys": (b"{" + b",".join(b'"k%d":1' % n for n in range(1_000_000)) + b"}", "200,000 keys"),
    "a million lists": (b"[" + b"[]," * 999_999 + b"[]]", "200,000 lists"),
    "a number of 5,000 digits": (b'{"top_k": ' + b"1" * 5000 + b"}", "digits"),
    "a key twice": (b'{"top_k": 1, "top_k": 2}', "'top_k' is there twice"),
    "not a number": (b'{"top_k": NaN}', "NaN"),
    "infinity": (b'{"top_k": -Infinity}', "Infinity"),
    "UTF-16": ('{"top_k": 1}'.encode("utf-16"), "UTF-8"),
    "latin 1": (b'{"texts": ["\xe9"]}', "UTF-8"),
    "a string without an end": (b'{"a": "' + b'[\\"' * 1_000_000, "brackets do not match"),
    "broken": (b'{"top_k": 1,,}', "line 1, column 13"),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_json_is_refused_at_once(name: str, connect: Client) -> None:
    body, told = AWKWARD[name]
    client = connect(search_bytes=16 * 2**20)
    assert told in refused(client.post("/probe/search", content=body, headers=JSON), 400, "invalid_input")
    took = []
    for _ in range(5):
        begun = time.process_time()
        with pytest.raises(InvalidInput):
            json_scan.check(body)
        took.append(time.process_time() - begun)
    assert min(took) < 0.25, "50 ms on a machine that does nothing else"


def test_json_that_is_merely_large_is_read(connect: Client) -> None:
    documents = [{"id": str(n), "text": 'a: "quoted" [text]\\ ' * 40, "embedding": [0.25] * 64} for n in range(1000)]
    answer = connect().put("/probe/documents", json=documents)
    assert answer.json() == {"length": 1000}
    deepest = "[" * json_scan.DEEPEST + "]" * json_scan.DEEPEST
    assert connect().put("/probe/documents", content=deepest, headers=JSON).status_code == 200


@pytest.mark.parametrize("announced", [True, False])
def test_bodies_are_read_up_to_their_limit(connect: Client, announced: bool) -> None:
    client = connect(search_bytes=1000, ingest_bytes=2000, stream_bytes=3000)

    def send(method: str, path: str, size: int, kind: str) -> httpx2.Response:
        body = json.dumps({"texts": ["x" * (size - 15)]}).encode() if kind == "application/json" else b"x" * size
        assert len(body) == size
        content: Any = body if announced else iter([body[:600], body[600:]])
        return client.request(method, path, content=content, headers={"content-type": kind})

    for method, path, limit, kind in (
        ("POST", "/probe/search", 1000, "application/json"),
        ("PUT", "/probe/documents", 2000, "application/json"),
        ("POST", "/probe/bulk", 3000, "application/x-ndjson"),
    ):
        within, beyond = send(method, path, limit, kind), send(method, path, limit + 1, kind)
        assert within.status_code == 200, within.text
        assert "larger than" in refused(beyond, 413, "too_large")
        assert beyond.headers["connection"] == "close"


def test_the_limits_in_bytes_are_those_of_the_documentation() -> None:
    options = web.Options()
    assert (options.search_bytes, options.ingest_bytes, options.upload_bytes) == (2**20, 16 * 2**20, 16 * 2**20)
    assert (options.header_bytes, options.body_seconds, options.header_seconds) == (16 * 2**10, 10.0, 10.0)
    assert (options.search_deadline, options.admin_deadline, options.max_collections) == (5.0, 30.0, 1000)
    assert (options.max_batch_queries, options.max_batch_documents, options.max_document_bytes) == (
        32,
        1000,
        20 * 2**20,
    )


def test_limits_are_given_by_name() -> None:
    assert limited({"rate": 0, "search_deadline": 2.5, "burst": 7}, port=1) == web.Options(
        rate=0, search_deadline=2.5, burst=7, port=1
    )
    for name, value in (("nonsense", 1), ("port", 1), ("burst", 1.5), ("burst", 0), ("search_wait", 0), ("rate", -1)):
        with pytest.raises(InvalidInput, match=name):
            limited({name: value})


def test_compressed_bodies_are_not_read(connect: Client) -> None:
    bomb = gzip.compress(b"0" * 10**7)
    answer = connect().post("/probe/search", content=bomb, headers={**JSON, "content-encoding": "gzip"})
    assert "Content-Encoding" in refused(answer, 415, "unsupported_media")


def test_answers_are_compressed_where_it_pays(connect: Client) -> None:
    client = connect()
    large, small = client.get("/probe/text?length=5000"), client.get("/probe/text?length=500")
    assert large.headers["content-encoding"] == "gzip" and int(large.headers["content-length"]) < 200
    assert "content-encoding" not in small.headers
    assert large.headers["vary"] == "Accept-Encoding"
    for unwanted in ("gzip;q=0", "identity, gzip; q=0.000", "identity", "*;q=0"):
        plain = client.get("/probe/text?length=5000", headers={"accept-encoding": unwanted})
        assert "content-encoding" not in plain.headers and plain.headers["vary"] == "Accept-Encoding", unwanted


def test_heads_are_limited(connect: Client, serve: Serve, served: httpx2.Client) -> None:
    sender = Raw(serve().url)
    sender.send(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Large: " + b"x" * 17_000)
    answer = sender.read()
    assert b" 431 " in answer.split(b"\r\n")[0] and b'"too_large"' in answer, "though the end is yet to come"
    for client in (connect(), served):
        assert "larger than 16 kB" in refused(client.get("/healthz?" + "x" * 17_000), 431, "too_large")
        answer = client.get("/healthz", headers={"x-large": "x" * 17_000})
        assert (answer.status_code, answer.json()["code"]) == (431, "too_large")
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_request_ids_are_kept_when_they_are_sane(connect: Client) -> None:
    client = connect()
    assert client.get("/healthz", headers={"x-request-id": "abc-1.2:3"}).headers["x-request-id"] == "abc-1.2:3"
    for insane in ("a b", "x" * 200, "a\tb", "", "é"):
        made = client.get("/healthz", headers={"x-request-id": insane.encode()}).headers["x-request-id"]
        assert made != insane and len(made) == 16


def test_every_answer_has_the_headers_of_a_careful_server(connect: Client, new_key: NewKey) -> None:
    client = connect()
    new_key("read")
    for path in ("/healthz", "/metrics", "/nowhere", "/openapi.json", "/"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers


def test_other_sites_may_ask_only_when_they_are_named(connect: Client, new_key: NewKey) -> None:
    named = "https://site.example"
    client = connect(new_key("read"), allow_origins=(named,))
    preflight = {
        "origin": named,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, mcp-protocol-version, mcp-session-id",
    }
    allowed = client.request("OPTIONS", "/probe/search", headers=preflight)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, named)
    assert "access-control-allow-credentials" not in allowed.headers
    shown = client.get("/metrics", headers={"origin": named}).headers["access-control-expose-headers"]
    assert "retry-after" in shown
    assert client.get("/metrics", headers={"origin": named}).headers["access-control-allow-origin"] == named
    failed = client.get("/probe/fails/filter", headers={"origin": named})
    assert failed.headers["access-control-allow-origin"] == named, "a page may read what went wrong"
    for origin in ("https://evil.example", "https://site.example.evil.example", "http://site.example", "null"):
        other = client.request("OPTIONS", "/probe/search", headers={**preflight, "origin": origin})
        assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-origin" not in connect().request("OPTIONS", "/probe/search", headers=preflight).headers


def test_a_key_has_its_share(connect: Client, new_key: NewKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "Buckets", partial(Buckets, clock=lambda: 0.0))  # none fills meanwhile
    eager, modest = connect(new_key("read"), rate=0.5, burst=3), new_key("read")
    statuses = [eager.get("/metrics").status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    over = eager.get("/metrics")
    assert "0.5 requests a second" in refused(over, 429, "too_many_requests")
    assert int(over.headers["retry-after"]) == 2
    assert eager.get("/metrics", headers={"authorization": f"Bearer {modest}"}).status_code == 200
    unlimited = connect(new_key("read"), rate=0, burst=1)
    assert [unlimited.get("/metrics").status_code for _ in range(5)] == [200] * 5


def test_buckets_fill_and_are_forgotten() -> None:
    now = [0.0]
    buckets = Buckets(10, 2, lambda: now[0])
    assert [buckets.take("a") for _ in range(3)] == [0, 0, pytest.approx(0.1)]
    now[0] = 0.1
    assert [buckets.take("a"), buckets.take("b")] == [0, 0]
    for number in range(20_000):
        buckets.take(str(number))
    assert len(buckets._levels) == 10_000


def test_so_many_documents_are_put_at_once(connect: Client, model_db: Database) -> None:
    model_db.create_collection("given", dimensions=2)
    client, documents = (
        connect(max_batch_documents=2),
        [{"id": f"{n}", "text": "a", "embedding": [1, 1]} for n in "abc"],
    )
    address = "/v1/collections/given/documents"
    assert client.put(address, json={"documents": documents[:2]}).json()["added"] == 2
    assert "at most 2" in refused(client.put(address, json={"documents": documents}), 400, "invalid_input")


def test_connections_that_nobody_uses_are_ended(serve: Serve) -> None:
    sender = Raw(serve(idle_seconds=1, header_seconds=60).url)
    sender.send(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    answer = sender.read()
    assert b" 200 " in answer.split(b"\r\n")[0] and b"connection: close" not in answer


def test_who_finds_no_connection_to_the_database_is_told_soon(connect: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect(pool_wait=0.1)
    pools = client.app.state.semsearch.database.pools  # type: ignore[attr-defined]
    assert client.get("/metrics").status_code == 200
    small = engine(pools.address, Size(1, 0, 0.1))
    with monkeypatch.context() as patched, small.connect():
        patched.setattr(pools, "writing", small)
        answer = client.get("/metrics")
    small.dispose()
    assert "connections" in refused(answer, 503, "overloaded")
    assert "retry-after" in answer.headers


def test_more_clients_than_threads_all_get_their_answers(serve: Serve) -> None:
    limits = httpx2.Limits(max_connections=64)
    url = serve(search_wait=60, pool_wait=60).url
    with httpx2.Client(base_url=url, timeout=60, limits=limits) as client, ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda _: client.get("/v1/collections").status_code, range(256)))
    assert answers == [200] * 256


def test_a_head_that_does_not_end_is_not_waited_for(serve: Serve) -> None:
    url = serve(header_seconds=3).url  # time enough for what is sent to arrive
    sender = Raw(url)
    sender.send(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    second = Raw(url)
    second.send(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /healthz HTTP/1.1\r\n")
    assert sender.read() == b""
    assert second.read().count(b'{"status":"ok"}') == 1, "nor one that follows an answer"


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_is_not_waited_for(serve: Serve, framing: bytes) -> None:
    sender = Raw(serve(body_seconds=0.3).url)
    sender.send(
        b"POST /probe/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" + framing + b"\r\n\r\n"
    )
    sender.send(b"{" if b"Length" in framing else b"1\r\n{\r\n")
    answer = sender.read()
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert b'"too_slow"' in answer


def test_a_body_that_comes_steadily_may_take_longer(serve: Serve) -> None:
    """One second more for every 100 kB."""
    sender = Raw(serve(body_seconds=0.5).url)
    head = b"POST /probe/bulk HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 400000\r\n\r\n"
    sender.send(head + b"x" * 300_000)
    for _ in range(5):
        threading.Event().wait(0.2)
        sender.send(b"x" * 20_000)
    assert b'{"bytes":400000}' in sender.read()


def test_what_is_refused_while_it_is_sent_is_answered_and_ended(serve: Serve) -> None:
    url = serve(search_bytes=1000).url
    sender = Raw(url)
    sender.send(b"POST /probe/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 500_000)
    assert b" 413 " in sender.read().split(b"\r\n")[0]
    waits = Raw(url)
    waits.send(
        b"POST /probe/search HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n"
    )
    assert b" 413 " in waits.read().split(b"\r\n")[0], "without having to send it"


def test_what_is_not_http_is_told_so(serve: Serve) -> None:
    sender = Raw(serve().url)
    sender.send(b"\x16\x03\x01 this is TLS, or nonsense\r\n\r\n")
    answer = sender.read()
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert b"application/problem+json" in answer


@pytest.mark.skipif(not CONNECTIONS.exists(), reason="how a connection is, only Linux tells")
def test_an_answer_that_nobody_reads_is_given_up(serve: Serve) -> None:
    sender, length = Raw(serve(send_seconds=0.3).url), 10_000_000
    there, here = (f":{address[1]:04X}" for address in (sender.socket.getpeername(), sender.socket.getsockname()))

    def is_given_up() -> bool:
        columns = [line.split() for line in CONNECTIONS.read_text().splitlines()]
        return not any(c[1].endswith(there) and c[2].endswith(here) and c[3] == ESTABLISHED for c in columns)

    until(lambda: not is_given_up())
    sender.send(b"GET /probe/text?length=%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % length)
    until(is_given_up)


def test_slow_senders_make_place_for_others(serve: Serve) -> None:
    """200 who send nothing more, where there is place for 50: a good one is served as if they were not there."""
    running = serve(connections=50, header_seconds=60)  # longer than the good one waits
    with httpx2.Client(base_url=running.url, timeout=30) as good:
        alone = [_timed(good) for _ in range(20)]
        slow = [Raw(running.url) for _ in range(200)]
        for number, each in enumerate(slow):
            with suppress(OSError):  # ended already
                each.send(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"%d" % number)
        with httpx2.Client(base_url=running.url, timeout=30) as another:
            beside = [_timed(another) for _ in range(20)]
        assert sorted(beside)[10] < 20 * sorted(alone)[10] + 0.5, "a generous bound: the machine is shared"
        for each in slow:
            each.socket.close()


def _timed(client: httpx2.Client) -> float:
    begun = time.perf_counter()
    assert client.get("/healthz").status_code == 200
    return time.perf_counter() - begun


def test_where_all_connections_are_at_work_the_next_is_told_to_come_again(serve: Serve) -> None:
    url = serve(connections=2).url
    with ThreadPoolExecutor(2) as pool, httpx2.Client(base_url=url, timeout=30) as client:
        running = [pool.submit(client.get, "/probe/wait") for _ in range(2)]
        for _ in running:
            assert probes.arrived.acquire(timeout=30)
        third = Raw(url).read()
        assert third.startswith(b"HTTP/1.1 503 ") and b"retry-after" in third
        probes.go_on.set()
        assert [each.result().status_code for each in running] == [200, 200]


def test_a_websocket_is_refused(serve: Serve) -> None:
    connection = http.client.HTTPConnection(urlsplit(serve().url).netloc, timeout=30)
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x", "Sec-WebSocket-Version": "13"}
    connection.request("GET", "/v1/collections", headers=headers)
    assert connection.getresponse().status in (200, 400, 403, 404, 426)
    connection.close()


def test_a_client_that_goes_away_leaves_nothing_behind(serve: Serve, model_db: Database) -> None:
    url = serve(searches=1, search_wait=30).url
    sender = Raw(url)
    sender.send(b"GET /probe/search HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert probes.arrived.acquire(timeout=30)
    sender.socket.close()
    probes.go_on.set()
    with httpx2.Client(base_url=url, timeout=30) as client:
        assert client.get("/probe/search").status_code == 200
