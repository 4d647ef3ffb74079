"""What was embedded by whom: a row for each collection, worker and minute, and what a day has used of its budget."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from semsearch.errors import InvalidInput
from semsearch.fields import describe
from semsearch.store.spaces import Space

# The minute is computed in VALUES and not in DO UPDATE, where Citus takes no now().
ADD = text("""
INSERT INTO semsearch.usage AS u (collection_id, minute, worker, documents, chunks, embedded, cached, tokens)
VALUES (:collection_id, date_trunc('minute', now(), 'UTC'), :worker, :documents, :chunks, :embedded, :cached, :tokens)
ON CONFLICT (collection_id, minute, worker) DO UPDATE
SET documents = u.documents + excluded.documents, chunks = u.chunks + excluded.chunks,
    embedded = u.embedded + excluded.embedded, cached = u.cached + excluded.cached,
    tokens = u.tokens + excluded.tokens
""")


def add(
    connection: Connection,
    space: Space,
    worker: int,
    *,
    documents: int = 0,
    chunks: int = 0,
    embedded: int = 0,
    cached: int = 0,
    tokens: int = 0,
) -> None:
    """Add to what this worker did for the collection in the minute in which the transaction began.

    `embedded` inputs went to the model and `cached` did not have to; `tokens` may be negative, to correct an estimate.
    """
    counts = {"documents": documents, "chunks": chunks, "embedded": embedded, "cached": cached, "tokens": tokens}
    if any(counts.values()):
        connection.execute(ADD, {"collection_id": space.collection_id, "worker": worker, **counts})


TIDY = text("DELETE FROM semsearch.usage WHERE minute < now() - interval '32 days'")


def tidy(connection: Connection) -> None:
    """Forget what is more than a month old."""
    connection.execute(TIDY)


BUDGET = text("SELECT token_budget FROM semsearch.collections WHERE id = :collection_id")


def check_budget(tokens: int | None) -> None:
    """Raise InvalidInput for what is no number of tokens."""
    if tokens is not None and (type(tokens) is not int or not 1 <= tokens < 2**63):
        raise InvalidInput(f"a token budget is a whole number of tokens a day, at least 1; got {describe(tokens)}.")


# Locked, so that two workers never count on the same tokens; in a statement of its own, because the sum must see what
# the one before us has committed.
LOCK = text("SELECT token_budget FROM semsearch.collections WHERE id = :collection_id FOR NO KEY UPDATE")
USED = text("""
SELECT coalesce(sum(tokens), 0)::bigint AS used, date_trunc('day', now(), 'UTC') + interval '24 hours' AS next_day,
       extract(epoch FROM date_trunc('day', now(), 'UTC') + interval '24 hours' - now())::float AS seconds
FROM semsearch.usage
WHERE collection_id = :collection_id AND minute >= date_trunc('day', now(), 'UTC')
""")


@dataclass(frozen=True)
class Allowance:
    """What is left of the tokens of a day, which ends at midnight UTC: at `next_day`, in so many seconds."""

    budget: int
    left: int
    next_day: datetime
    seconds: float


def budget(connection: Connection, space: Space) -> int | None:
    """The tokens that the collection may use a day, as it is now; None without a limit."""
    found: int | None = connection.execute(BUDGET, {"collection_id": space.collection_id}).scalar_one_or_none()
    return found


def today(connection: Connection, space: Space) -> int:
    """The tokens of this day, by UTC."""
    return int(connection.execute(USED, {"collection_id": space.collection_id}).one().used)


def allowance(connection: Connection, space: Space) -> Allowance | None:
    """What is left today, None without a limit. Whoever else asks waits until this transaction ends."""
    values = {"collection_id": space.collection_id}
    limit = connection.execute(LOCK, values).scalar_one_or_none()
    if limit is None:
        return None
    row = connection.execute(USED, values).one()
    return Allowance(limit, limit - row.used, row.next_day, row.seconds)


RATE = text("""
SELECT sum(tokens) / (60.0 * count(DISTINCT minute))
FROM semsearch.usage
WHERE collection_id = :collection_id AND tokens > 0 AND minute > now() - interval '24 hours'
""")


def rate(connection: Connection, space: Space) -> float | None:
    """Tokens a second in the minutes of the last day in which something was embedded; None when nothing was."""
    found = connection.execute(RATE, {"collection_id": space.collection_id}).scalar_one()
    return None if found is None else float(found)


HIT_RATE = text("""
SELECT sum(cached) / nullif(sum(cached) + sum(embedded), 0)
FROM semsearch.usage WHERE collection_id = :collection_id
""")


def hit_rate(connection: Connection, space: Space) -> float | None:
    """The share of texts that did not have to go to the model; None when there were none."""
    found = connection.execute(HIT_RATE, {"collection_id": space.collection_id}).scalar_one()
    return None if found is None else float(found)
