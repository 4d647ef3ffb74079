"""A chaos run: workers, users and the server are killed at random while every snapshot must hold.

    python -m tests.faults.chaos --seconds 1800     # prints one JSON object; exit code 1 when something was wrong
    python -m tests.faults.chaos --model sentence-transformers:all-MiniLM-L6-v2

Four workers (chaos_workers.py), three users (chaos_writers.py), a slow model (chaos_provider.py) and one who watches
(chaos_watch.py) share a PostgreSQL of their own. Seeds are fixed; what the processes make of them is not.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psycopg

from semsearch import Settings, embedders
from tests.faults import chaos_setup, chaos_writers, mutant_list, truth
from tests.faults.chaos_report import Report, left
from tests.faults.chaos_watch import Watch
from tests.faults.chaos_workers import LEASE, Crew
from tests.faults.chaos_writers import WRITERS
from tests.faults.cluster import PgCluster
from tests.faults.invariants import Subject
from tests.faults.waiting import until

WORKERS = 4
TICK = 0.08  # seconds between two draws of what to break
KILL, PAUSE, TERMINATE = 0.13, 0.045, 0.105  # chances of a draw
CRASHES = ((0.3, "backend"), (0.5, "postmaster"), (0.7, "backend"))  # when, as a share of the run
MUTANT_CRASHES = ((0.5, "backend"),)  # what one must not see needs workers that get something done
CALM = 0.1  # as many faults and transactions with a real model: a worker takes seconds to load it
LONGEST = 3  # times the seconds asked for, until as much has happened as is wanted
DRAINED = 60.0  # seconds within which everything must be done once nobody disturbs it

OTHERS = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
OURS = f"{OTHERS} AND application_name LIKE 'semsearch %'"


class Run:
    """One run on a cluster of its own. Enter it, then `go`."""

    def __init__(self, folder: Path, mutant: str | None, seed: int, pause: float, model: str) -> None:
        self.folder, self.mutant, self.seed, self.pause, self.model = folder, mutant, seed, pause, model
        self.rate = 1 if model == truth.MODEL else CALM
        self.chance = random.Random(seed)
        self.faults: Counter[str] = Counter()

    def go(self, seconds: float, wanted: Mapping[str, int]) -> Report:
        with ExitStack() as stack:
            self.cluster = stack.enter_context(PgCluster(self.folder / "cluster", self.folder))
            self.cluster.create()
            self.cluster.start()
            self.conninfo = self.cluster.conninfo()
            url = stack.enter_context(chaos_setup.provider())
            changed = mutant_list.BY_NAME[self.mutant] if self.mutant else None
            subjects, tables = chaos_setup.prepare(self._settings(url), self.conninfo, self.model, changed)
            users = [
                stack.enter_context(chaos_setup.writer(number, self.conninfo, tables, self.seed, self.pause))
                for number in range(WRITERS)
            ]
            crew = Crew(WORKERS, self._settings(url), self.mutant, self.folder / "workers.log", self.chance)
            stack.callback(crew.stop)
            watch = Watch(self.conninfo, subjects)
            stack.callback(watch.stop)
            watch.start()
            begun = time.monotonic()
            self._break(crew, users, watch, seconds, wanted)
            report = self._end(crew, watch, users, subjects)
            report.seconds = round(time.monotonic() - begun, 1)
        return report

    def _settings(self, url: str) -> dict[str, Any]:
        return {
            "database_url": self.cluster.url(),
            "home": self.folder / "home",
            "openai_api_key": "sk-test",
            "openai_base_url": url,
        }

    def _break(
        self, crew: Crew, users: Sequence[Connection], watch: Watch, seconds: float, wanted: Mapping[str, int]
    ) -> None:
        """One draw each tick, until as much has happened as is wanted; what a recovery held up is made up for."""
        begun = time.monotonic()
        crashes = list(MUTANT_CRASHES if self.mutant else CRASHES)
        done = dict.fromkeys(users, 0)
        for tick in itertools.count():
            for pipe in users:
                while pipe.poll():
                    done[pipe] = pipe.recv()
            happened = Counter(self.faults, transactions=sum(done.values()), snapshots=watch.snapshots)
            enough = all(happened[what] >= count for what, count in wanted.items())
            if tick * TICK >= (seconds if enough else LONGEST * seconds):
                return
            time.sleep(max(0.0, begun + tick * TICK - time.monotonic()))
            crew.tend()
            if crashes and tick * TICK >= crashes[0][0] * seconds:
                self._crash(crashes.pop(0)[1])
            draw = self.chance.random() / self.rate
            if draw < KILL:
                self.faults["sigkill"] += crew.kill()
            elif draw < KILL + PAUSE:
                self.faults["sigstop"] += crew.pause()
            elif draw < KILL + PAUSE + TERMINATE:
                self.faults["terminated"] += self._terminate()

    def _terminate(self) -> bool:
        """End one connection of one worker."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.conninfo, autocommit=True) as connection:
            row = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM"
                f" (SELECT pid FROM pg_stat_activity WHERE {OURS} ORDER BY random() LIMIT 1) AS one"
            ).fetchone()
            return bool(row and row[0])
        return False

    def _crash(self, what: str) -> None:
        """SIGKILL to any backend (the server then recovers by itself), or to the postmaster."""
        if what == "backend":
            until(self._kill_backend, DRAINED)
        else:
            self.cluster.kill()
            self.cluster.start()
        self.faults[f"{what}_sigkill"] += 1

    def _kill_backend(self) -> bool:
        """False where none is there, the one found has just left, or the server is not yet back from the last crash."""
        with suppress(psycopg.OperationalError, ProcessLookupError):
            with psycopg.connect(self.conninfo, autocommit=True) as connection:
                row = connection.execute(
                    f"SELECT pid FROM pg_stat_activity WHERE {OTHERS} ORDER BY random()"
                ).fetchone()
            if row:
                self.cluster.kill_backend(row[0])
                return True
        return False

    def _end(self, crew: Crew, watch: Watch, users: Sequence[Connection], subjects: Sequence[Subject]) -> Report:
        """Stop the users, let the workers finish in peace, and look at what is left."""
        report = Report(mutant=self.mutant)
        counts: Counter[str] = Counter()
        crew.tend(wake_all=True)  # a worker that is stopped may hold a lock for which a user waits
        for pipe in users:
            pipe.send("stop")
        for pipe in users:
            told: Any = 0
            while isinstance(told, int):
                assert pipe.poll(DRAINED), "a user does not end"
                told = pipe.recv()
            counts.update(told[0])
            report.complaints += told[1][:3]
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            report.drain_seconds = self._drain(connection, crew)
            watch.stop()
            report.look(connection, subjects, self.cluster.data / "log")
            if self.model != truth.MODEL:
                report.compare(connection, subjects, embedders.load(self.model, Settings(home=self.folder / "home")))
        report.faults, report.users = dict(self.faults), dict(counts)
        report.worker_refusals, report.worker_exits = crew.refusals, crew.exits
        report.snapshots, report.violated, report.examples = watch.snapshots, dict(watch.violated), watch.examples
        report.largest_backlog = watch.largest_backlog
        report.settled = round(watch.settled / max(watch.snapshots, 1), 2)
        return report

    def _drain(self, connection: psycopg.Connection[Any], crew: Crew) -> float | None:
        """Seconds until no task is left; then the workers tidy up what leases the dead have left."""
        begun = time.monotonic()
        drained: float | None = None
        while time.monotonic() - begun < DRAINED:
            waiting = left(connection)
            if not waiting["tasks"] and drained is None:
                drained = round(time.monotonic() - begun, 1)
            if not any(waiting.values()):
                break
            if drained is not None:
                time.sleep(LEASE)
                crew.kill()  # every worker tidies up when it begins, and then once a minute
            crew.tend()
            time.sleep(0.05)
        return drained


