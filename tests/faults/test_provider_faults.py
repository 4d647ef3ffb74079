"""Ingestion while the embedding provider fails, over real HTTP: nothing is lost and every embedding is right.

Faults E1 to E3 and E10: busy, broken and hanging providers, refused keys and settings. What the embedder itself makes
of an answer is tested in tests/unit/embedders; here it is what becomes of the documents.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

import semsearch
from semsearch.collection import Collection
from semsearch.config import Settings
from semsearch.embedders import openai_http
from semsearch.errors import ModelUnavailable, ProviderBusy
from tests.faults import stored
from tests.faults.waiting import until
from tests.integration.hands import MODEL
from tests.provider import Provider

Sql = psycopg.Connection[Any]

PASSING: dict[str, dict[str, Any]] = {
    "429": {"fault": "status", "status": 429},
    "429 for a second": {"fault": "status", "status": 429, "headers": {"Retry-After": "1"}},
    "500": {"fault": "status", "status": 500},
    "502 in HTML": {"fault": "status", "status": 502, "body": "<html>", "headers": {"Content-Type": "text/html"}},
    "503": {"fault": "status", "status": 503, "body": ""},
    "504": {"fault": "status", "status": 504},
    "reset mid-body": {"fault": "reset"},
    "truncated JSON": {"fault": "raw", "cut": True},
    "HTML": {"fault": "raw", "body": "<html>", "content_type": "text/html"},
    "error as success": {"fault": "raw", "body": '{"error": {"message": "overloaded"}}'},
    "gzip bomb": {"fault": "bomb"},
}

FINAL: dict[str, tuple[dict[str, Any], str]] = {
    "401": ({"status": 401}, "rejects the key: set OPENAI_API_KEY"),
    "403": ({"status": 403}, "does not allow this key to use openai:test-model"),
    "404": ({"status": 404, "body": {"error": {"code": "model_not_found"}}}, "does not have the model"),
    "400 unknown parameter": (
        {"status": 400, "body": {"error": {"code": "unknown_parameter", "param": "dimensions"}}},
        "does not take the settings of openai:test-model",
    ),
    "quota": ({"status": 429, "body": {"error": {"code": "insufficient_quota"}}}, "no quota left"),
}


@pytest.fixture
def waits(notes: Collection, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, told instead of waited."""
    told: list[float] = []
    monkeypatch.setattr(notes._embedder(), "_wait", told.append)
    return told


