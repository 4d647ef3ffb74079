"""Text search by HTTP, as `semsearch serve` does it in a process of its own, for 1, 8 and 64 clients at once.

Beside it, on the same documents: the model alone, one query at a time and in batches, and the database alone, by
prepared statements of psycopg. Distinct queries are asked once each, repeated ones are 32 in turn. The clients run on
the same machine and take their share of it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psycopg
from pgvector.psycopg import register_vector

import semsearch
from semsearch import Collection, Settings, embedders
from semsearch.store.connection import Address
from tests.benchmarks import home, shared_data
from tests.benchmarks.home import MODEL
from tests.benchmarks.report import Report

NAME = "serving"
DOCUMENTS, QUERIES = "dbpedia-entity-5k", "clinc150"
CLIENTS = (1, 8, 64)
USUAL = 8
REPEATED = 32
SLOW = 200
BATCH = 32
TOP_K = 10
ALONE = 15.0  # ms; more is a wait for nothing, such as for an acknowledgement (40 ms)
REFUSED = 100_000_000  # bytes of a body


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("--queries", type=int, default=2000, help="distinct queries for each number of clients")
    parser.add_argument("--sample", type=int, help="search so many documents only: quick, and not comparable to others")
    options = parser.parse_args(arguments)
    documents = shared_data.retrieval_set(DOCUMENTS).documents[: options.sample]
    texts = _queries((len(CLIENTS) + 2) * options.queries)
    report = Report(NAME, f"{len(documents):,} documents of {DOCUMENTS} with {MODEL}, queries of {QUERIES}")
    with home.temporary() as folder:
        settings = Settings(home=folder / "home")
        with semsearch.connect(settings=settings) as db:
            report.ask(db)
            collection = db.create_collection("entities", model=MODEL)
            collection.put(documents)
            limits(report, settings, collection, texts, options.queries // 2)
            with served(folder) as server:
                measure(report, server, texts, options.queries)
    return report.finish()


def _queries(number: int) -> list[str]:
    """So many real questions; where there are too few, with a number behind them."""
    found: list[str] = []
    for path in sorted(shared_data.folder(QUERIES).glob("*.jsonl*")):
        found += [row["text"] for row in shared_data.rows(path)]
    distinct = list(dict.fromkeys(found))
    return [f"{text} {turn}" if turn else text for turn in range(number // len(distinct) + 1) for text in distinct][
        :number
    ]


def limits(report: Report, settings: Settings, collection: Collection, texts: list[str], number: int) -> None:
    """What the model and the database do alone."""
    embedder = embedders.load(MODEL, settings)
    embedder.embed_queries(texts[:BATCH])
    asked = texts[-number:]
    singly = _rate(number, lambda: [embedder.embed_query(text) for text in asked])
    batches = [asked[start : start + BATCH] for start in range(0, number, BATCH)]
    report.add("the model alone, one by one", singly, "queries/s")
    report.add(
        f"the model alone, {BATCH} at once",
        _rate(number, lambda: [embedder.embed_queries(b) for b in batches]),
        "queries/s",
    )
    embeddings = np.concatenate([embedder.embed_queries(batch) for batch in batches])
    for threads in (1, USUAL):
        with Address(settings) as address:
            seconds = _statements(address, collection, embeddings, threads)
        report.add(f"the database alone, {threads} connections", len(embeddings) / seconds, "searches/s")


def _rate(number: int, work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return number / (time.perf_counter() - begun)


def _statements(address: Address, collection: Collection, embeddings: np.ndarray, threads: int) -> float:  # type: ignore[type-arg]
    """Seconds that the same searches take as prepared statements."""
    table = collection.space.table_name
    statement = (
        f"SELECT document_id, ordinal, text, metadata, embedding <=> %(e)s FROM semsearch.{table} "
        f"ORDER BY embedding <=> %(e)s LIMIT {TOP_K}"
    )

    def ask(some: np.ndarray) -> None:  # type: ignore[type-arg]
        with psycopg.connect(address.conninfo or "", autocommit=True) as connection:
            register_vector(connection)
            for embedding in some:
                connection.execute(statement, {"e": embedding}, prepare=True).fetchall()

    begun = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(ask, np.array_split(embeddings, threads)))
    return time.perf_counter() - begun


@dataclass
class Server:
    """`semsearch serve`, running."""

    url: str
    process: subprocess.Popen[str]

    @property
    def address(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def megabytes(self) -> float:
        """What it has had of memory at most."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found
        return int(found[1]) / 1024


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    environment = {**os.environ, "SEMSEARCH_HOME": str(folder / "home")}
    log = folder / "serve.log"
    with log.open("w") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "semsearch", "serve", "--port", "0"], env=environment, stderr=written, text=True
        )
    try:
        while not (found := re.search(r"url=(\S+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield Server(found[1], process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@dataclass
class Asked:
    """What became of the requests of all clients."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    took: float = 0.0

    def figures(self) -> dict[str, float]:
        quantiles = {f"p{q}": round(float(np.quantile(self.seconds, q / 100)) * 1000, 1) for q in (50, 95, 99)}
        return {"requests/s": round(len(self.seconds) / self.took, 1), **quantiles}


def ask(server: Server, clients: int, texts: Sequence[str]) -> Asked:
    """Every client asks the next query as soon as it has its answer."""
    asked, waiting, lock = Asked(), iter(texts), threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection(server.address, timeout=60)
        while (text := next(waiting, None)) is not None:
            body = json.dumps({"query": text, "top_k": TOP_K})
            begun = time.perf_counter()
            connection.request("POST", "/v1/collections/entities/search", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            took = time.perf_counter() - begun
            with lock:
                asked.statuses[answer.status] += 1
                if answer.status == 200:
                    asked.seconds.append(took)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked.took = time.perf_counter() - begun
    return asked


def measure(report: Report, server: Server, texts: list[str], number: int) -> None:
    ask(server, USUAL, texts[-100:])  # the model is loaded, connections are made
    before = server.megabytes
    for turn, clients in enumerate(CLIENTS):
        _add(report, f"{clients} clients, distinct", ask(server, clients, texts[turn * number : (turn + 1) * number]))
        again = list(islice(cycle(texts[:REPEATED]), number))
        repeated = ask(server, clients, again)
        _add(report, f"{clients} clients, repeated", repeated)
        if clients == 1:
            report.add("one client, repeated, p50", float(np.median(repeated.seconds)) * 1000, "ms", at_most=ALONE)
    begin = len(CLIENTS) * number
    alone = ask(server, USUAL, texts[begin : begin + number // 2])
    with slow(server):
        beside = ask(server, USUAL, texts[begin + number // 2 : begin + number])
    _add(report, f"{USUAL} clients beside {SLOW} slow ones", beside)
    ratio = float(np.quantile(beside.seconds, 0.99)) / float(np.quantile(alone.seconds, 0.99))
    report.add(f"their p99 beside {SLOW} slow clients, against without", ratio, at_most=2.0)
    report.add("memory that 64 clients have added", server.megabytes - before, "MB")
    peak = server.megabytes
    for _ in range(8):
        _flood(server)
    report.add("memory that eight bodies of 100 MB have added", server.megabytes - peak, "MB", at_most=40.0)


def _add(report: Report, what: str, asked: Asked) -> None:
    report.add(what, asked.figures(), "requests/s, ms")
    refused = {str(status): count for status, count in asked.statuses.items() if status != 200}
    if refused:
        report.add(f"{what}: other answers", dict(refused), "requests")


@contextmanager
def slow(server: Server) -> Iterator[None]:
    """Clients that send a byte of a head every second, and begin anew when they are sent away."""
    over = threading.Event()

    def live() -> None:
        sockets: list[socket.socket] = []
        host, port = server.address.split(":")
        while not over.wait(1.0):
            while len(sockets) < SLOW:
                sockets.append(socket.create_connection((host, int(port))))
            kept = []
            for each in sockets:
                try:
                    each.sendall(b"G")
                    kept.append(each)
                except OSError:
                    each.close()
            sockets = kept
        for each in sockets:
            each.close()

    thread = threading.Thread(target=live)
    thread.start()
    time.sleep(2)
    try:
        yield
    finally:
        over.set()
        thread.join()


def _flood(server: Server) -> None:
    """Send a huge body without its length, as far as it is taken."""
    host, port = server.address.split(":")
    part = b"[" * 1_000_000
    head = b"POST /v1/collections/entities/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as sender:
        sender.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(REFUSED // len(part)):
                sender.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        except OSError:
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
