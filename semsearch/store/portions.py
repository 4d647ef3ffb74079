"""The nearest chunks as far as time allows: the table is read portion by portion, and the best so far are kept."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import ColumnElement, Engine, cast, literal, literal_column, text

from semsearch.errors import DeadlineExceeded
from semsearch.records import Embedding
from semsearch.store import nearest
from semsearch.store.deadlines import Deadline, kept, limited
from semsearch.store.ground_truth import Tid
from semsearch.store.nearest import Found
from semsearch.store.session import transaction
from semsearch.store.spaces import Space

FIRST = 16  # pages of 8 kB: about 70 chunks of 384 dimensions
LONGEST = 0.1  # of the time that is left, about, for each further portion


def run(
    engine: Engine,
    space: Space,
    query: Embedding,
    condition: ColumnElement[bool] | None,
    top_k: int,
    deadline: Deadline,
) -> tuple[Found, bool]:
    """The best of what could be read before the deadline, and whether that was everything."""
    best = Found([], "", 0)
    block, size = 0, FIRST
    try:
        with kept(deadline):
            pages = _pages(engine, space, deadline.remaining())
        while block < pages:
            left = deadline.remaining() or 0
            with kept(deadline):
                some = nearest.run(
                    engine, space, nearest.EXACT, query, _within(space, block, block + size, condition), top_k, left
                )
            best = _merged(best, some, top_k)
            block += size
            taken = left - (deadline.remaining() or 0)
            size = max(1, round(size * min(4, LONGEST * left / max(taken, 1e-4))))
    except DeadlineExceeded:
        return best, False
    return best, True


def _pages(engine: Engine, space: Space, timeout: float | None) -> int:
    with engine.connect() as connection, transaction(connection, limited(timeout)):
        found = connection.execute(
            text("SELECT pg_relation_size(to_regclass(:table)) / current_setting('block_size')::int"),
            {"table": f"semsearch.{space.table_name}"},
        )
        return int(found.scalar() or 0)


def _within(space: Space, first: int, end: int, condition: ColumnElement[bool] | None) -> ColumnElement[bool]:
    """Pages from `first` to before `end`: PostgreSQL reads just those (a TID range scan)."""
    place = literal_column("c.ctid", Tid())
    portion = (place >= cast(literal(f"({first},0)"), Tid())) & (place < cast(literal(f"({end},0)"), Tid()))
    return portion if condition is None else portion & condition


def _merged(best: Found, some: Found, top_k: int) -> Found:
    hits = sorted([*best.hits, *some.hits], key=nearest.order)[:top_k]
    return replace(some, hits=hits, seen=(best.seen or 0) + (some.seen or 0))
