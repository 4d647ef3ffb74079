"""How many documents a second `verify` compares, where all is right and where a tenth is wrong, and its memory."""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from semsearch import Collection, Database, Document
from semsearch.store.connection import Address
from tests.benchmarks import home
from tests.benchmarks.home import MODEL
from tests.benchmarks.report import Report

NAME = "verify"
DIMENSIONS = 384
WORDS = ("the", "password", "of", "an", "account", "is", "reset", "in", "settings", "by", "whoever", "owns", "it")


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("--given", type=int, default=20_000, help="documents that bring their embeddings")
    parser.add_argument("--embedded", type=int, default=2_000, help="documents that a local model has embedded")
    options = parser.parse_args(arguments)
    report = Report(NAME, f"verify of {options.given:,} given and {options.embedded:,} embedded documents of 40 words")
    with home.database() as db:
        report.ask(db)
        given = db.create_collection("given", dimensions=DIMENSIONS, index="none")
        given.put(documents(options.given, with_embeddings=True))
        embedded = db.create_collection("embedded", model=MODEL, index="none")
        embedded.put(documents(options.embedded))
        for collection in (given, embedded):
            compared(report, collection, f"{collection.name}, all right")
        report.add("memory, peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MiB")
        spoil(db)
        for collection in (given, embedded):
            compared(report, collection, f"{collection.name}, a tenth wrong")
            found = collection.verify(repair=True)
            report.add(f"{collection.name}, repair", found.documents / found.seconds, "documents/s")
    return report.finish()


def documents(number: int, *, with_embeddings: bool = False) -> Iterator[Document]:
    random = np.random.default_rng(7)
    for index in range(number):
        text = " ".join(random.choice(WORDS, 40))
        embedding = random.standard_normal(DIMENSIONS).astype(np.float32) if with_embeddings else None
        yield Document(f"{index:08}", text, {"number": index}, embedding=embedding)


def compared(report: Report, collection: Collection, what: str) -> None:
    found = collection.verify()
    report.add(what, found.documents / found.seconds, "documents/s")
    report.add(f"{what}: found", found.differing)


def spoil(db: Database) -> None:
    """Every tenth document is changed where no trigger sees it."""
    with Address(db.settings) as address, address.connect(autocommit=True) as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("UPDATE semsearch.documents SET text = text || '.' WHERE id LIKE '%0'")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
