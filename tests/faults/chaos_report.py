"""What a chaos run has done and seen, and what is left in the database at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from semsearch.embedders import Embedder
from tests.faults import invariants, truth
from tests.faults.invariants import Subject, Violations


@dataclass
class Report:
    """What was done and what was seen. `violated` counts the snapshots in which something was wrong."""

    seconds: float = 0.0
    mutant: str | None = None
    faults: dict[str, int] = field(default_factory=dict)
    worker_refusals: int = 0
    worker_exits: int = 0
    users: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    snapshots: int = 0
    violated: dict[str, int] = field(default_factory=dict)
    examples: Violations = field(default_factory=dict)
    largest_backlog: int = 0
    settled: float = 0.0  # share of the documents without a task, on average: only there can something be wrong
    drain_seconds: float | None = None
    left: dict[str, int] = field(default_factory=dict)
    left_wrong: Violations = field(default_factory=dict)
    given_up: list[str] = field(default_factory=list)  # why, but for the poison
    stored: dict[str, int] = field(default_factory=dict)
    compared: int = 0  # embeddings, with what a real model makes of the text
    deadlocks: list[str] = field(default_factory=list)  # of anybody: who waited for whom

    @property
    def wrong(self) -> list[str]:
        """Everything that must not be, in words."""
        found = [f"{kind} in {count} snapshots" for kind, count in self.violated.items()]
        found += [f"{kind} at the end: {ids}" for kind, ids in self.left_wrong.items()]
        found += [f"{count} {what} left" for what, count in self.left.items() if count]
        found += [f"given up: {reason}" for reason in self.given_up]
        users = {k: v for k, v in self.users.items() if k in ("deadlocks", "serialization_failures", "other_errors")}
        found += [f"{count} {kind} of users" for kind, count in users.items() if count]
        found += ["not drained"] if self.drain_seconds is None else []
        return found

    def look(self, connection: psycopg.Connection[Any], subjects: Sequence[Subject], log: Path) -> None:
        """Enter what is left when all is done."""
        self.left_wrong = invariants.violations(connection, *subjects)
        self.left = left(connection)
        self.given_up = [reason for (reason,) in connection.execute(WITHOUT_POISON)]
        self.stored = _stored(connection, subjects)
        self.deadlocks = _deadlocks(log)

    def compare(self, connection: psycopg.Connection[Any], subjects: Sequence[Subject], embedder: Embedder) -> None:
        """Enter the chunks whose embedding is not that of their text, by the model itself.

        Its embeddings depend in their last bits on what was embedded in the same batch.
        """
        for subject in subjects:
            table = f"semsearch.chunks_{subject.space_id}"
            rows = connection.execute(f"SELECT document_id, text, embedding::real[] FROM {table}".encode()).fetchall()
            right = embedder.embed_documents([text for _, text, _ in rows])
            cosines = (right * np.array([stored for _, _, stored in rows], np.float32)).sum(axis=1)
            wrong = [id for (id, _, _), cosine in zip(rows, cosines, strict=True) if cosine < 0.999]
            self.compared += len(rows)
            if wrong:
                self.left_wrong["embedding"] = [*self.left_wrong.get("embedding", []), *wrong]


def _deadlocks(log: Path) -> list[str]:
    """Who waited for whom, as the server saw it."""
    found = log.read_text(errors="replace").split("deadlock detected")[1:]
    return [" ".join(each.partition("HINT:")[0].split())[:1500] for each in found]


WITHOUT_POISON = f"""
SELECT reason FROM semsearch.failures
WHERE reason NOT LIKE '%does not take the text%' OR NOT EXISTS (
    SELECT FROM semsearch.documents d WHERE d.id = document_id AND d.text LIKE '{truth.POISON}%'
    UNION ALL
    SELECT FROM public.articles d WHERE d.id::text = document_id AND d.body LIKE '{truth.POISON}%')
"""


def left(connection: psycopg.Connection[Any]) -> dict[str, int]:
    row = connection.execute(
        "SELECT (SELECT count(*) FROM semsearch.tasks), (SELECT count(*) FROM semsearch.leases)"
    ).fetchone()
    assert row
    return dict(zip(("tasks", "leases"), row, strict=True))


def _stored(connection: psycopg.Connection[Any], subjects: Sequence[Subject]) -> dict[str, int]:
    stored: Counter[str] = Counter()
    for each in subjects:
        statement = f"SELECT count(DISTINCT document_id), count(*) FROM semsearch.chunks_{each.space_id}"
        row = connection.execute(statement).fetchone()
        assert row
        stored.update(documents=row[0], chunks=row[1])
    row = connection.execute("SELECT count(*) FROM semsearch.failures").fetchone()
    assert row
    return {**stored, "failures": row[0]}
