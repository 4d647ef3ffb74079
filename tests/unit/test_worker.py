"""The worker's parts that need no database: how many pipelines, how long to wait, what is said once."""

from __future__ import annotations

import urllib.request
from contextlib import closing

import pytest

from semsearch.errors import DatabaseUnavailable, InvalidInput
from semsearch.road import Stored
from semsearch.store.backlog import Backlog
from semsearch.worker import Options, outage
from semsearch.worker.metrics import Metrics
from semsearch.worker.outage import Outage


@pytest.mark.parametrize(
    ("options", "provider", "expected"),
    [
        (Options(), "sentence-transformers", 1),
        (Options(), "openai", 4),
        (Options(), "", 1),
        (Options(concurrency=7), "sentence-transformers", 7),
        (Options(once=True), "openai", 1),
    ],
)
def test_a_local_model_has_one_pipeline_a_provider_several(options: Options, provider: str, expected: int) -> None:
    assert options.pipelines(provider) == expected


def test_an_outage_is_told_once_and_waited_out_with_growing_pauses(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage.random, "uniform", lambda least, most: most)
    away = Outage()
    with caplog.at_level("INFO", logger="semsearch.worker"):
        waits = [away.met(DatabaseUnavailable("it is gone.")) for _ in range(12)]
        away.over()
        away.over()
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 30, 30]
    assert [record.getMessage() for record in caplog.records] == ["database_unavailable", "database_available"]
    assert caplog.records[0].__dict__["fields"] == {"reason": "it is gone."}


def stored(**counts: int) -> Stored:
    fields = ("claimed", "documents", "failed", "delayed", "fenced", "chunks", "embedded", "cached", "tokens")
    return Stored(**{**dict.fromkeys(fields, 0), **counts})


def test_metrics_are_counted_by_collection() -> None:
    with closing(Metrics(0)) as metrics:
        metrics.count("notes", stored(documents=3, claimed=4, fenced=1, tokens=20))
        metrics.count("notes", stored(documents=2, claimed=2, tokens=-5))  # an estimate that was put right
        metrics.show([Backlog("notes", 7, 1.5), Backlog("gone", 1, 1.0)])
        metrics.show([Backlog("notes", 6, 2.5)])
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics", timeout=10) as answer:
            lines = [line for line in answer.read().decode().splitlines() if line.startswith("semsearch")]
    told = {name: value for name, _, value in (line.rpartition(" ") for line in lines) if "_created" not in name}
    assert told['semsearch_documents_total{collection="notes"}'] == "5.0"
    assert told['semsearch_attempts_total{collection="notes"}'] == "6.0"
    assert told['semsearch_fenced_total{collection="notes"}'] == "1.0"
    assert told['semsearch_tokens_total{collection="notes"}'] == "20.0"
    assert told['semsearch_backlog_documents{collection="notes"}'] == "6.0"
    assert told['semsearch_lag_seconds{collection="notes"}'] == "2.5"
    assert not [name for name in told if "gone" in name]


def test_a_port_that_is_taken_is_said_in_one_sentence() -> None:
    with closing(Metrics(0)) as first, pytest.raises(InvalidInput, match=f"127.0.0.1:{first.port}"):
        Metrics(first.port)
