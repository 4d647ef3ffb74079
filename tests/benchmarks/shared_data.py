"""The evaluation data beside the checkout, read where it lies."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent.parent.parent / "shared" / "data"

Qrels = dict[str, dict[str, int]]  # query id -> document id -> gain


@dataclass(frozen=True)
class RetrievalSet:
    """Documents to search, queries to ask, and what each should find."""

    name: str
    corpus: Path
    documents: list[dict[str, Any]]
    queries: dict[str, str]
    qrels: Qrels


def folder(name: str) -> Path:
    """The folder of a set; without it the benchmark ends here, with a word about why."""
    found = FOLDER / name
    if not found.is_dir():
        print(f"skipped: no evaluation data in {found}")
        sys.exit(0)
    return found


def retrieval_set(name: str) -> RetrievalSet:
    place = folder(name)
    corpus = next(place.glob("corpus.jsonl*"))
    queries = {query["_id"]: query["text"] for query in rows(place / "queries.jsonl")}
    qrels: Qrels = {}
    with (place / "qrels.tsv").open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    asked = {id: text for id, text in queries.items() if id in qrels}
    return RetrievalSet(name, corpus, list(rows(corpus)), asked, qrels)


def passages() -> list[dict[str, Any]]:
    """The 98,279 passages of bulk, in the order of the file."""
    return list(rows(folder("bulk") / "passages.jsonl.gz"))


def rows(path: Path) -> Iterator[dict[str, Any]]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def write(path: Path, documents: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(document) + "\n" for document in documents), encoding="utf-8")
    return path
