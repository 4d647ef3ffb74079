"""What CALL semsearch.embed takes, cold and warm, against the model's own embed_query in the same run."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence

import numpy as np

from semsearch import answering
from semsearch.store.connection import Address
from tests.benchmarks import home
from tests.benchmarks.home import MODEL
from tests.benchmarks.report import Report
from tests.benchmarks.rounds import interleave

NAME = "embed_call"
QUANTILES = (0.5, 0.95)


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="queries")
    options = parser.parse_args(arguments)
    report = Report(NAME, f"{options.calls} short queries by MiniLM; who answers is a thread of this process")
    with (
        home.database() as db,
        Address(db.settings) as address,
        address.connect(autocommit=True) as connection,
        answering.Answerer(db, threading.Event()),
    ):
        report.ask(db)
        embedder = db.create_collection("docs", model=MODEL).road().embedder()
        queries = [f"how do I change the colour of window number {number}?" for number in range(options.calls)]

        def alone(number: int) -> None:
            embedder.embed_query(f"{queries[number]} ")  # a text of its own, and as long

        def cold(number: int) -> None:
            connection.execute(f"CALL semsearch.embed('docs', '{queries[number]}')")

        def warm(_: int) -> None:
            connection.execute("CALL semsearch.embed('docs', 'embedded before')")

        warm(0)
        contenders = {"embed_query alone": alone, "CALL, cold": cold, "CALL, warm": warm}
        taken = dict(zip(contenders, interleave(options.calls, *contenders.values()), strict=True))
    for name, seconds in taken.items():
        for quantile in QUANTILES:
            report.add(f"{name}, p{quantile * 100:.0f}", float(np.quantile(seconds, quantile)) * 1000, "ms")
    added = taken["CALL, cold"] - taken["embed_query alone"]
    report.add("what a cold CALL adds, p50", float(np.median(added)) * 1000, "ms")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
