"""The tests of faults are tested: each harmful change of the queue is noticed, a harmless one is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from semsearch.config import parse
from semsearch.store.connection import Address
from tests.faults import hand, mutant_list, mutants
from tests.faults.hand import Hand
from tests.faults.mutants import Mutant
from tests.faults.stage import SPECS, Stage

THREADS, CLAIMS, COUNT = 6, 20, 5  # 600 tasks, five at a time


@pytest.fixture(scope="module")
def address(module_database_url: str) -> Iterator[Address]:
    with hand.connect(module_database_url) as made:
        yield made


@pytest.fixture(scope="module")
def scene(address: Address, module_database_url: str) -> Iterator[Stage]:
    with Stage(address, module_database_url) as made:
        yield made


@pytest.fixture(scope="module")
def sql(module_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(parse(module_database_url), autocommit=True) as connection:
        yield connection


def named(mutant: Mutant) -> str:
    return mutant.name


@pytest.mark.parametrize("mutant", [each for each in mutant_list.HARMFUL if each.spec], ids=named)
def test_a_harmful_change_is_noticed(scene: Stage, sql: psycopg.Connection[Any], mutant: Mutant) -> None:
    with mutants.mutated(mutant, sql):
        assert next(scene.play(*SPECS[mutant.spec].scripts), None) is not None


@pytest.mark.parametrize("mutant", mutant_list.HARMLESS, ids=named)
def test_a_harmless_change_is_not_flagged(scene: Stage, sql: psycopg.Connection[Any], mutant: Mutant) -> None:
    with mutants.mutated(mutant, sql):
        assert list(scene.play(*SPECS[mutant.spec].scripts)) == []


def test_nothing_of_a_mutant_stays_behind(scene: Stage, sql: psycopg.Connection[Any]) -> None:
    for mutant in mutant_list.HARMFUL:
        if mutant.spec:
            with mutants.mutated(mutant, sql):
                pass
    assert list(scene.play(*SPECS["a delete"].scripts)) == []


def test_tasks_that_go_before_the_chunks_come_are_noticed(scene: Stage, sql: psycopg.Connection[Any]) -> None:
    """The worker dies between the two, and takes its transaction along."""
    mutant = mutant_list.BY_NAME["the tasks are gone before the chunks are stored"]
    assert not dies_while_storing(scene)
    with mutants.mutated(mutant, sql):
        assert dies_while_storing(scene)


def dies_while_storing(scene: Stage) -> object:
    scene.reset()
    worker = scene.workers["W1"]
    worker.claim()
    worker.read()
    worker.finish_open()
    assert worker._open
    worker._open.rollback()
    worker.commit()
    return scene._rest()


def double_claims(address: Address, scene: Stage) -> int:
    """Documents that two of several workers got, who claimed at the same moment."""
    scene.reset()
    scene.watch.execute(
        "INSERT INTO semsearch.tasks (collection_id, document_id) SELECT %s, 'd' || n FROM generate_series(1, %s) AS n",
        (scene.space.collection_id, THREADS * CLAIMS * COUNT),
    )
    barrier = threading.Barrier(THREADS)
    claimed: list[str] = []

    def claim(number: int) -> None:
        worker = Hand(address, scene.space, number)
        for _ in range(CLAIMS):
            barrier.wait(60)  # one that has failed comes no more
            claimed.extend(worker.claim(COUNT))
        worker.close()

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(claimed) - len(set(claimed))


def test_no_document_is_claimed_twice(address: Address, scene: Stage, sql: psycopg.Connection[Any]) -> None:
    assert double_claims(address, scene) == 0
    with mutants.mutated(mutant_list.BY_NAME["the guard of the claim is left out"], sql):
        assert any(double_claims(address, scene) for _ in range(5))


def test_the_claim_charges_the_attempt(scene: Stage, sql: psycopg.Connection[Any]) -> None:
    assert attempts_of_the_dying(scene) == 3
    with mutants.mutated(mutant_list.BY_NAME["the attempt is not charged by the claim"], sql):
        assert attempts_of_the_dying(scene) == 1


def attempts_of_the_dying(scene: Stage) -> int:
    """What a document is charged when three workers die of it."""
    scene.reset()
    for _ in range(3):
        scene.watch.execute(hand.EXPIRE)
        scene.workers["W1"].claim()
        scene.workers["W1"].crash()
    row = scene.watch.execute("SELECT attempt FROM semsearch.leases WHERE document_id = 'a'").fetchone()
    assert row
    return int(row[0])


def test_every_mutant_still_applies(sql: psycopg.Connection[Any]) -> None:
    """Also those that only a whole chaos run can catch."""
    for mutant in mutant_list.BY_NAME.values():
        with mutants.mutated(mutant, sql):
            pass
    sql.execute("ALTER TABLE semsearch.tasks SET LOGGED")
