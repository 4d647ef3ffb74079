"""Whether a collection is still as it was seen: cheaper than to read it again, as a server would at each request."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from semsearch.store.connection import driver

# xmin is the transaction that wrote a row: another one, wherever anything in the row was changed.
# https://www.postgresql.org/docs/18/ddl-system-columns.html
VERSION = """
SELECT c.id, c.xmin::text, s.id, s.xmin::text
FROM semsearch.collections c JOIN semsearch.spaces s ON s.collection_id = c.id AND s.state = 'live'
WHERE c.name = %s
"""

Version = tuple[Any, ...]


def of(engine: Engine, name: str) -> Version | None:
    """What is another whenever the collection or its live space is changed; None where there is none of that name."""
    with engine.connect() as connection:
        return driver(connection).execute(VERSION, (name,), prepare=True).fetchone()
