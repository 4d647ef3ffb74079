"""A large table is attached: how long that takes, how fast a worker goes through it, with how much memory."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

import semsearch
from semsearch import Database, Settings
from semsearch.store.connection import Address
from tests.benchmarks import fast_provider, home
from tests.benchmarks.plain_sql import Connection
from tests.benchmarks.report import Report

NAME = "attached"
MODEL = "openai:fast"
KEY = "sk-fast"
FILL = """
CREATE TABLE articles AS
SELECT i::bigint AS id, 'title ' || i AS title, 'The text of row ' || i || ' is about ' || md5(i::text) AS body,
       'author ' || i % 100 AS author
FROM generate_series(1, {}) i
"""


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table")
    options = parser.parse_args(arguments)
    report = Report(NAME, f"{options.rows:,} rows, a chunk each; a server over HTTP that answers at once")
    with home.temporary() as folder, fast_provider.started() as url:
        settings = Settings(home=folder / "home", openai_api_key=SecretStr(KEY), openai_base_url=url)
        with semsearch.connect(settings=settings) as db, Address(settings) as address:
            report.ask(db)
            with address.connect(autocommit=True) as connection:
                measure(report, db, connection, options.rows, worker_environment(folder / "home", url))
    return report.finish()


def worker_environment(folder: Path, url: str) -> dict[str, str]:
    mine = {"SEMSEARCH_HOME": str(folder), "SEMSEARCH_OPENAI_API_KEY": KEY, "SEMSEARCH_OPENAI_BASE_URL": url}
    return {**os.environ, **mine}


def measure(report: Report, db: Database, connection: Connection, rows: int, environment: dict[str, str]) -> None:
    connection.execute(FILL.format(rows))
    connection.execute("ALTER TABLE articles ADD PRIMARY KEY (id)")
    connection.execute("VACUUM ANALYZE articles")
    db.create_collection(NAME, model=MODEL, chunk_size=0, index="none")
    begun = time.perf_counter()
    db.attach(NAME, "articles", text="body", title="title", metadata="author")
    report.add("attach", time.perf_counter() - begun, "s")
    seconds, memory = work(environment)
    report.add("worker, from its start to its end", seconds, "s")
    report.add("worker", rows / seconds, "documents/s")
    report.add("worker, most memory", memory, "MB")
    done = db.collection(NAME).status()
    report.add("chunks", done.chunks, at_least=rows)
    report.add("tasks left", done.backlog, at_most=0)


def work(environment: dict[str, str]) -> tuple[float, float]:
    """Seconds and megabytes (at its peak) of a worker that goes through all of it, as a process of its own."""
    command = [sys.executable, "-m", "semsearch", "worker", "--until-idle"]
    begun = time.perf_counter()
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(command, env=environment, cwd=root, stderr=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return time.perf_counter() - begun, used.ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
