"""The workers of a chaos run: real processes that are killed, stopped, and replaced."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.faults import mutant_list, mutants
from tests.faults.forks import FORKS

LEASE = 1.0  # seconds, so that most of the pauses below make a zombie
CLAIM = 24  # documents: a worker lives two seconds, and must finish some of what it claims
PAUSE = 0.2  # seconds before a document is tried again
NO_DATABASE = 5  # exit code
PAUSES = (0.3, 1.5, 2.5)  # seconds


def run(values: dict[str, Any], mutant: str | None, log: Path) -> None:
    """What a worker's process does: `semsearch worker`, with short leases."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ |= {
        "SEMSEARCH_DATABASE_URL": values["database_url"],
        "SEMSEARCH_HOME": str(values["home"]),
        "OPENAI_API_KEY": values["openai_api_key"],
        "OPENAI_BASE_URL": values["openai_base_url"],
        "SEMSEARCH_DEBUG": "1",  # tracebacks
    }
    shorten()
    if mutant:
        mutants.apply(mutant_list.BY_NAME[mutant])
    from semsearch import cli

    sys.argv = ["semsearch", "worker", "--concurrency", "2"]
    sys.exit(cli.main())


def shorten() -> None:
    """Short leases, small claims and quick returns, in this process."""
    from semsearch import work
    from semsearch.store import leases

    # A document sees many workers die here, and is not to blame.
    work.CLAIM, work.ALONE_FROM, work.MAX_ATTEMPTS = CLAIM, 10, 100
    leases.PAUSE = leases.LONGEST_PAUSE = leases.BACK_OFF = leases.LONGEST_BACK_OFF = PAUSE
    leases.Worker.__init__.__defaults__ = (LEASE,)  # type: ignore[attr-defined]
    leases.postpone.__defaults__ = (PAUSE,)


@dataclass
class Worker:
    process: BaseProcess
    paused_until: float | None = None


class Crew:
    """So many workers at any time."""

    def __init__(
        self, count: int, values: dict[str, Any], mutant: str | None, log: Path, chance: random.Random
    ) -> None:
        self._arguments = (values, mutant, log)
        self._chance = chance
        self.refusals = 0  # workers that found no database when they started, and ended
        self.exits = 0  # workers that ended for any other reason
        self.workers = [self._start() for _ in range(count)]

    def _start(self) -> Worker:
        process = FORKS.Process(target=run, args=self._arguments, daemon=True)
        process.start()
        return Worker(process)

    def kill(self) -> bool:
        """SIGKILL to one that is not paused; its successor starts. Whether there was one."""
        index = self._pick()
        if index is None:
            return False
        self._end(self.workers[index])
        self.workers[index] = self._start()
        return True

    def pause(self) -> bool:
        """SIGSTOP to one, for longer than its lease or not."""
        index = self._pick()
        if index is None:
            return False
        worker = self.workers[index]
        assert worker.process.pid
        os.kill(worker.process.pid, signal.SIGSTOP)
        worker.paused_until = time.monotonic() + self._chance.choice(PAUSES)
        return True

    def _pick(self) -> int | None:
        able = [i for i, worker in enumerate(self.workers) if worker.paused_until is None and worker.process.is_alive()]
        return self._chance.choice(able) if able else None

    def tend(self, *, wake_all: bool = False) -> None:
        """Wake those whose pause is over, and replace those that have ended by themselves."""
        for index, worker in enumerate(self.workers):
            if not worker.process.is_alive():
                if worker.process.exitcode == NO_DATABASE:
                    self.refusals += 1
                else:
                    self.exits += 1
                worker.process.close()
                self.workers[index] = self._start()
            elif worker.paused_until is not None and (wake_all or worker.paused_until <= time.monotonic()):
                assert worker.process.pid
                os.kill(worker.process.pid, signal.SIGCONT)
                worker.paused_until = None

    def stop(self) -> None:
        for worker in self.workers:
            self._end(worker)
        self.workers = []

    @staticmethod
    def _end(worker: Worker) -> None:
        worker.process.kill()
        worker.process.join()
        worker.process.close()
