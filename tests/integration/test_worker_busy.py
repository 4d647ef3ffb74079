"""A provider that asks a worker to wait, or fails: what is charged, and who is sent meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.embedders import Embedder
from semsearch.errors import ModelUnavailable, ProviderBusy
from semsearch.pipeline import Halted, Pipeline
from semsearch.road import Road
from semsearch.store import leases
from semsearch.worker import group
from tests.integration.hands import inputs, searchable
from tests.integration.working import put, run
from tests.provider import Provider

Sql = psycopg.Connection[Any]

LEASES = "SELECT document_id, attempt, reason, not_before > now() FROM semsearch.leases ORDER BY document_id"
LIMITS = [{"fault": "status", "status": 429}, {"fault": "status", "status": 503, "headers": {"Retry-After": "1"}}]


@pytest.fixture
def pipeline(notes: Collection) -> Any:
    with leases.Worker(notes._pools.address) as worker:
        yield Pipeline(worker, patient=True)


@pytest.fixture(autouse=True)
def _impatient(notes: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between the three tries of a request."""
    monkeypatch.setattr(notes._embedder(), "_wait", lambda seconds: None)
    monkeypatch.setattr(group, "LONGEST_PAUSE", 0.01)


def road(collection: Collection, embedder: Callable[[], Embedder] | None = None) -> Road:
    return Road(
        collection._pools.address, collection._pools.writing, collection.space, embedder or collection._embedder
    )


def edit(collection: Collection, id: str) -> None:
    collection.put([Document(id, f"the text of {id}")], wait=False)


def check_busy(pipeline: Pipeline, *roads: Road) -> None:
    with pytest.raises(Halted) as halted:
        pipeline.run(lambda: roads)
    assert isinstance(halted.value.error, ProviderBusy)


@pytest.mark.parametrize("fault", LIMITS, ids=["429", "503"])
def test_a_lone_edit_is_not_charged_for_a_limit(
    notes: Collection, pipeline: Pipeline, provider: Provider, sql: Sql, fault: dict[str, Any]
) -> None:
    edit(notes, "before")
    assert pipeline.run(lambda: [road(notes)]) == 1  # others are answered
    for _ in range(2):
        edit(notes, "a")
        provider.script(*[fault] * 3)
        check_busy(pipeline, road(notes))
        assert sql.execute(LEASES).fetchall() == []  # to be claimed again at once
    assert pipeline.run(lambda: [road(notes)]) == 1
    assert searchable(notes).keys() == {"before", "a"}


def test_a_lone_edit_that_fails_while_others_are_answered_is_charged(
    notes: Collection, pipeline: Pipeline, provider: Provider, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases.random, "uniform", lambda *_: 0.0)  # a pause that is over at once is charged, too
    edit(notes, "before")
    assert pipeline.run(lambda: [road(notes)]) == 1
    edit(notes, "a")
    provider.script(*[{"fault": "status", "status": 500}] * 3)
    check_busy(pipeline, road(notes))
    ((id, attempt, reason, _),) = sql.execute(LEASES).fetchall()
    assert (id, attempt) == ("a", 1)
    assert "is busy or failing (500" in reason


def test_a_lone_edit_steps_aside_for_others_only(
    notes: Collection, pipeline: Pipeline, provider: Provider, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semsearch.pipeline.BUSY_PAUSE", 600.0)
    edit(notes, "a")
    provider.script(*[LIMITS[0]] * 3)
    check_busy(pipeline, road(notes))
    assert sql.execute(LEASES).fetchall() == []
    edit(notes, "b")
    monkeypatch.setattr("semsearch.work.CLAIM", 1)
    monkeypatch.setattr(pipeline, "_paces", type(pipeline._paces)(pipeline._paces.default_factory))
    provider.script(*[LIMITS[0]] * 3)
    check_busy(pipeline, road(notes))
    assert sql.execute(LEASES).fetchall() == [("a", 0, None, True)]
    assert pipeline.run(lambda: [road(notes)]) == 1
    assert searchable(notes).keys() == {"b"}


def test_a_model_that_is_busy_when_it_is_opened_charges_nobody(notes: Collection, pipeline: Pipeline, sql: Sql) -> None:
    def busy() -> Embedder:
        raise ProviderBusy("scripted")

    edit(notes, "before")
    pipeline.run(lambda: [road(notes)])
    edit(notes, "a")
    check_busy(pipeline, road(notes, busy))
    assert sql.execute(LEASES).fetchall() == []


def test_the_road_behind_one_that_fails_has_its_turn_next(
    model_db: Database, notes: Collection, two: tuple[Collection, Collection], pipeline: Pipeline
) -> None:
    def busy() -> Embedder:
        raise ProviderBusy("scripted")

    _, small = two
    put(notes, 2)
    put(small, 2)
    roads = road(notes, busy), road(small)
    check_busy(pipeline, *roads)
    check_busy(pipeline, *roads)
    assert len(searchable(small)) == 2


def test_a_worker_ends_when_the_provider_was_busy_once(
    model_db: Database, notes: Collection, provider: Provider, sql: Sql
) -> None:
    provider.script(*[LIMITS[0]] * 3)
    put(notes, 1)
    run(model_db)
    assert inputs(provider) == ["notes d 0"] * 4
    assert sql.execute("SELECT FROM semsearch.failures").rowcount == 0


def test_once_ends_when_its_collection_is_blocked(
    model_db: Database, two: tuple[Collection, Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    from semsearch import embedders

    def refuse(*arguments: object, **options: object) -> Embedder:
        raise ModelUnavailable("no key")

    monkeypatch.setattr(embedders, "load", refuse)
    for collection in two:
        put(collection, 3)
    run(model_db, once=True, until_idle=False)
    assert [collection.status().state for collection in two] == ["blocked", "blocked"]
