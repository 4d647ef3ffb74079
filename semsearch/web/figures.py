"""The figures of one application for Prometheus. No label comes from a request: routes are named as they are spelt."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from semsearch.store.backlog import Backlog

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Figures:
    """Counted while requests are answered; what waits in the database is measured when somebody asks."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "semsearch_http_requests",
            "Requests, by route and class of status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "semsearch_http_request_seconds",
            "From the head of a request to the end of its answer.",
            ["method", "route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.searches = Gauge("semsearch_searches_running", "Searches in flight.", registry=self.registry)
        self._backlog = self._by_collection("semsearch_backlog_documents", "Documents that wait.")
        self._lag = self._by_collection("semsearch_lag_seconds", "For how long the oldest of them has waited.")

    def _by_collection(self, name: str, what: str) -> Gauge:
        return Gauge(name, what, ["collection"], registry=self.registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, f"{status // 100}xx").inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self, backlogs: Iterable[Backlog]) -> bytes:
        """All of it as Prometheus reads it."""
        for gauge in (self._backlog, self._lag):
            gauge.clear()
        for one in backlogs:
            self._backlog.labels(one.name).set(one.documents)
            self._lag.labels(one.name).set(one.lag)
        return generate_latest(self.registry)
