"""Workers: who takes what over from whom and when, and that they stop where they should."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

import semsearch
from semsearch import Document
from semsearch.collection import Collection
from semsearch.errors import Conflict, DatabaseUnavailable
from semsearch.store import leases, tasks
from semsearch.store.connection import Address
from semsearch.store.transactions import in_transaction
from tests.integration.hands import inputs, searchable
from tests.integration.working import until
from tests.provider import Provider

Sql = psycopg.Connection[Any]

LEASES = "SELECT document_id, worker, attempt, expires_at > now() AS alive FROM semsearch.leases ORDER BY document_id"


def three(collection: Collection) -> None:
    collection.put([Document("a", "one"), Document("b", "two"), Document("c", "three")], wait=False)


def sweep(collection: Collection) -> None:
    with collection._pools.writing.begin() as connection:
        leases.release_dead(connection)


def test_the_leases_of_a_dead_worker_are_released_at_once(notes: Collection, hands: Any, sql: Sql) -> None:
    three(notes)
    dead, heir = hands(notes), hands(notes)
    dead.claim()
    assert heir.claim() == []
    dead.worker.close()  # as when the process ends, however it ends: its connection is gone
    sweep(notes)
    assert heir.claim() == ["a", "b", "c"]
    assert [row[2] for row in sql.execute(LEASES)] == [2, 2, 2]  # the attempts stay charged


def test_the_leases_of_a_living_worker_are_left_alone(notes: Collection, hands: Any) -> None:
    three(notes)
    living, other = hands(notes), hands(notes)
    living.claim()
    sweep(notes)
    assert other.claim() == []


def test_two_sweeps_at_once_do_not_wait_for_each_other(notes: Collection, hands: Any, sql: Sql) -> None:
    three(notes)
    dead = hands(notes)
    dead.claim()
    dead.worker.close()
    with notes._pools.writing.begin() as one, notes._pools.writing.begin() as two:
        leases.release_dead(one)
        two.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        leases.release_dead(two)
    assert [row[3] for row in sql.execute(LEASES)] == [False, False, False]


def test_a_sweep_does_not_wait_for_a_worker_without_heartbeat_that_ends_a_lease(
    notes: Collection, hands: Any, sql: Sql, other_sql: Sql
) -> None:
    three(notes)
    dead = hands(notes)
    dead.claim()
    dead.worker.close()
    with other_sql.transaction(force_rollback=True):
        other_sql.execute("DELETE FROM semsearch.leases WHERE document_id = 'b'")
        with notes._pools.writing.begin() as sweeping:
            sweeping.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
            leases.release_dead(sweeping)
        assert [row[3] for row in sql.execute(LEASES)] == [False, True, False]
    sweep(notes)
    assert [row[3] for row in sql.execute(LEASES)] == [False, False, False]


def test_whoever_waits_takes_over_from_the_dead(notes: Collection, hands: Any) -> None:
    three(notes)
    dead = hands(notes)
    dead.claim()
    dead.worker.close()
    assert notes.work().embedded == 3
    assert notes.status().backlog == 0


def test_an_expired_lease_is_taken_over(notes: Collection, hands: Any, sql: Sql) -> None:
    three(notes)
    slow, other = hands(notes), hands(notes)
    slow.claim()
    sql.execute("UPDATE semsearch.leases SET expires_at = now()")
    assert other.claim() == ["a", "b", "c"]


def test_the_heartbeat_prolongs_only_its_own_living_leases(notes: Collection, hands: Any, sql: Sql) -> None:
    three(notes)
    worker, other = hands(notes), hands(notes)
    worker.claim(2)
    other.claim()
    sql.execute("UPDATE semsearch.leases SET expires_at = now() WHERE document_id = 'b'")
    sql.execute(leases.BEAT, (3600, [claim.token for claim in worker.claims]))
    late = sql.execute(
        "SELECT document_id FROM semsearch.leases WHERE expires_at > now() + interval '30 min'"
    ).fetchall()
    assert late == [("a",)]


def test_the_heartbeat_does_not_wait_for_its_worker_that_ends_a_lease(
    notes: Collection, hands: Any, sql: Sql, other_sql: Sql
) -> None:
    three(notes)
    worker = hands(notes)
    worker.claim()
    with other_sql.transaction(), sql.transaction():
        other_sql.execute("DELETE FROM semsearch.leases WHERE document_id = 'b'")
        sql.execute("SET LOCAL lock_timeout = '50ms'")
        assert sql.execute(leases.BEAT, (3600, [claim.token for claim in worker.claims])).rowcount == 2


def test_a_heartbeat_that_is_cut_off_connects_again(notes: Collection, hands: Any, sql: Sql) -> None:
    three(notes)
    worker = hands(notes, lease=0.3)
    worker.claim()
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND (classid, objid) = (%s, %s)"
    of_worker = (leases.WORKER_LOCK, worker.worker.number)
    assert sql.execute(held, of_worker).fetchone() == (1,)
    first = worker.worker._connection.info.backend_pid
    sql.execute("SELECT pg_terminate_backend(%s, 10000)", (first,))
    until(lambda: sql.execute(held, of_worker).fetchone() == (1,))
    sql.execute("UPDATE semsearch.leases SET expires_at = now() + interval '1 min'")
    until(lambda: sql.execute("SELECT FROM semsearch.leases WHERE expires_at > now() + interval '1 s'").rowcount == 0)
    assert worker.worker.error is None


def test_a_heartbeat_that_ends_says_why(notes: Collection, hands: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = hands(notes, lease=0.03).worker
    monkeypatch.setattr(worker, "_beat", lambda: 1 / 0)
    worker._thread.join(60)
    assert isinstance(worker.error, ZeroDivisionError)


def test_a_worker_is_listed_while_it_lives(notes: Collection, hands: Any, sql: Sql) -> None:
    listed = "SELECT number, process_id, version FROM semsearch.workers"
    worker = hands(notes).worker
    assert sql.execute(listed).fetchall() == [(worker.number, os.getpid(), semsearch.__version__)]
    worker.close()
    assert sql.execute(listed).fetchall() == []


def test_behind_a_pooler_the_leases_of_the_dead_expire(
    notes: Collection, hands: Any, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No session is a worker's own there, so that no lock tells whether it lives."""
    three(notes)
    monkeypatch.setattr(Address, "pooled", True)
    dead = hands(notes)
    assert dead.worker.number < 0
    dead.claim()
    dead.worker.close()
    sweep(notes)
    assert hands(notes).claim() == []
    sql.execute("UPDATE semsearch.leases SET expires_at = now()")
    assert hands(notes).claim() == ["a", "b", "c"]


