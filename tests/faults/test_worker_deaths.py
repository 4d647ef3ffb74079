"""Workers that are killed by a text or stopped in the middle of one: others go on, and nothing stale appears.

Faults W2 and W4, each with real processes; kills at any moment are the business of the chaos run.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psycopg
import pytest

import semsearch
from semsearch import Document
from semsearch.collection import Collection
from semsearch.config import Settings
from semsearch.work import ALONE_FROM, MAX_ATTEMPTS
from tests.faults import stored
from tests.faults.forks import FORKS
from tests.faults.waiting import until
from tests.integration.hands import Hands
from tests.provider import Provider

Sql = psycopg.Connection[Any]


@pytest.fixture
def values(module_database_url: str, provider: Provider, tmp_path: Path) -> dict[str, Any]:
    """The settings, as they are handed to other processes."""
    return {
        "database_url": module_database_url,
        "home": tmp_path,
        "openai_api_key": "sk-test",
        "openai_base_url": provider.url,
    }


# A text that kills


def work_until_killed(values: dict[str, Any]) -> None:
    from semsearch.embedders.openai import OpenAIEmbedder

    embed = OpenAIEmbedder.embed_documents

    def embed_or_die(self: OpenAIEmbedder, texts: Any, **options: Any) -> Any:
        if any("deadly" in text for text in texts):
            os.kill(os.getpid(), signal.SIGKILL)
        return embed(self, texts, **options)

    OpenAIEmbedder.embed_documents = embed_or_die  # type: ignore[method-assign]
    with semsearch.connect(settings=Settings(**values)) as db:
        db.collection("notes").work()


def run(values: dict[str, Any]) -> int | None:
    process = FORKS.Process(target=work_until_killed, args=(values,))
    process.start()
    process.join(60)
    code = process.exitcode
    process.close()
    return code


@pytest.mark.parametrize("id", ["a first", "z last"])
def test_a_text_that_kills_its_worker_harms_no_other(
    id: str, notes: Collection, values: dict[str, Any], sql: Sql
) -> None:
    texts = stored.texts(12) | {f"y{number}": f"and {number}" for number in range(12)}
    notes.put([*stored.documents(texts), Document(id, "a deadly text")], wait=False)
    codes = [run(values)]
    while codes[-1] == -signal.SIGKILL:
        codes.append(run(values))
        if len(codes) == ALONE_FROM + 1:
            stored.check(notes, texts)  # from then on it is embedded alone, and after all others
    assert codes == [-signal.SIGKILL] * MAX_ATTEMPTS + [0]
    stored.check(notes, texts)
    failed = sql.execute("SELECT document_id, reason, attempts FROM semsearch.failures").fetchall()
    assert failed == [(id, f"given up: {MAX_ATTEMPTS} workers died while they embedded it", MAX_ATTEMPTS + 1)]
    assert notes.status().backlog == 0
    sql.execute("UPDATE semsearch.documents SET text = 'harmless' WHERE id = %s", (id,))
    assert run(values) == 0
    stored.check(notes, texts | {id: "harmless"})
    stored.check_waiting(notes, ())


# A worker that comes back


def step_once(values: dict[str, Any], lease: float) -> None:
    with semsearch.connect(settings=Settings(**values)) as db:
        worker = Hands(db.collection("notes"), lease)
        worker.step()
        worker.worker.close()


@pytest.fixture
def stopped(notes: Collection, values: dict[str, Any], provider: Provider) -> Iterator[BaseProcess]:
    """A worker that was stopped while it waited for the embedding of "version 1", until its lease had run out."""
    notes.put([Document("a", "version 1")], wait=False)
    provider.script({"fault": "none"}, {"fault": "slow", "seconds": 3})  # the probe, then the text
    process = FORKS.Process(target=step_once, args=(values, 0.5))
    process.start()
    try:
        until(lambda: len(provider.calls) == 2)
        assert process.pid
        os.kill(process.pid, signal.SIGSTOP)
        yield process
    finally:
        process.kill()  # one that stays stopped would be waited for at the end of the test run
        process.join()
        process.close()


def go_on(process: BaseProcess) -> None:
    assert process.pid
    os.kill(process.pid, signal.SIGCONT)
    process.join(60)
    assert process.exitcode == 0


def test_a_worker_stopped_for_longer_than_its_lease_stores_nothing_stale(
    notes: Collection, stopped: BaseProcess, hands: Any, sql: Sql
) -> None:
    other: Hands = hands(notes)
    until(other.step)  # once the lease has expired
    stored.check(notes, {"a": "version 1"})
    sql.execute("UPDATE semsearch.documents SET text = 'version 2'")
    assert other.step() == 1
    stored.check(notes, {"a": "version 2"})
    go_on(stopped)
    stored.check(notes, {"a": "version 2"})
    stored.check_waiting(notes, ())


def test_a_worker_stopped_for_longer_than_its_lease_leaves_a_new_version_to_do(
    notes: Collection, stopped: BaseProcess, hands: Any, sql: Sql
) -> None:
    other: Hands = hands(notes)
    until(other.claim)
    other.prepare()
    sql.execute("UPDATE semsearch.documents SET text = 'version 2'")
    go_on(stopped)  # of what it finds it stores the new version, or leaves it to the one who holds it
    assert other.finish() == []
    assert notes.status().backlog == 1  # what can be found may be old as long as the task says so
    until(lambda: other.step() or stored.searchable(notes))
    stored.check(notes, {"a": "version 2"})


def test_a_worker_that_comes_back_to_a_deleted_document_stores_nothing(
    notes: Collection, stopped: BaseProcess, hands: Any, sql: Sql
) -> None:
    sql.execute("DELETE FROM semsearch.documents")
    other: Hands = hands(notes)
    until(other.step)
    go_on(stopped)
    stored.check(notes, {})
    stored.check_waiting(notes, ())
