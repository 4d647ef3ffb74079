"""The PEPs as files: ingested as a folder, then searched with filters on their headers, for a person to judge."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from semsearch import Collection
from semsearch.sources import Options
from tests.benchmarks import home, shared_data
from tests.benchmarks.home import MODEL
from tests.benchmarks.report import Report

NAME = "peps"
FIELDS = {"pep": "integer", "status": "text", "type": "text"}
SEARCHES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("how should I indent continuation lines?", {"type": "Process"}),
    ("a package manager should say which versions it needs", {"type": "Standards Track", "status": "Final"}),
    ("an operator that assigns inside an expression", {"pep": {"$gte": 500, "$lt": 600}}),
    ("pattern matching on the shape of a value", {"status": {"$in": ["Final", "Active"]}, "pep": {"$gt": 600}}),
    ("remove the global interpreter lock", {"status": {"$ne": "Final"}}),
    ("ideas for a switch statement that were turned down", {"status": "Rejected"}),
    ("who decides when the core developers disagree", {"$or": [{"type": "Process"}, {"type": "Informational"}]}),
)
EACH = 3


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks {NAME}", description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="take only about so many files")
    options = parser.parse_args(arguments)
    folder = shared_data.folder("bulk") / "peps"
    files = sorted(file.name for file in folder.glob("*.rst"))
    step = max(1, len(files) // options.sample) if options.sample else 1
    chosen = Options(include=("*.rst",) if step == 1 else tuple(files[::step]))
    report = Report(NAME, f"{len(files[::step])} PEPs as files of reStructuredText")
    with home.database() as db:
        report.ask(db)
        collection = db.create_collection(NAME, model=MODEL, fields=FIELDS)
        done = collection.ingest(folder, options=chosen)
        report.add("documents", done.added)
        report.add("broken or failed", len(done.broken) + len(done.failed), at_most=0)
        report.add("chunks", done.chunks)
        report.add("ingest", done.seconds, "s")
        for query, filter in SEARCHES:
            show(collection, query, filter)
        again = collection.ingest(folder, options=chosen)
        report.add("embedded when ingested again", again.embedded, at_most=0)
        report.add("ingested again", again.seconds, "s")
    return report.finish()


def show(collection: Collection, query: str, filter: dict[str, Any]) -> None:
    hits = collection.search(query, top_k=EACH, filter=filter)
    print(f"\n{query}   {filter}   ({hits.plan})")
    for hit in hits:
        about = ", ".join(str(hit.metadata.get(key)) for key in ("status", "type", "created"))
        print(f"  {hit.distance:.3f}  {hit.document_id}  {hit.heading}  ({about})")
        print(f"         {' '.join(hit.text.split())[:110]}")
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
