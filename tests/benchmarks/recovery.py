"""A worker is killed while it holds leases: seconds until another one, as it comes, has claimed the same documents."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np
from pydantic import SecretStr

import semsearch
from semsearch import Database, Document, Settings
from tests.benchmarks import home
from tests.benchmarks.attached import worker_environment
from tests.benchmarks.report import Report
from tests.provider import Provider

NAME = "recovery"
MODEL = "openai:slow"
LEASED = "SELECT count(*) FROM semsearch.leases WHERE worker = %s AND expires_at > now()"
WORKERS = "SELECT number, process_id FROM semsearch.workers ORDER BY started_at"
LIMIT = 60.0  # seconds


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="workers killed")
    options = parser.parse_args(arguments)
    with home.temporary() as folder, Provider.start() as provider:
        settings = Settings(home=folder / "home", openai_api_key=SecretStr("sk-bench"), openai_base_url=provider.url)
        with semsearch.connect(settings=settings) as db:
            report = Report(NAME, f"{options.rounds} workers killed by SIGKILL, everything at its defaults")
            report.ask(db)
            environment = worker_environment(folder / "home", provider.url)
            taken = [measure(db, provider, environment, number) for number in range(options.rounds)]
            report.add("from SIGKILL to the next claim, median", float(np.median(taken)), "s")
            report.add("from SIGKILL to the next claim, longest", max(taken), "s")
            return report.finish()


def measure(db: Database, provider: Provider, environment: dict[str, str], number: int) -> float:
    """One worker claims and waits for the provider; a second one has nothing to do until the first is killed."""
    provider.reset()
    collection = db.create_collection(f"round_{number}", model=MODEL)
    provider.rules(always={"fault": "slow", "seconds": 600})
    collection.put([Document(str(id), f"text {id}") for id in range(20)], wait=False)
    command = [sys.executable, "-m", "semsearch", "worker"]
    with ExitStack() as stack, db.pools.address.connect(autocommit=True) as connection:

        def start(count: int) -> tuple[int, subprocess.Popen[bytes]]:
            process = stack.enter_context(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
            stack.callback(process.kill)
            until(lambda: connection.execute(WORKERS).rowcount == count)
            numbers = {process_id: worker for worker, process_id in connection.execute(WORKERS)}
            return numbers[process.pid], process

        def leased(worker: int) -> int:
            row = connection.execute(LEASED, (worker,)).fetchone()
            return int(row[0]) if row else 0

        first, process = start(1)
        until(lambda: leased(first) == 20)
        second, _ = start(2)
        time.sleep(5)  # it has found out that there is nothing for it, and looks as seldom as it ever does
        process.kill()
        begun = time.monotonic()
        until(lambda: leased(second) == 20)
        taken = time.monotonic() - begun
    db.drop_collection(collection.name)
    with db.pools.address.connect(autocommit=True) as connection:
        connection.execute("DELETE FROM semsearch.workers")
    return taken


def until(happened: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT
    while not happened():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.005)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