def test_a_forked_child_does_not_work_with_its_parents_connections(notes: Collection, hands: Any) -> None:
    worker = hands(notes).worker
    worker._process -= 1  # as a child sees it
    with pytest.raises(Conflict, match="after a fork"):
        worker.number


def test_a_beat_reaches_the_database(notes: Collection, hands: Any, sql: Sql) -> None:
    three(notes)
    worker = hands(notes, lease=0.03)  # a beat every 10 ms
    worker.claim(1)
    sql.execute("UPDATE semsearch.leases SET expires_at = now() + interval '1 hour'")
    # the next beat makes it 30 ms from then on, however long it takes to come
    until(lambda: sql.execute("SELECT FROM semsearch.leases WHERE expires_at < now() + interval '1 min'").rowcount > 0)


def test_a_claim_takes_the_oldest_first_and_no_more_than_asked(notes: Collection, hands: Any) -> None:
    for id in ("z", "m", "a"):
        notes.put([Document(id, id)], wait=False)
    assert hands(notes).claim(2) == ["m", "z"]  # the two oldest, in the order of their ids
    assert hands(notes).claim(2) == ["a"]


def test_a_document_with_several_tasks_is_claimed_once(notes: Collection, hands: Any, sql: Sql) -> None:
    notes.put([Document("a", "one")], wait=False)
    notes.put([Document("a", "two")], wait=False)
    notes.put([Document("a", "three")], wait=False)
    assert notes.status().backlog == 1
    worker = hands(notes)
    assert worker.claim() == ["a"]
    worker.prepare()
    assert len(worker.works[0].versions) == 3
    assert worker.finish() == ["a"]
    assert sql.execute("SELECT count(*) FROM semsearch.tasks").fetchone() == (0,)


def test_an_attempt_is_charged_when_the_claim_commits(notes: Collection, hands: Any, sql: Sql) -> None:
    notes.put([Document("a", "one")], wait=False)
    for attempt in range(1, 4):
        worker = hands(notes)
        worker.claim()
        assert [claim.attempt for claim in worker.claims] == [attempt]
        sql.execute("UPDATE semsearch.leases SET expires_at = now()")
    notes.put([Document("a", "changed")], wait=False)  # another text is given a new chance
    worker = hands(notes)
    worker.claim()
    assert [claim.attempt for claim in worker.claims] == [1]