@pytest.fixture
def impatient(notes: Collection, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A request takes a second at most."""
    with openai_http.connect(provider.url, "sk-test", 1.0) as client:
        monkeypatch.setattr(notes._embedder(), "_client", client)
        yield


@pytest.mark.parametrize("kind", ["429 for a second", "503", "reset mid-body"])
def test_what_passes_costs_no_document(kind: str, notes: Collection, provider: Provider, waits: list[float]) -> None:
    texts = stored.texts(20)
    provider.script(PASSING[kind], PASSING[kind])
    assert notes.put(stored.documents(texts)).failed == {}
    assert len(provider.calls) == 3
    assert len(waits) == 2
    stored.check(notes, texts)
    stored.check_waiting(notes, ())


@pytest.mark.parametrize("kind", PASSING)
def test_what_does_not_pass_leaves_everything_to_the_next_run(
    kind: str, notes: Collection, provider: Provider, waits: list[float]
) -> None:
    texts = stored.texts(20)
    provider.script(*[PASSING[kind]] * 3)
    with pytest.raises(ProviderBusy):
        notes.put(stored.documents(texts))
    assert len(provider.calls) == 3
    stored.check(notes, {})
    stored.check_waiting(notes, texts)
    assert notes.work().embedded == 20
    stored.check(notes, texts)


def test_a_provider_that_hangs_is_left_after_a_while(
    notes: Collection, provider: Provider, waits: list[float], impatient: None
) -> None:
    texts = stored.texts(5)
    provider.script(*[{"fault": "hang", "seconds": 5}] * 3)
    with pytest.raises(ProviderBusy, match=f"{provider.address} does not answer in time"):
        notes.put(stored.documents(texts))
    stored.check_waiting(notes, texts)
    notes.work()
    stored.check(notes, texts)


def test_a_provider_that_goes_away_loses_nothing(module_database_url: str, tmp_path: Path) -> None:
    texts = stored.texts(5)
    with Provider.start() as leaving:
        settings = Settings(
            database_url=module_database_url,
            home=tmp_path,
            openai_api_key=SecretStr("sk-test"),
            openai_base_url=leaving.url,
        )
        db = semsearch.connect(settings=settings)
        collection = db.create_collection("left", model=MODEL)
    try:
        collection._embedder()._wait = lambda seconds: None  # type: ignore[attr-defined]
        with pytest.raises(ProviderBusy, match=f"{leaving.address} cannot be reached"):
            collection.put(stored.documents(texts))
        stored.check_waiting(collection, texts)
    finally:
        db.drop_collection("left")
        db.close()


def test_a_wait_the_provider_asks_for_is_kept(notes: Collection, provider: Provider, waits: list[float]) -> None:
    moment = formatdate(time.time() + 30, usegmt=True)
    provider.script(
        {"fault": "status", "status": 429, "headers": {"Retry-After": "7"}},
        {"fault": "status", "status": 429, "headers": {"Retry-After": moment}},
    )
    notes.put(stored.documents(stored.texts(3)))
    assert 7 <= waits[0] <= 8  # and up to a second more, so that not all come back together
    assert 20 <= waits[1] <= 33


def test_a_fault_in_the_middle_of_a_load_costs_only_what_is_not_done(
    notes: Collection, provider: Provider, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semsearch.work.CLAIM", 4)
    texts = stored.texts(20)
    broken = {"fault": "status", "status": 503}
    provider.script({"fault": "none"}, {"fault": "none"}, broken, broken, broken)
    with pytest.raises(ProviderBusy):
        notes.put(stored.documents(texts))
    done = dict(list(texts.items())[:8])
    stored.check(notes, done)
    stored.check_waiting(notes, texts.keys() - done.keys())
    assert notes.work().embedded == 12
    stored.check(notes, texts)


@pytest.mark.parametrize("kind", FINAL)
def test_what_needs_a_person_is_asked_once_and_told(
    kind: str, notes: Collection, provider: Provider, waits: list[float]
) -> None:
    fault, sentence = FINAL[kind]
    texts = stored.texts(20)
    provider.rules(always={"fault": "status", **fault})
    with pytest.raises(ModelUnavailable, match=sentence):
        notes.put(stored.documents(texts))
    assert len(provider.calls) == 1
    assert waits == []
    stored.check_waiting(notes, texts)
    provider.rules()  # the person has put it right
    assert notes.work().embedded == 20
    stored.check(notes, texts)


# While it hangs

# Whoever is between two statements of a short transaction may be met.
OPEN = """
SELECT pid, xact_start FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'semsearch%' AND state = 'idle in transaction'
  AND clock_timestamp() - xact_start > interval '1 s'
"""


def test_no_transaction_is_open_while_the_provider_hangs(notes: Collection, provider: Provider, sql: Sql) -> None:
    provider.script({"fault": "hang", "seconds": 5})
    texts = stored.texts(10)
    problems: list[BaseException] = []

    def put() -> None:
        try:
            notes.put(stored.documents(texts))
        except BaseException as problem:
            problems.append(problem)

    putting = threading.Thread(target=put)
    putting.start()
    until(lambda: provider.calls or problems)
    seen: list[list[Any]] = []
    begun = time.monotonic()
    while time.monotonic() - begun < 3:  # it hangs for longer than that
        seen.append(sql.execute(OPEN).fetchall())
        time.sleep(0.1)
    assert stored.searchable(notes) == {}
    putting.join()
    assert problems == []
    assert len(seen) >= 2
    assert [found for found in seen if found] == []
    stored.check(notes, texts)
