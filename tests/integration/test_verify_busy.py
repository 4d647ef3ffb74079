"""Verify while users write and a worker works: what is only not done yet is no difference."""

from __future__ import annotations

import random
import threading
from typing import Any

import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.store import verification
from tests.integration.hands import kinds
from tests.integration.verifying import LONG

Sql = psycopg.Connection[Any]

ROUNDS = 12


def write(collection: Collection, stop: threading.Event) -> None:
    """Puts, changes and deletes 40 documents, long and short, as fast as it can."""
    draw = random.Random(7)
    while not stop.is_set():
        ids = draw.sample(range(40), 5)
        if draw.random() < 0.2:
            collection.delete(str(id) for id in ids)
        else:
            text = LONG[: draw.randrange(len(LONG))] + str(draw.random())
            collection.put([Document(str(id), text, {"draw": draw.random()}) for id in ids], wait=False)


def work(collection: Collection, stop: threading.Event) -> None:
    while not stop.is_set():
        collection.work()


def test_no_alarm_is_false(notes: Collection, module_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "PAGE", 7)
    stop = threading.Event()
    problems: list[BaseException] = []

    def run(action: Any) -> None:
        try:
            action(module_db.collection("notes"), stop)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(action,)) for action in (write, write, work)]
    for thread in threads:
        thread.start()
    try:
        found = [notes.verify() for _ in range(ROUNDS)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []
    assert [kinds(each) for each in found] == [{}] * ROUNDS
    assert sum(each.documents for each in found) > 0
    notes.work()
    assert notes.verify().clean
