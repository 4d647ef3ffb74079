"""The evaluation data beside the checkout, read where it lies."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semsearch import Document

FOLDER = Path(__file__).parent.parent.parent.parent / "shared" / "data"

Qrels = dict[str, dict[str, int]]  # query id -> document id -> gain


@dataclass(frozen=True)
class RetrievalSet:
    """Documents to search, queries to ask, and what each should find."""

    name: str
    documents: list[Document]
    queries: dict[str, str]
    qrels: Qrels
    complete: bool = True

    def first(self, number: int | None) -> RetrievalSet:
        """The set with so many of its documents, and the queries that still have something to find."""
        if number is None:
            return self
        documents = self.documents[:number]
        kept = {document.id for document in documents}
        queries = {id: text for id, text in self.queries.items() if kept & self.qrels[id].keys()}
        return RetrievalSet(self.name, documents, queries, self.qrels, complete=False)


def folder(name: str) -> Path:
    """The folder of a set; without it the benchmark ends here, with a word about why."""
    found = FOLDER / name
    if not found.is_dir():
        print(f"skipped: no evaluation data in {found}")
        sys.exit(0)
    return found


def retrieval_set(name: str) -> RetrievalSet:
    place = folder(name)
    documents = [
        Document(id=row["_id"], text=row["text"], title=row["title"] or None)
        for row in rows(next(place.glob("corpus.jsonl*")))
    ]
    qrels: Qrels = {}
    with (place / "qrels.tsv").open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    queries = {row["_id"]: row["text"] for row in rows(place / "queries.jsonl") if row["_id"] in qrels}
    return RetrievalSet(name, documents, queries, qrels)


def passages() -> list[dict[str, Any]]:
    """The 98,279 passages of bulk, in the order of the file."""
    return list(rows(folder("bulk") / "passages.jsonl.gz"))


def rows(path: Path) -> Iterator[dict[str, Any]]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def write(path: Path, written: Iterable[dict[str, Any]]) -> int:
    """A file of JSONL; returns how many rows it has."""
    number = 0
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(written, 1):
            file.write(json.dumps(row) + "\n")
    return number