def run(
    seconds: float,
    mutant: str | None = None,
    *,
    wanted: Mapping[str, int] | None = None,
    seed: int = 1,
    pause: float = chaos_writers.PAUSE,
    model: str = truth.MODEL,
) -> Report:
    """For so long, and until there were as many faults, transactions and snapshots as are `wanted`.

    How many there are in a time is chance, and a matter of how busy the machine is.
    `pause` is what users wait between transactions: the slower they are, the fewer documents have a task.
    """
    with tempfile.TemporaryDirectory(prefix="semsearch-chaos-") as folder:
        Path(folder).chmod(0o711)  # as root the server runs as another user, who must pass through
        try:
            return Run(Path(folder), mutant, seed, pause, model).go(seconds, wanted or {})
        finally:
            _tell(Path(folder))


def _tell(folder: Path) -> None:
    """What workers complained of, for whoever looks for a cause."""
    log = folder / "workers.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    print("\n".join([line for line in lines if " INFO " not in line][-1000:]), file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mutant", choices=sorted(mutant_list.BY_NAME))
    parser.add_argument("--model", default=truth.MODEL, help="a real one, with fewer faults; default: a fake one")
    given = parser.parse_args()
    pause = chaos_writers.PAUSE if given.model == truth.MODEL else chaos_writers.PAUSE / CALM
    report = run(given.seconds, given.mutant, seed=given.seed, pause=pause, model=given.model)
    print(json.dumps({**asdict(report), "wrong": report.wrong}))
    sys.exit(bool(report.wrong))


if __name__ == "__main__":
    main()
