"""The claim: what comes first, what is looked at and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from semsearch.collection import Collection
from semsearch.store import leases, tasks
from semsearch.store.tasks import Claim, Place

Sql = psycopg.Connection[Any]
Take = Callable[..., list[str]]

EDIT, BACKFILL = 0, 1


def enqueue(collection: Collection, sql: Sql, lane: int, *ids: str) -> None:
    sql.cursor().executemany(
        "INSERT INTO semsearch.tasks (collection_id, document_id, lane) VALUES (%s, %s, %s)",
        [(collection.space.collection_id, id, lane) for id in ids],
    )


def hold(collection: Collection, sql: Sql, count: int) -> None:
    """As if another worker had claimed the first so many."""
    sql.execute(
        """
        INSERT INTO semsearch.leases
            (collection_id, document_id, token, version, worker, attempt, claimed_at, expires_at)
        SELECT collection_id, document_id, 0, version, 0, 1, now(), now() + interval '1 min'
        FROM semsearch.tasks WHERE collection_id = %s ORDER BY lane, version LIMIT %s
        """,
        (collection.space.collection_id, count),
    )


@pytest.fixture
def claim(notes: Collection, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Claim]]:
    monkeypatch.setattr(tasks, "LEAST_WINDOW", 1)  # small windows for small tests

    def take(count: int, place: Place | None = None) -> list[Claim]:
        with notes._pools.writing.begin() as connection:
            return tasks.claim(connection, notes.space, 1, count, 60, place)

    return take


@pytest.fixture
def take(claim: Callable[..., list[Claim]]) -> Take:
    return lambda count, place=None: [one.document_id for one in claim(count, place)]


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number:03}" for number in range(count)]


def test_edits_come_first_but_a_fifth_is_of_the_backfill(notes: Collection, sql: Sql, take: Take) -> None:
    enqueue(notes, sql, BACKFILL, *names("b", 50))
    enqueue(notes, sql, EDIT, *names("e", 50))
    assert take(10) == [*names("b", 2), *names("e", 8)]
    assert take(10) == ["b002", "b003", *names("e", 16)[8:]]


@pytest.mark.parametrize("lane", [EDIT, BACKFILL])
def test_one_lane_has_it_all_when_the_other_is_empty(notes: Collection, sql: Sql, take: Take, lane: int) -> None:
    enqueue(notes, sql, lane, *names("d", 20))
    assert take(10) == names("d", 10)


def test_what_one_lane_leaves_the_other_takes(notes: Collection, sql: Sql, take: Take) -> None:
    enqueue(notes, sql, BACKFILL, *names("b", 20))
    enqueue(notes, sql, EDIT, "e")
    assert take(10) == [*names("b", 9), "e"]


def test_a_document_in_both_lanes_is_claimed_once(notes: Collection, sql: Sql, take: Take) -> None:
    enqueue(notes, sql, BACKFILL, "d")
    enqueue(notes, sql, EDIT, "d")
    assert take(10) == ["d"]
    assert take(10) == []


def test_a_claim_by_an_older_task_gives_no_new_attempts(
    notes: Collection, sql: Sql, claim: Callable[..., list[Claim]]
) -> None:
    enqueue(notes, sql, BACKFILL, "d")
    enqueue(notes, sql, EDIT, "d")
    assert [one.attempt for one in claim(10)] == [1]
    sql.execute("UPDATE semsearch.leases SET expires_at = now()")
    assert [one.attempt for one in claim(1)] == [2]  # by one task only: that of the backfill, which is older


def test_a_text_that_changed_is_given_new_attempts_whatever_task_it_is_claimed_by(
    notes: Collection, sql: Sql, claim: Callable[..., list[Claim]]
) -> None:
    enqueue(notes, sql, EDIT, "d")
    claim(1)
    sql.execute("UPDATE semsearch.leases SET expires_at = now()")
    enqueue(notes, sql, EDIT, "d")
    assert [one.attempt for one in claim(1)] == [1]


def test_what_others_hold_is_looked_at_once_not_with_every_claim(notes: Collection, sql: Sql, take: Take) -> None:
    enqueue(notes, sql, BACKFILL, *names("d", 100))
    place = Place()
    hold(notes, sql, 90)
    # Four tasks are looked at for each document asked for: two windows of 40 are held by others, then come ten free.
    assert [take(10, place), take(10, place)] == [[], []]
    assert place.further
    assert take(10, place) == names("d", 100)[90:]
    assert take(10, place) == []
    assert not place.further  # that was the end: the next look begins at the head


def test_a_claim_stays_where_it_found_enough(notes: Collection, sql: Sql, take: Take) -> None:
    enqueue(notes, sql, BACKFILL, *names("d", 200))
    place = Place()
    hold(notes, sql, 50)
    assert take(10, place) == []
    stays = place.backfill
    assert stays > 0
    assert [len(take(10, place)) for _ in range(2)] == [10, 10]
    assert place.backfill == stays


def test_what_has_become_free_at_the_head_is_found_again(
    notes: Collection, sql: Sql, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "AGAIN", 0.0)
    enqueue(notes, sql, EDIT, *names("d", 100))
    place = Place()
    hold(notes, sql, 50)
    assert take(10, place) == []
    assert take(10, place) == names("d", 60)[50:]
    sql.execute("UPDATE semsearch.leases SET expires_at = now() WHERE document_id = 'd003'")
    assert take(5, place) == ["d003"]


def test_a_document_backs_off_the_longer_the_more_often_it_failed(
    notes: Collection, sql: Sql, claim: Callable[..., list[Claim]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases.random, "uniform", lambda least, most: most)
    enqueue(notes, sql, EDIT, "d")
    waits = []
    for _ in range(12):
        claims = claim(1)
        with notes._pools.writing.begin() as connection:
            leases.back_off(connection, notes.space, claims, {"d": "why"})
        assert claim(1) == []
        row = sql.execute("SELECT round(extract(epoch FROM not_before - expires_at)), reason FROM semsearch.leases")
        seconds, reason = row.fetchone() or (0, "")
        waits.append(int(seconds))
        assert reason == "why"
        sql.execute("UPDATE semsearch.leases SET not_before = now()")
    assert waits == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]
    enqueue(notes, sql, EDIT, "d")
    assert [(one.attempt, one.reason) for one in claim(1)] == [(1, None)]  # another text, another chance


def test_leases_that_nobody_needs_are_tidied_away(notes: Collection, sql: Sql, take: Take) -> None:
    enqueue(notes, sql, EDIT, "gone", "there", "held")
    take(3)
    sql.execute("UPDATE semsearch.leases SET expires_at = now() WHERE document_id <> 'held'")
    sql.execute("DELETE FROM semsearch.tasks WHERE document_id <> 'there'")
    with notes._pools.writing.begin() as connection:
        leases.tidy(connection)
    left = sql.execute("SELECT document_id FROM semsearch.leases ORDER BY document_id").fetchall()
    assert left == [("held",), ("there",)]
