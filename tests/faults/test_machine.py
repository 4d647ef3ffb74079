"""Any sequence of what users and workers can do keeps every promise; found by hypothesis, against a model.

The model is a dictionary: what the documents are. `TORTURE=1` tries more and longer sequences.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.faults import hand, invariants, truth
from tests.faults.stage import REPEATABLE, Stage

TORTURE = "TORTURE" in os.environ
IDS = st.sampled_from(["a", "b", "c", "d"])
OLD = st.sampled_from(["x", "y"])  # documents of the user with the old snapshot, and of no one else
WORKERS = st.sampled_from(["W1", "W2"])
SENTENCES = st.integers(0, 4)


class Machine(RuleBasedStateMachine):
    """Users U1 (each statement by itself) and U2 (one REPEATABLE READ transaction at a time), workers W1 and W2."""

    def __init__(self, scene: Stage) -> None:
        super().__init__()
        self.scene = scene
        self.model: dict[str, str] = {}
        self.uncommitted: dict[str, str | None] | None = None  # what U2 has done so far
        self.version = 0
        self.subject = replace(scene.strict, excused="d.id IN ('x', 'y')")
        scene.clear()

    def text(self, id: str, sentences: int, poison: bool) -> str:
        self.version += 1
        return truth.text(id, str(self.version), sentences, poison)

    @rule(id=IDS, sentences=SENTENCES, poison=st.booleans())
    def put(self, id: str, sentences: int, poison: bool) -> None:
        self.model[id] = self.text(id, sentences, poison)
        self.scene.write("U1", id, self.model[id])

    @rule(id=IDS)
    def delete(self, id: str) -> None:
        self.model.pop(id, None)
        self.scene.delete("U1", id)

    @rule(id=IDS, new=IDS)
    def change_the_id(self, id: str, new: str) -> None:
        if id in self.model and new not in self.model:
            self.model[new] = self.model.pop(id)
            self.scene.move("U1", id, new)

    @rule()
    def delete_all(self) -> None:
        for id in list(self.model):
            if id not in "xy":
                self.delete(id)

    @precondition(lambda self: self.uncommitted is None and self.scene.table == "public.pages")
    @rule()
    def truncate(self) -> None:
        self.model.clear()
        self.scene.users["U1"].execute("TRUNCATE public.pages")

    @precondition(lambda self: self.uncommitted is None)
    @rule()
    def take_a_snapshot(self) -> None:
        self.scene.users["U2"].execute(REPEATABLE)
        self.scene.users["U2"].execute(f"SELECT count(*) FROM {self.scene.table}")
        self.uncommitted = {}

    @precondition(lambda self: self.uncommitted is not None)
    @rule(id=OLD, sentences=SENTENCES)
    def put_with_the_snapshot(self, id: str, sentences: int) -> None:
        assert self.uncommitted is not None
        text = self.text(id, sentences, False)
        self.uncommitted[id] = text
        self.scene.write("U2", id, text)

    @precondition(lambda self: self.uncommitted is not None)
    @rule(id=OLD)
    def delete_with_the_snapshot(self, id: str) -> None:
        assert self.uncommitted is not None
        self.uncommitted[id] = None
        self.scene.delete("U2", id)

    @precondition(lambda self: self.uncommitted is not None)
    @rule(commit=st.booleans())
    def end_the_snapshot(self, commit: bool) -> None:
        assert self.uncommitted is not None
        self.scene.users["U2"].execute("COMMIT" if commit else "ROLLBACK")
        for id, text in self.uncommitted.items() if commit else ():
            self.model.pop(id, None)
            if text is not None:
                self.model[id] = text
        self.uncommitted = None

    @rule(worker=WORKERS, count=st.integers(1, 4))
    def claim(self, worker: str, count: int) -> None:
        self.scene.workers[worker].claim(count)
        self.scene.workers[worker].works = ()

    @rule(worker=WORKERS)
    def read(self, worker: str) -> None:
        if self.scene.workers[worker].claims:
            self.scene.workers[worker].read()

    @rule(worker=WORKERS)
    def finish(self, worker: str) -> None:
        if self.scene.workers[worker].works:
            self.scene.workers[worker].finish()

    @rule(worker=WORKERS)
    def crash(self, worker: str) -> None:
        self.scene.workers[worker].crash()

    @rule()
    def leases_expire(self) -> None:
        self.scene.watch.execute(hand.EXPIRE)

    @rule()
    def failures_are_tried_again(self) -> None:
        self.scene.watch.execute(
            "INSERT INTO semsearch.tasks (collection_id, document_id) SELECT collection_id, document_id"
            " FROM semsearch.failures"
        )

    @invariant()
    def every_snapshot_holds(self) -> None:
        assert invariants.violations(self.scene.watch, self.subject) == {}

    def teardown(self) -> None:
        """When all is done, the documents are those of the model, and searchable, but for the poison."""
        if self.uncommitted is not None:
            self.end_the_snapshot(commit=False)
        assert self.scene._rest() == ""
        assert self.scene.documents() == self.model
        poison = {id for id, text in self.model.items() if truth.POISON in text}
        assert self.scene.failed() == poison
        assert self.scene.found() == self.model.keys() - poison


@pytest.mark.parametrize("attached", [False, True], ids=["documents", "attached"])
def test_any_sequence_keeps_the_promises(database_url: str, attached: bool) -> None:
    with hand.connect(database_url) as address, Stage(address, database_url, attached) as scene:
        explore(scene)


def explore(scene: Stage) -> None:
    run_state_machine_as_test(
        lambda: Machine(scene),  # type: ignore[arg-type]
        settings=settings(
            max_examples=600 if TORTURE else 60,
            stateful_step_count=60 if TORTURE else 30,
            derandomize=not TORTURE,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
