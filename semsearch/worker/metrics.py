"""The worker's figures for Prometheus, by collection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from semsearch.errors import InvalidInput
from semsearch.road import Stored
from semsearch.store.backlog import Backlog

LOOPBACK = "127.0.0.1"  # whoever wants them elsewhere puts a proxy in front, which asks who is there

COUNTERS = {
    "documents": "Documents stored or removed.",
    "chunks": "Chunks stored.",
    "embedded": "Texts that went to the model.",
    "cached": "Texts that the cache of embeddings had.",
    "tokens": "Tokens that the model has read.",
    "claimed": "Attempts: documents claimed.",
    "fenced": "Documents that changed, or were being deleted, while they were embedded.",
    "delayed": "Documents to be tried again later.",
    "failed": "Documents given up.",
}


class Metrics:
    """Served at http://127.0.0.1:port/metrics until closed."""

    def __init__(self, port: int) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

        registry = CollectorRegistry()

        def made(kind: Any, name: str, what: str) -> Any:
            return kind(f"semsearch_{name}", what, ["collection"], registry=registry)

        self._counters = {
            name: made(Counter, "attempts" if name == "claimed" else name, what) for name, what in COUNTERS.items()
        }
        self._backlog = made(Gauge, "backlog_documents", "Documents that wait.")
        self._lag = made(Gauge, "lag_seconds", "For how long the oldest of them has waited.")
        try:
            self._server, self._thread = start_http_server(port, addr=LOOPBACK, registry=registry)
        except OSError as error:
            raise InvalidInput(f"metrics cannot be served at {LOOPBACK}:{port}: {error.strerror}.") from error

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def count(self, collection: str, stored: Stored) -> None:
        """Add what became of a portion."""
        for name, counter in self._counters.items():
            # never negative: a budget's estimate that is put right
            counter.labels(collection).inc(max(0, getattr(stored, name)))

    def show(self, backlogs: Iterable[Backlog]) -> None:
        """What waits now."""
        for gauge in (self._backlog, self._lag):
            gauge.clear()
        for one in backlogs:
            self._backlog.labels(one.name).set(one.documents)
            self._lag.labels(one.name).set(one.lag)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
