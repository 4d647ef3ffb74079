"""Batches run side by side, and the rest of the process keeps its threads."""

from __future__ import annotations

import os
import threading

import pytest

from semsearch.embedders.workers import MOST, Workers


def threads_in_a_new_thread() -> int:
    import torch

    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def test_each_worker_takes_its_share_and_the_process_keeps_its_own_setting() -> None:
    import torch

    before = torch.get_num_threads()
    shares = Workers(before).map(lambda _: torch.get_num_threads(), range(20))
    assert set(shares) == {before // min(before, MOST)}
    assert torch.get_num_threads() == before == threads_in_a_new_thread()


def test_answers_come_in_the_order_of_the_items() -> None:
    assert Workers(2).map(lambda number: number * number, range(50)) == [number * number for number in range(50)]


def test_many_cores_are_shared_among_few_threads() -> None:
    assert Workers(3 * MOST + 1).count == MOST


def test_the_first_error_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        Workers(2).map(lambda number: 1 // number, [1, 0, 2])


def test_a_process_that_was_forked_starts_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers(1)
    names = workers.map(lambda _: threading.get_ident(), [0])
    monkeypatch.setattr(os, "getpid", lambda: -1)  # what a fork changes; forking a process with threads is undefined
    assert workers.map(lambda _: threading.get_ident(), [0]) != names
