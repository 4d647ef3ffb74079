"""How many chunks meet a condition: what PostgreSQL estimates, or counted as far as it matters."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Engine, func, literal, select

from semsearch.store.deadlines import limited
from semsearch.store.explaining import Explain
from semsearch.store.session import transaction
from semsearch.store.spaces import Space, queried


class Estimate(NamedTuple):
    """Chunks that match by PostgreSQL's statistics; `scanned` when no index serves the condition."""

    rows: int
    scanned: bool


def estimate(engine: Engine, space: Space, condition: ColumnElement[bool], timeout: float | None = None) -> Estimate:
    """What EXPLAIN says of the condition; nothing is read but statistics (0.1 ms)."""
    some = select(literal(1)).select_from(queried(space)).where(condition)
    with engine.connect() as connection, transaction(connection, limited(timeout)):
        plan = connection.execute(Explain(some, "FORMAT JSON")).scalar_one()[0]["Plan"]
    return Estimate(int(plan["Plan Rows"]), "Seq Scan" in plan["Node Type"])


def count_up_to(
    engine: Engine, space: Space, condition: ColumnElement[bool], limit: int, timeout: float | None = None
) -> int:
    """Chunks that meet the condition, counted no further than `limit`."""
    some = select(literal(1)).select_from(queried(space)).where(condition).limit(limit).subquery()
    with engine.connect() as connection, transaction(connection, limited(timeout)):
        return int(connection.execute(select(func.count()).select_from(some)).scalar_one())