def test_claimed_documents_whose_task_is_gone_cost_nothing(
    notes: Collection, hands: Any, provider: Provider, sql: Sql
) -> None:
    three(notes)
    worker = hands(notes)
    worker.claim()
    sql.execute("DELETE FROM semsearch.tasks WHERE document_id <> 'b'")
    worker.prepare()
    assert worker.finish() == ["b"]
    assert sql.execute(LEASES).fetchall() == []


def test_texts_are_read_in_portions(notes: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "READ_BYTES", 10)
    notes.put([Document(f"d{number}", "x" * size) for number, size in enumerate((4, 6, 1, 30, 2))], wait=False)
    with notes._pools.writing.connect() as connection:
        claims = [tasks.Claim(f"d{number}", 1, 1) for number in range(5)]
        portions = [
            [claim.document_id for claim in portion] for portion in tasks.portions(connection, notes._space, claims)
        ]
    assert portions == [["d0", "d1"], ["d2"], ["d3"], ["d4"]]
    assert notes.work().embedded == 5


def test_a_worker_that_fails_gives_its_leases_back(notes: Collection, hands: Any, sql: Sql) -> None:
    three(notes)
    worker = hands(notes)
    worker.meanwhile(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        worker.step()
    assert sql.execute(LEASES).fetchall() == []
    assert notes.work().embedded == 3


def test_what_is_given_back_costs_no_attempt_and_keeps_those_before(notes: Collection, hands: Any, sql: Sql) -> None:
    three(notes)
    for _ in range(2):
        hands(notes).claim()
        sql.execute("UPDATE semsearch.leases SET expires_at = now()")
    worker = hands(notes)
    worker.meanwhile(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        worker.step()
    assert [row[2] for row in sql.execute(LEASES)] == [2, 2, 2]


def test_a_worker_closes_its_connection_when_it_cannot_begin(notes: Collection, sql: Sql) -> None:
    number = sql.execute("SELECT last_value FROM semsearch.worker_number").fetchone()
    sql.execute("ALTER SEQUENCE semsearch.worker_number RENAME TO hidden")
    try:
        with pytest.raises(DatabaseUnavailable, match="worker_number"):
            notes.work()
    finally:
        sql.execute("ALTER SEQUENCE semsearch.hidden RENAME TO worker_number")
    assert sql.execute("SELECT last_value FROM semsearch.worker_number").fetchone() == number


def test_leases_are_gone_when_all_is_done(notes: Collection, sql: Sql) -> None:
    three(notes)
    notes.work()
    assert sql.execute(LEASES).fetchall() == []
    assert sql.execute("SELECT count(*) FROM semsearch.tasks").fetchone() == (0,)


def test_whoever_loses_a_deadlock_tries_again(notes: Collection, sql: Sql) -> None:
    notes.put([Document("a", "one"), Document("b", "two")])
    pools = notes._pools
    tries: list[int] = []
    met = threading.Barrier(2)

    def lock(connection: Any, id: str) -> None:
        connection.exec_driver_sql("SET LOCAL deadlock_timeout = '10ms'")
        connection.exec_driver_sql(f"SELECT FROM semsearch.documents WHERE id = '{id}' FOR UPDATE")

    def crosswise(connection: Any, ids: str) -> str:
        tries.append(1)
        lock(connection, ids[0])
        if len(tries) <= 2:
            met.wait(60)
        lock(connection, ids[1])
        return ids

    done: list[str] = []
    other = threading.Thread(target=lambda: done.append(in_transaction(pools.writing, lambda c: crosswise(c, "ba"))))
    other.start()
    done.append(in_transaction(pools.writing, lambda connection: crosswise(connection, "ab")))
    other.join()
    assert sorted(done) == ["ab", "ba"]
    assert len(tries) >= 3  # the loser may lose again, when it is back before the winner has moved on


def test_connections_lost_while_embedding_lose_nothing(notes: Collection, hands: Any, sql: Sql) -> None:
    three(notes)
    assert searchable(notes) == {}
    terminate = """
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
    """
    worker = hands(notes)
    worker.meanwhile(lambda: sql.execute(terminate))
    # The pool notices and connects anew; but who is cut off in the middle of a claim is told.
    with contextlib.suppress(DBAPIError):
        worker.step()
    notes.work()
    assert len(searchable(notes)) == 3


def test_work_that_was_left_is_embedded_once(notes: Collection, provider: Provider) -> None:
    three(notes)
    notes.work()
    notes.work()
    assert sorted(inputs(provider)) == ["one", "three", "two"]
