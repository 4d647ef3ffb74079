"""The documents that were given up: which and why, to be tried again or to be forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, text

from semsearch.store import spaces, tasks
from semsearch.store.spaces import Space

Since = datetime | timedelta | None


@dataclass(frozen=True)
class Failure:
    """A document that was given up after so many attempts. `waiting`: it will be tried again."""

    document_id: str
    reason: str
    attempts: int
    failed_at: datetime
    waiting: bool


@dataclass(frozen=True)
class Choice:
    """Which failures: of one document, whose `reason` contains a text, `since` a moment or for so long."""

    document_id: str | None = None
    reason: str | None = None
    since: Since = None

    def values(self, space: Space) -> dict[str, Any]:
        """For CHOSEN and for the SQL functions; an age is counted back from the database's clock."""
        aged = isinstance(self.since, timedelta)
        return {
            "collection": space.name,
            "document_id": self.document_id,
            "reason": self.reason,
            "since": None if aged else self.since,
            "age": self.since if aged else None,
        }


SINCE = "coalesce(cast(:since AS timestamptz), now() - cast(:age AS interval))"
CHOSEN = f"""
    collection = :collection
    AND document_id = coalesce(cast(:document_id AS text), document_id)
    AND strpos(lower(reason), lower(coalesce(cast(:reason AS text), ''))) > 0
    AND failed_at >= coalesce({SINCE}, '-infinity')
"""
LIST = text(f"""
SELECT document_id, reason, attempts, failed_at, waiting FROM semsearch.failed_documents
WHERE {CHOSEN} ORDER BY failed_at DESC, document_id LIMIT :limit
""")  # noqa: S608
PAGE = text(f"""
SELECT document_id, reason, attempts, failed_at, waiting FROM semsearch.failed_documents
WHERE {CHOSEN} AND (
    cast(:last_at AS timestamptz) IS NULL OR failed_at < :last_at OR (failed_at = :last_at AND document_id > :last_id)
)
ORDER BY failed_at DESC, document_id LIMIT :limit
""")  # noqa: S608
COUNT = text(f"SELECT count(*) FROM semsearch.failed_documents WHERE {CHOSEN}")  # noqa: S608
ACTIONS = {
    name: text(f"SELECT semsearch.{name}(:collection, cast(:document_id AS text), cast(:reason AS text), {SINCE})")
    for name in ("retry", "purge_failures")
}


ANY = text("SELECT EXISTS (SELECT FROM semsearch.failures WHERE collection_id = :collection_id)")
AGAIN = """
INSERT INTO semsearch.tasks (collection_id, document_id)
SELECT f.collection_id, f.document_id
FROM semsearch.failures f
WHERE f.collection_id = :collection_id AND f.document_id = ANY(:ids)
  AND NOT EXISTS (
      SELECT FROM semsearch.tasks t WHERE t.collection_id = f.collection_id AND t.document_id = f.document_id
  )
"""


def enqueue(connection: Connection, space: Space, ids: Sequence[str]) -> int:
    """Have those of these documents tried again that were given up and do not wait; returns how many.

    For documents put again as they are, which no trigger tells of: whoever does that has set right what was wrong.
    """
    if not connection.execute(ANY, {"collection_id": space.collection_id}).scalar_one():
        return 0  # as nearly always: the ids need not be sent
    return connection.execute(text(AGAIN).bindparams(tasks.ids(ids)), {"collection_id": space.collection_id}).rowcount


def some(connection: Connection, space: Space, choice: Choice, limit: int | None) -> Sequence[Failure]:
    """The latest first."""
    found = [Failure(**row._mapping) for row in connection.execute(LIST, {**choice.values(space), "limit": limit})]
    if not found:
        spaces.check_exists(connection, space)
    return found


def page(
    connection: Connection, space: Space, choice: Choice, after: tuple[datetime, str] | None, limit: int
) -> list[Failure]:
    """The next in that order, behind the moment and the document with which the page before ended."""
    last_at, last_id = after or (None, None)
    rows = connection.execute(PAGE, {**choice.values(space), "last_at": last_at, "last_id": last_id, "limit": limit})
    return [Failure(**row._mapping) for row in rows]


def count(connection: Connection, space: Space, choice: Choice) -> int:
    return int(connection.execute(COUNT, choice.values(space)).scalar_one())


def act(connection: Connection, space: Space, action: Literal["retry", "purge_failures"], choice: Choice) -> int:
    """Have them tried again, or forget them; returns how many."""
    return int(connection.execute(ACTIONS[action], choice.values(space)).scalar_one())
