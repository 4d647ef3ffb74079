"""Clocks that are wrong, a worker's or the database's: no lease is taken early, none is held for ever.

Faults T1 and T2. The worker's clock is put wrong by Debian's `faketime`; without it that test is skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import Any

import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.embedders.openai_faults import retry_after
from tests.conftest import ROOT
from tests.faults import stored
from tests.faults.waiting import until
from tests.integration.hands import Hands
from tests.provider import Provider

Sql = psycopg.Connection[Any]
LATE = {"fault": "slow", "seconds": 5}


@pytest.mark.parametrize("skew", ["+1d", "-1d"])
def test_a_workers_clock_a_day_off_has_no_effect(
    skew: str, notes: Collection, provider: Provider, hands: Any, sql: Sql, module_database_url: str
) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed (Debian: apt install faketime)")
    texts = stored.texts(10)
    notes.put(stored.documents(texts), wait=False)
    provider.script({"fault": "none"}, LATE)  # the probe, then the texts
    with start_skewed(skew, "worker", "--until-idle", database_url=module_database_url, provider=provider) as worker:
        until(lambda: len(provider.calls) == 2 or worker.poll() is not None, 60)
        row = sql.execute(
            "SELECT bool_and(claimed_at BETWEEN now() - interval '1 minute' AND now()),"
            " bool_and(expires_at BETWEEN now() AND now() + interval '2 minutes') FROM semsearch.leases"
        ).fetchone()
        assert row == (True, True)
        other: Hands = hands(notes)
        assert other.claim() == []  # nothing of his looks expired to a worker whose clock is right
        _, errors = worker.communicate(timeout=90)
    assert worker.returncode == 0, errors
    stored.check(notes, texts)
    stored.check_waiting(notes, ())


def start_skewed(skew: str, *arguments: str, database_url: str, provider: Provider) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "SEMSEARCH_DATABASE_URL": database_url,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": provider.url,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # no wall clock that is put right moves this one
    }
    return subprocess.Popen(
        ["faketime", "-m", "-f", skew, sys.executable, "-m", "semsearch", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_only_the_databases_clock_decides() -> None:
    roads = ["work.py", "pipeline.py", "ingest.py", "embedding.py"]
    folders = [*(ROOT / "semsearch/store").glob("*.py"), *(ROOT / "semsearch/worker").glob("*.py")]
    files = [*folders, *(ROOT / "semsearch" / name for name in roads)]
    clock = re.compile(r"\b(time\.time|datetime\.(now|utcnow|today)|date\.today)\(")
    assert [file.name for file in files if file.exists() and clock.search(file.read_text())] == []


# The database's clock is put back


@pytest.mark.parametrize("column", ["expires_at", "not_before"])
def test_a_lease_from_the_future_does_not_last_until_then(
    column: str, notes: Collection, hands: Any, sql: Sql, provider: Provider
) -> None:
    first: Hands = hands(notes)
    second: Hands = hands(notes)
    notes.put([Document("a", "one")], wait=False)
    assert first.claim() == ["a"]
    first.prepare()
    assert second.claim() == []
    # What a lease looks like whose worker died before the clock went back by a day.
    later = "claimed_at = claimed_at + interval '1 day', expires_at = expires_at + interval '1 day'"
    if column == "not_before":
        later = "expires_at = now(), not_before = now() + interval '1 day', attempt = 0"
    sql.execute(f"UPDATE semsearch.leases SET {later}")
    assert second.claim() == ["a"]
    second.prepare()
    assert second.finish() == ["a"]
    assert first.finish() == []  # it lived after all: fenced
    stored.check(notes, {"a": "one"})
    stored.check_waiting(notes, ())


def test_leases_that_run_out_early_are_fenced(notes: Collection, hands: Any, sql: Sql) -> None:
    """The clock was put forward: another takes over what is not expired in truth."""
    first: Hands = hands(notes)
    second: Hands = hands(notes)
    notes.put([Document("a", "one")], wait=False)
    first.claim()
    first.prepare()
    sql.execute("UPDATE semsearch.leases SET claimed_at = claimed_at - interval '1 day', expires_at = now()")
    sql.execute("UPDATE semsearch.documents SET text = 'two'")
    assert second.step() == 1
    assert first.finish() == []
    stored.check(notes, {"a": "two"})


# The provider's clock differs from ours


def test_a_date_to_wait_for_is_read_by_the_clock_of_who_gave_it() -> None:
    headers = {"retry-after": "Wed, 01 Jan 3000 00:00:07 GMT", "date": "Wed, 01 Jan 3000 00:00:00 GMT"}
    assert retry_after(headers) == 7.0
    assert retry_after({**headers, "date": "Wed, 01 Jan 3000 00:00:08 GMT"}) == 0.0
    assert (retry_after({**headers, "date": "yesterday"}) or 0) > 24 * 3600
