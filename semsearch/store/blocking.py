"""Blocked collections: their documents wait, until what keeps them is put right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT

from semsearch.store import backfill, source
from semsearch.store.spaces import Space

# Not once another table was attached, or none: the reason is not one of that.
BLOCK = text("""
UPDATE semsearch.collections SET state = 'blocked', reason = :reason, blocked_at = now()
WHERE id = :collection_id AND attachment IS NOT DISTINCT FROM CAST(:attachment AS jsonb)
  AND (state, reason) IS DISTINCT FROM ('blocked', :reason)
""")
UNBLOCK = text("""
UPDATE semsearch.collections SET state = 'active', reason = NULL, blocked_at = NULL
WHERE name = ANY(:names) AND state = 'blocked' AND blocked_at <= now() - make_interval(secs => :seconds)
RETURNING name
""")


def block(connection: Connection, space: Space, reason: str) -> bool:
    """Claim nothing of the collection any more; whether that is news.

    A table that is not what it was may have changed without a task: once it can be read again, all of it is.
    """
    attachment = json.dumps(asdict(space.attachment)) if space.attachment else None
    values = {"collection_id": space.collection_id, "attachment": attachment, "reason": reason[:500]}
    is_news = bool(connection.execute(BLOCK, values).rowcount)
    if is_news and source.check(connection, space):
        backfill.restart(connection, space)
    return is_news


def unblock(connection: Connection, names: Sequence[str], seconds: float = 0) -> list[str]:
    """Have those tried again that have been blocked for so many seconds; returns their names."""
    bound = UNBLOCK.bindparams(bindparam("names", list(names), type_=ARRAY(TEXT)))
    return list(connection.execute(bound, {"seconds": seconds}).scalars())
