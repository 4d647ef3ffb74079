"""Keeps some of the queries that were asked, with their filters, to measure recall by what users really ask."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from semsearch.records import Embedding
from semsearch.store.spaces import Space

EVERY = 10.0  # seconds between two samples of one process: on average they cost a search nothing
KEEP = 1_000  # queries of a collection
TIDY = 0.05  # share of the samples after which the oldest are removed

INSERT = text("""
INSERT INTO semsearch.sampled_queries (collection_id, embedding, filter, top_k)
VALUES (:collection_id, CAST(:embedding AS vector), CAST(:filter AS jsonb), :top_k)
""")
REMOVE = text("""
DELETE FROM semsearch.sampled_queries
WHERE collection_id = :collection_id
  AND id < (SELECT id FROM semsearch.sampled_queries WHERE collection_id = :collection_id
            ORDER BY id DESC OFFSET :keep LIMIT 1)
""")


@dataclass
class Sampler:
    """Takes a sample now and then. Safe to use from several threads."""

    engine: Engine
    space: Space
    _next: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, embedding: Embedding | None, filter: Mapping[str, Any] | None, top_k: int) -> None:
        """Keep this query, if one is due; a role that may only read searches all the same."""
        with self._lock:
            now = time.monotonic()
            if embedding is None or now < self._next:
                return
            self._next = now + EVERY
        values = {
            "collection_id": self.space.collection_id,
            "embedding": str(embedding.tolist()),
            "filter": None if filter is None else json.dumps(filter, default=plain),
            "top_k": top_k,
        }
        try:
            with self.engine.begin() as connection:
                connection.execute(INSERT, values)
                if random.random() < TIDY:  # noqa: S311
                    connection.execute(REMOVE, {"collection_id": self.space.collection_id, "keep": KEEP})
        except DBAPIError:
            return


def plain(value: Any) -> Any:
    """What a filter may hold beside JSON: dates, and what is a mapping without being a dict."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a value of type {type(value).__name__} is no JSON")
