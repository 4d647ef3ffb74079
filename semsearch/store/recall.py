"""Recall as users have it: what searches found, against exact answers, on the collection's own queries; its history."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Engine, and_, func, insert, select

from semsearch import filters
from semsearch.errors import FilterError
from semsearch.records import Hit
from semsearch.store import calibration, ground_truth, tenants
from semsearch.store.ground_truth import Query
from semsearch.store.nearest import EXACT
from semsearch.store.schema import recalls
from semsearch.store.spaces import Space, filter_columns

QUERIES = 100
Search = Callable[[Query, int], Sequence[Hit]]
OnQuery = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Recall:
    """Share of the `top_k` nearest chunks that searches found, mean over the queries; None where there were none.

    `filtered_recall` is of the queries with a filter, which only users ask. `ef_search` is what the index was asked
    with, None without one that was measured.
    """

    measured_at: datetime
    top_k: int
    queries: int
    recall: float | None
    filtered_queries: int
    filtered_recall: float | None
    ef_search: int | None


COLUMNS = tuple(recalls.c[name] for name in Recall.__dataclass_fields__)


def measure(
    engine: Engine,
    space: Space,
    search: Search,
    *,
    queries: int = QUERIES,
    top_k: int = 10,
    on_query: OnQuery | None = None,
) -> Recall:
    """Ask users' latest queries again and compare; embeddings of chunks where there are too few of them.

    `search` takes embedding, filter and tenant of the query, and how many hits it wants, as a user's search does.
    """
    with engine.connect() as connection:
        plain = ground_truth.asked(connection, space, queries, filtered=False)
        plain += ground_truth.stored(connection, space, queries - len(plain))
        filtered = ground_truth.asked(connection, space, queries, filtered=True)
        known = calibration.read(connection, space)
        measured_at = connection.execute(select(func.clock_timestamp())).scalar_one()
    shares: dict[bool, list[float]] = {False: [], True: []}
    for number, query in enumerate([*plain, *filtered], 1):
        share = _share(engine, space, search, query, top_k)
        if share is not None:
            shares[query.filter is not None].append(share)
        if on_query:
            on_query(number, len(plain) + len(filtered))
    return Recall(
        measured_at=measured_at,
        top_k=top_k,
        queries=len(shares[False]),
        recall=_mean(shares[False]),
        filtered_queries=len(shares[True]),
        filtered_recall=_mean(shares[True]),
        ef_search=known.ef_search if known else None,
    )


def _share(engine: Engine, space: Space, search: Search, query: Query, top_k: int) -> float | None:
    """The recall of one query; None where its filter is of an earlier time and fits the fields no longer."""
    try:
        condition = _condition(space, query)
    except FilterError:
        return None
    with engine.connect() as connection:
        true = ground_truth.nearest_distances(connection, space, EXACT, query, top_k, condition)
    found = sorted(hit.distance for hit in search(query, top_k) if hit.distance is not None)
    return ground_truth.recall(found, true)


def _condition(space: Space, query: Query) -> ColumnElement[bool] | None:
    conditions = tenants.condition(space, query.tenant)
    if query.filter is not None:
        conditions.append(filters.compile(filters.parse(query.filter), filter_columns(space)))
    return and_(*conditions) if conditions else None


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return statistics.fmean(known) if known else None


def keep(connection: Connection, space: Space, measured: Recall) -> None:
    """Add it to the history."""
    values = {"collection_id": space.collection_id, "space_id": space.id, **asdict(measured)}
    connection.execute(insert(recalls).values(values))


def history(connection: Connection, space: Space, limit: int = 20) -> list[Recall]:
    """What was measured of the collection, the latest first."""
    found = (
        select(*COLUMNS)
        .where(recalls.c.collection_id == space.collection_id)
        .order_by(recalls.c.measured_at.desc())
        .limit(limit)
    )
    return [Recall(**row._mapping) for row in connection.execute(found)]
