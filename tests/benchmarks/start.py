"""How long commands take to answer, each as a new process: help, a cold search, a cached one, an unchanged ingest."""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

import semsearch
from semsearch import Document, Settings, sources
from semsearch.sources import Broken
from tests.benchmarks import home
from tests.benchmarks.home import MODEL
from tests.benchmarks.report import Report

NAME = "start"
CACHED = ["search", "docs", "read a CSV file, 0"]  # has been asked before


class Docstrings:
    """The first so many docstrings of the standard library; the demo ingests all of them."""

    name = "standard library"
    total = None

    def __init__(self, number: int | None) -> None:
        self._number = number

    def __iter__(self) -> Iterator[Document | Broken]:
        return itertools.islice(sources.standard_library(), self._number)


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("--sample", type=int, help="ingest so many docstrings (default: all, as the demo does)")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each command")
    options = parser.parse_args(arguments)
    report = Report(NAME, f"commands as new processes, median of {options.rounds} runs; files are in the page cache")
    with home.temporary() as folder:
        place = folder / "home"
        begun = time.monotonic()
        with semsearch.connect(settings=Settings(home=place)) as db:
            report.add("new embedded database", time.monotonic() - begun, "s")
            report.ask(db)
            collection = db.create_collection("docs", model=MODEL)
            collection.ingest(Docstrings(options.sample))
            begun = time.monotonic()
            number = sum(1 for _ in Docstrings(options.sample))
            report.add("reading the documents alone", number / (time.monotonic() - begun), "documents/s")
            again = collection.ingest(Docstrings(options.sample))
            report.add("ingest of unchanged documents", again.unchanged / again.seconds, "documents/s")
            report.add("embedded then", again.embedded, at_most=0)
        rounds = options.rounds
        new = (["search", "docs", f"read a CSV file, {number}"] for number in itertools.count())
        report.add("--help", median(place, [["--help"]] * rounds), "s", at_most=0.3)
        report.add("search, no server yet", median(place, itertools.islice(new, rounds)), "s", at_most=4)
        report.add("search, no server yet, query cached", median(place, [CACHED] * rounds), "s")
        with semsearch.connect(settings=Settings(home=place)):
            report.add("search, server running", median(place, itertools.islice(new, rounds)), "s")
            report.add("search, server running, query cached", median(place, [CACHED] * rounds), "s")
    return report.finish()


def median(place: Path, commands: Iterable[list[str]]) -> float:
    """Seconds of a command, from start to end of its process; the first one only warms the caches."""
    environment = {**os.environ, "SEMSEARCH_HOME": str(place), "HF_HUB_OFFLINE": "1"}
    taken = []
    for command in commands:
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "semsearch", *command], env=environment, stdout=subprocess.DEVNULL, check=True
        )
        taken.append(time.perf_counter() - begun)
    return float(np.median(taken[1:] or taken))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
