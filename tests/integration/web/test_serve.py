"""`semsearch serve`: where it listens and where not, how it starts, what it logs, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psycopg
import pytest

import semsearch
from semsearch import web
from semsearch.collection import Collection
from semsearch.config import Settings
from semsearch.database import Database
from semsearch.errors import InvalidInput
from semsearch.web import server
from tests.integration.command_line import Cli
from tests.integration.web import probes
from tests.integration.web.conftest import NewKey, Serve, opened
from tests.integration.working import until
from tests.provider import Provider

LIMIT = 90  # seconds for what only a fault makes wait


class Process:
    """A running `semsearch serve` and the lines of its log, as they come."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        command = [sys.executable, "-m", "semsearch", "serve", "--log-format", "json", "--port", "0", *arguments]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        self.lines.extend(self.process.stderr)

    def events(self, name: str) -> list[dict[str, Any]]:
        parsed = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
        return [line for line in parsed if line["event"] == name]

    @property
    def url(self) -> str:
        until(lambda: bool(self.events("listening")), LIMIT)
        return str(self.events("listening")[0]["url"])

    def end(self) -> int:
        code = self.process.wait(LIMIT)
        self._reader.join(LIMIT)
        return code

    @property
    def peak(self) -> int:
        """Bytes of memory that it has had at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024


Start = Callable[..., Process]


@pytest.fixture
def start(model_db: Database, module_database_url: str, provider: Provider, tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []
    environment = {
        **os.environ,
        "SEMSEARCH_DATABASE_URL": module_database_url,
        "SEMSEARCH_HOME": str(tmp_path),
        "OPENAI_API_KEY": "sk-canary",
        "OPENAI_BASE_URL": provider.url,
    }

    def make(*arguments: str, **variables: str) -> Process:
        started.append(Process(environment | variables, *arguments))
        return started[-1]

    yield make
    for each in started:
        each.process.kill()
        each.process.wait()
        each._reader.join(LIMIT)
        assert each.process.stderr
        each.process.stderr.close()
        print(*each.lines, sep="")  # shown when the test failed


def test_it_serves_embeds_and_ends_when_it_is_told_to(start: Start, model_db: Database, notes: Collection) -> None:
    """Documents that wait are embedded in the same process, and the log tells of requests, not of what they say."""
    serving = start("--workers-inline", "--limit", "search_deadline=60")
    with httpx2.Client(base_url=serving.url, timeout=60) as client:
        until(lambda: client.get("/readyz").json()["parts"] == {"database": "ok", "worker": "ok"})
        notes.put([semsearch.Document("a", "canary of a text")], wait=False)
        until(lambda: model_db.collection("notes").status().backlog == 0)
        answer = client.post("/v1/collections/notes/search", json={"query": "canary of a query", "top_k": 1})
        assert answer.json()["hits"][0]["document_id"] == "a"
        metrics = client.get("/metrics").text
        assert 'semsearch_backlog_documents{collection="notes"} 0.0' in metrics
        assert 'route="/v1/collections/{name}/search"' in metrics
    assert serving.events("listening")[0]["keys"] == "not needed on this machine"
    serving.process.send_signal(signal.SIGTERM)
    assert serving.end() == 0
    logged = serving.events("request")[-2]
    assert (logged["route"], logged["status"], logged["method"]) == ("/v1/collections/{name}/search", 200, "POST")
    assert {"ms", "request_id"} <= logged.keys()
    assert "canary" not in "".join(serving.lines)
    assert serving.events("stopped")


def test_a_key_is_named_in_the_log_and_not_shown(start: Start, new_key: NewKey) -> None:
    key = new_key("read")
    serving = start()
    with httpx2.Client(base_url=serving.url, timeout=60, headers={"authorization": f"Bearer {key}"}) as client:
        assert client.get("/v1/collections").status_code == 200
        assert client.get("/v1/collections", headers={"authorization": f"Bearer {key[:-4]}-_-_"}).status_code == 401
    serving.process.send_signal(signal.SIGINT)
    assert serving.end() == 0
    assert serving.events("listening")[0]["keys"] == "needed"
    assert [line.get("key") for line in serving.events("request")] == [key.split("_")[1], None]
    assert key.split("_", 2)[2][:-4] not in "".join(serving.lines)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_100_mb_is_refused_without_room_for_it(start: Start, chunked: bool) -> None:
    serving = start()
    with httpx2.Client(base_url=serving.url, timeout=60) as client:
        assert client.post("/v1/collections/none/search", json={"query": "a"}).status_code == 404
    before = serving.peak
    for path, kind in (("search", "application/json"), ("documents/bulk", "application/x-ndjson")):
        framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 100000000"
        head = [f"POST /v1/collections/none/{path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {kind}", framing]
        answer = _flood(serving.url, "\r\n".join([*head, "", ""]).encode(), chunked)
        assert re.match(rb"HTTP/1.1 (413|404) ", answer), answer[:300]
    assert serving.peak - before < 40_000_000


def _flood(url: str, head: bytes, chunked: bool) -> bytes:
    """Send 100 MB, or as much of them as is taken; what is answered meanwhile."""
    host, port = urlsplit(url).netloc.split(":")
    part = b"[" * 1_000_000
    with socket.create_connection((host, int(port)), timeout=60) as sender:
        sender.sendall(head)
        try:
            for _ in range(100):
                sender.sendall(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
        except OSError:
            pass
        return sender.recv(65536)


@pytest.mark.usefixtures("probed")
def test_what_runs_is_answered_before_the_end(model_db: Database) -> None:
    with ThreadPoolExecutor(2) as pool:
        with server.running(model_db, web.Options(port=0, grace=30)) as running:
            waiting = pool.submit(httpx2.get, f"{running.url}/probe/wait", timeout=60)
            endless = pool.submit(httpx2.get, f"{running.url}/probe/events", timeout=60)
            for _ in (waiting, endless):
                assert probes.arrived.acquire(timeout=30)
            threading.Timer(0.5, probes.go_on.set).start()
        assert waiting.result().status_code == 200
        assert endless.result().text.startswith("data: {}"), "a stream of events ends as if it were at its end"


def test_readiness_tells_what_is_wrong_and_health_does_not_care(db: Database, database_url: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    elsewhere = psycopg.conninfo.make_conninfo(database_url, dbname="postgres")
    with opened(db) as client, psycopg.connect(elsewhere, autocommit=True) as maintenance:
        ready = client.app.state.semsearch.readiness  # type: ignore[attr-defined]

        def told() -> tuple[int, dict[str, str]]:
            ready._until = 0.0  # as if it had been asked a while ago
            answer = client.get("/readyz")
            assert client.get("/healthz").status_code == 200
            return answer.status_code, answer.json()["parts"]

        assert told() == (200, {"database": "ok"})
        ready.worker = lambda: RuntimeError("canary")
        assert told() == (503, {"database": "ok", "worker": "failed"})
        ready.worker = None
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE semsearch.alembic_version SET version_num = '0001'")
            assert told() == (503, {"database": "schema mismatch"})
        maintenance.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        maintenance.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        assert told() == (503, {"database": "unavailable"})
        maintenance.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_a_database_that_is_not_there_yet_is_waited_for(start: Start, module_database_url: str) -> None:
    """The port of the database is taken, and nobody listens there: as of one that is about to start."""
    with socket.socket() as nothing:
        nothing.bind(("127.0.0.1", 0))
        port = nothing.getsockname()[1]
        serving = start(SEMSEARCH_DATABASE_URL=f"postgresql://nobody@127.0.0.1:{port}/none")
        until(lambda: bool(serving.events("database_unavailable")), LIMIT)
        serving.process.send_signal(signal.SIGTERM)
        assert serving.end() == 0


REFUSED = {
    "no TLS": (["--host", "0.0.0.0"], "--tls-certificate"),
    "no key": (["--host", "0.0.0.0", "--behind-proxy"], "semsearch keys create"),
    "a proxy, and no key": (["--behind-proxy"], "semsearch keys create"),
    "half of TLS": (["--tls-certificate", "FILE"], "go together"),
    "no certificate": (["--tls-certificate", "FILE", "--tls-key", "FILE"], "no certificate and its key"),
    "a pattern of origins": (["--allow-origin", "*"], "a web site such as"),
    "an origin with a path": (["--allow-origin", "https://a.example/b"], "a web site such as"),
    "an unknown limit": (["--limit", "nonsense=1"], "there is no limit 'nonsense'"),
    "a limit without a number": (["--limit", "rate"], "NAME=NUMBER"),
    "an address of nobody": (["--host", "192.0.2.1", "--tls-certificate", "CERT", "--tls-key", "KEY"], "keys create"),
}


def test_no_answer_waits_for_an_acknowledgement() -> None:
    options = web.Options(port=0)
    with server.listen(options) as listening, socket.create_connection(listening.getsockname()[:2]):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("why", REFUSED)
def test_it_does_not_start_where_that_would_be_unsafe(why: str, cli: Cli, certificate: tuple[Path, Path]) -> None:
    arguments, told = REFUSED[why]
    files = {"FILE": __file__, "CERT": str(certificate[0]), "KEY": str(certificate[1])}
    printed = cli("serve", "--port", "0", *(files.get(each, each) for each in arguments), code=2)
    assert told in printed.err
    assert printed.err.count("error:") == 1


def test_a_port_that_is_taken_is_one_clear_error(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        printed = cli("serve", "--port", str(taken.getsockname()[1]), code=2)
    assert "Address already in use. --port 0 takes any that is free." in printed.err


def test_beyond_this_machine_one_valid_key_is_needed(model_db: Database, new_key: NewKey) -> None:
    elsewhere = web.Options(host="0.0.0.0", behind_proxy=True)
    key = new_key("read", expires=timedelta(days=1))
    assert server.needs_keys(model_db, elsewhere)
    with model_db.pools.writing.begin() as connection:
        connection.exec_driver_sql("UPDATE semsearch.api_keys SET expires_at = clock_timestamp()")
    with pytest.raises(InvalidInput, match="none that is valid"):
        server.needs_keys(model_db, elsewhere)
    assert key


@pytest.mark.parametrize(("behind_proxy", "scheme"), [(True, "https"), (False, "http")])
def test_the_page_names_the_address_that_a_proxy_was_asked_at(
    model_db: Database, behind_proxy: bool, scheme: str
) -> None:
    headers = {"host": "kb.example.org", "x-forwarded-proto": "http, https"}
    with opened(model_db, behind_proxy=behind_proxy) as client:
        assert f" {scheme}://kb.example.org/v1/collections" in client.get("/", headers=headers).text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody but its maker vouches for, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    command = ["openssl", "req", "-x509", *kind, *subject, "-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run(command, check=True, capture_output=True)
    return files


def test_tls_of_its_own(serve: Serve, new_key: NewKey, certificate: tuple[Path, Path]) -> None:
    key = new_key("read")
    running = serve(host="0.0.0.0", tls_certificate=certificate[0], tls_key=certificate[1])
    url = running.url.replace("0.0.0.0", "127.0.0.1")
    assert url.startswith("https://")
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    with httpx2.Client(base_url=url, verify=trusted, timeout=30) as client:
        assert client.get("/v1/collections").status_code == 401
        assert client.get("/v1/collections", headers={"authorization": f"Bearer {key}"}).status_code == 200
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url, timeout=30)
    with pytest.raises(httpx2.HTTPError):
        httpx2.get(url.replace("https", "http") + "/healthz", timeout=30).raise_for_status()
    options = web.Options(tls_certificate=certificate[0], tls_key=certificate[1])
    assert server.tls(options).minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_handshake_that_does_not_end_is_not_waited_for(
    serve: Serve, new_key: NewKey, certificate: tuple[Path, Path]
) -> None:
    new_key("read")
    running = serve(tls_certificate=certificate[0], tls_key=certificate[1], header_seconds=0.3)
    with socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2])), timeout=30) as silent:
        assert silent.recv(1) == b""


def test_what_sql_asks_is_answered_without_a_worker(
    serve: Serve, notes: Collection, module_database_url: str, provider: Provider
) -> None:
    serve()
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        connection.execute("CALL semsearch.embed('notes', 'a query', '1 minute')")
        found = connection.execute("SELECT count(*) FROM semsearch.search('notes', 'a query')").fetchone()
    assert found == (0,)


def test_a_worker_that_fails_is_told(db: Database, settings: Settings) -> None:
    from semsearch.web.background import InlineWorker

    with psycopg.connect(str(settings.database_url and settings.database_url.get_secret_value())) as connection:
        connection.execute("UPDATE semsearch.alembic_version SET version_num = '0001'")
    stop = threading.Event()
    worker = InlineWorker(settings, 1.0, stop)
    until(lambda: worker.failure is not None)
    assert isinstance(worker.failure, semsearch.SchemaMismatch)
    stop.set()
    worker.close()


def test_serving_needs_its_extra(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("semsearch.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'semsearch[serve]'" in cli("serve", code=2).err
