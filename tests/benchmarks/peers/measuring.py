"""Asks the peers the whole grid, and judges what they find as the own answers are judged."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from psycopg.conninfo import conninfo_to_dict

from semsearch import Document
from semsearch.store.connection import Address
from tests.benchmarks import cells
from tests.benchmarks.asking import Asked
from tests.benchmarks.cells import Cell
from tests.benchmarks.peers import environment
from tests.benchmarks.peers.environment import Unavailable
from tests.benchmarks.report import Report
from tests.benchmarks.vectors import Vectors

WARM = 20  # queries before those that are timed

Answer = dict[str, Any]


def measure(
    report: Report, names: list[str], address: Address, documents: list[Document], given: Vectors, every: list[Cell]
) -> None:
    """One after the other, each in a process of its own, on the same server; one that fails is reported in words."""
    try:
        environment.install()
    except Unavailable as reason:
        report.add("peers", str(reason))
        return
    with tempfile.TemporaryDirectory() as folder:
        _hand_over(Path(folder), documents, given, every)
        for name in names:
            print(f"measuring {environment.PEERS[name]}", flush=True)
            report.facts[name] = environment.PEERS[name]
            try:
                _peer(report, name, environment.answers(name, _url(address), Path(folder)), given, every)
            except Unavailable as reason:
                report.add(name, f"failed: {reason}")


def _hand_over(folder: Path, documents: list[Document], given: Vectors, every: list[Cell]) -> None:
    np.save(folder / "base.npy", given.base)
    np.save(folder / "queries.npy", given.queries)
    grid = {
        "fields": cells.FIELDS,
        "ids": [document.id for document in documents],
        "texts": [document.text for document in documents],
        "metadata": [dict(document.metadata) for document in documents],
        "cells": [(cell.filter, cell.top_k) for cell in every],
        "warm": WARM,
    }
    (folder / "grid.json").write_text(json.dumps(grid))


def _peer(report: Report, name: str, answers: Iterator[Answer], given: Vectors, every: list[Cell]) -> None:
    busy = os.getloadavg()[0]
    loaded = next(answers)
    rate = len(given.base) / (loaded["add"] + loaded["index"])
    report.add(f"{name}: put and index", {"rows/s": rate, "add s": loaded["add"], "index s": loaded["index"]})
    measured = []
    for cell, answer in zip(every, answers, strict=True):
        asked = Asked(answer["seconds"], [[int(id[1:]) for id in ids] for ids in answer["found"]])
        measured.append(cell.judge(given.base, given.queries, asked))
        report.add(f"{name}: {cell.name}", measured[-1], "ms")
    complete = [each["complete"] for cell, each in zip(every, measured, strict=True) if cell.filter]
    report.add(f"{name}: incomplete with filter", f"{sum(each < 1 for each in complete)} of {len(complete)} cells")
    report.add(f"{name}: least with filter", min(complete))
    report.add(f"{name}: load", {"before": busy, "after": os.getloadavg()[0]})


def _url(address: Address) -> str:
    """The server's address as every driver of the peers takes it."""
    known = conninfo_to_dict(address.conninfo or "")
    host, port = quote(str(known["host"]), safe=""), known["port"]
    return f"postgresql://{known['user']}@/{known['dbname']}?host={host}&port={port}"
