"""Random filters: no string of a user becomes SQL, and PostgreSQL matches what an evaluator in Python does."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import psycopg as dialect

from semsearch.store.connection import Address
from tests.benchmarks import home
from tests.benchmarks.report import Report
from tests.filtering import comparing
from tests.filtering.table import COLUMNS, ROWS, plan_freely
from tests.filtering.templates import Templates, first_difference, holes

NAME = "fuzz"


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("--metamorphic", type=int, default=100_000, help="fill so many filters twice")
    parser.add_argument("--differential", type=int, default=10_000, help="ask so many filters")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    report = Report(NAME, f"filters, seed {options.seed}")
    metamorphic(report, options.metamorphic, options.seed)
    with home.database() as db:
        report.ask(db)
        with Address(db.settings) as address, address.connect() as raw:
            differential(report, raw, options.differential, options.seed)
    return report.finish()


def metamorphic(report: Report, number: int, seed: int) -> None:
    """Fill filters with harmless and with hostile strings; the SQL must be the same, byte for byte."""
    source, postgresql = random.Random(seed), dialect.dialect()  # type: ignore[no-untyped-call]
    begun, strings, different = time.perf_counter(), 0, 0
    for _ in range(number):
        template = Templates(source).filter()
        strings += len(holes(template))
        difference = first_difference(template, source, COLUMNS, postgresql)
        if difference:
            print(difference)
            different += 1
    report.add("filters filled twice", number)
    report.add("strings and numbers replaced in them", strings)
    report.add("filters whose SQL changed", different, at_most=0)
    report.add("time for filling, reading, compiling", time.perf_counter() - begun, "s")


def differential(report: Report, raw: psycopg.Connection, number: int, seed: int) -> None:
    """Ask PostgreSQL and the evaluator; `comparing.compare` raises at the first difference."""
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: raw)
    begun, batches, telling = time.perf_counter(), -(-number // comparing.FILTERS), 0
    with engine.connect() as connection:
        ROWS.metadata.create_all(connection)
        for batch in range(batches):
            plan_freely(connection, indexes=batch % 2 == 0)
            telling += comparing.compare(connection, seed * 1_000_000 + batch)
        connection.rollback()
    report.add("filters asked", batches * comparing.FILTERS)
    report.add("filters that told rows apart", telling)
    report.add("filters and rows compared", batches * comparing.FILTERS * comparing.ROWS_EACH)
    report.add("time for asking", time.perf_counter() - begun, "s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
