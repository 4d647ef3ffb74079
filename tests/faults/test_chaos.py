"""The short form of a chaos run (chaos.py); `make torture` runs the long one, with all mutants."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import asdict

import pytest

from tests.faults import chaos, mutant_list
from tests.faults.mutants import Mutant

TORTURE = "TORTURE" in os.environ
SECONDS = 75.0
WANTED = {"sigkill": 100, "sigstop": 30, "terminated": 80, "transactions": 10_000, "snapshots": 500}
MUTANT_SECONDS, MUTANT_PAUSE = 12.0, 0.05


def test_nothing_is_lost_under_fire() -> None:
    report = chaos.run(SECONDS, wanted=WANTED)
    print(asdict(report), file=sys.stderr)
    assert report.wrong == []
    assert report.worker_exits == 0
    assert report.faults["backend_sigkill"] + report.faults["postmaster_sigkill"] == len(chaos.CRASHES)
    happened = Counter(report.faults, transactions=report.users["transactions"], snapshots=report.snapshots)
    assert {what: count for what, count in WANTED.items() if happened[what] < count} == {}


# The others have deterministic tests (test_mutants.py); this one needs a crash.
CRASH = [mutant_list.BY_NAME["tasks do not survive a crash"]]
CHAOTIC = [each for each in mutant_list.HARMFUL if each.chaotic]


@pytest.mark.parametrize("mutant", CHAOTIC if TORTURE else CRASH, ids=lambda each: each.name)
def test_a_harmful_change_is_noticed_under_fire(mutant: Mutant) -> None:
    assert chaos.run(MUTANT_SECONDS, mutant.name, pause=MUTANT_PAUSE).wrong


@pytest.mark.skipif(not TORTURE, reason="without TORTURE=1 only in test_mutants.py")
@pytest.mark.parametrize("mutant", mutant_list.HARMLESS, ids=lambda each: each.name)
def test_a_harmless_change_is_not_flagged_under_fire(mutant: Mutant) -> None:
    assert chaos.run(MUTANT_SECONDS, mutant.name, pause=MUTANT_PAUSE).wrong == []
