"""Runs one peer in the peers' environment: loads it, asks it everything, and writes a line of JSON for each answer.

python -m tests.benchmarks.peers NAME URL FOLDER

The folder holds base.npy and queries.npy, and grid.json: {"fields": {name: type}, "ids": [...], "texts": [...],
"metadata": [...], "cells": [[filter, top_k], ...], "warm": n}. The first line says how long loading took, each further
one has the seconds and the ids of all queries of a cell.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from tests.benchmarks.peers import Equal, Row, Store

BATCH = 2048  # rows handed over at once, as LlamaIndex does by itself


def main(name: str, url: str, folder: Path) -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # a library's own print may not spoil the answers
    grid = json.loads((folder / "grid.json").read_text())
    base, queries = np.load(folder / "base.npy"), np.load(folder / "queries.npy").tolist()
    store: Store = importlib.import_module(f"tests.benchmarks.peers.{name}").Store(url, base.shape[1], grid["fields"])
    print(json.dumps(load(store, grid, base)), file=answers, flush=True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")  # what autovacuum would soon do, but not while a peer is timed
    for filter, top_k in grid["cells"]:
        ask(store, queries[: grid["warm"]], top_k, filter)
        print(json.dumps(ask(store, queries, top_k, filter)), file=answers, flush=True)


def load(store: Store, grid: dict[str, Any], base: np.ndarray) -> dict[str, float]:
    """Seconds that adding took, and building the index afterwards; none for making the rows."""
    added = 0.0
    for start in range(0, len(base), BATCH):
        batch = slice(start, start + BATCH)
        embeddings = base[batch].tolist()
        rows = list(map(Row, grid["ids"][batch], grid["texts"][batch], embeddings, grid["metadata"][batch]))
        begun = time.perf_counter()
        store.add(rows)
        added += time.perf_counter() - begun
    begun = time.perf_counter()
    store.create_index()
    return {"add": added, "index": time.perf_counter() - begun}


def ask(store: Store, queries: list[list[float]], top_k: int, filter: Equal | None) -> dict[str, Any]:
    seconds, found = [], []
    for query in queries:
        begun = time.perf_counter()
        ids = store.search(query, top_k, filter)
        seconds.append(time.perf_counter() - begun)
        found.append(ids)
    return {"seconds": seconds, "found": found}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
