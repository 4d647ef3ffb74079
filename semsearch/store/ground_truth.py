"""Queries to measure an index by, and what an exact search finds for them.

They are what users asked of the collection, as far as it was kept (`samples`), else embeddings of its own chunks, moved
a little: a chunk is a node of the graph itself, and so finds its neighbours more easily than a query from outside.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Text,
    any_,
    cast,
    func,
    literal,
    literal_column,
    select,
    tablesample,
)
from sqlalchemy.types import UserDefinedType

from semsearch.records import Embedding
from semsearch.store import indexes, nearest
from semsearch.store.nearest import Scan
from semsearch.store.schema import sampled_queries
from semsearch.store.spaces import Space, field_columns, queried, table

SAMPLED = 20_000  # chunks
# Recall@10 with 16, 24, 40 and 75 candidates, of queries from outside: .972 .993 .998 .998 (100,000 passages) and
# .725 .805 .905 .983 (20,000 random embeddings of 32 dimensions); moved by 0.42: .968 .988 .992 .993 and .837 .887 .948
# .987; not moved: .977 .978 .982 .983 and .990 .992 .993 .998.
MOVED = 0.55


class Tid(UserDefinedType[str]):
    """Where a row lies in its table."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "tid"


@dataclass(frozen=True)
class Query:
    """A query, with its filter; `tenant` is that of the chunk it was made of, if it was."""

    embedding: Embedding
    filter: Mapping[str, Any] | None = None
    tenant: str | None = None


def asked(connection: Connection, space: Space, number: int, *, filtered: bool) -> list[Query]:
    """The latest queries of users, those with a filter or those without. Of which tenant they were is not kept."""
    if space.tenant is not None:
        return []
    kept = sampled_queries.c
    found = (
        select(kept.embedding, kept.filter)
        .where(kept.collection_id == space.collection_id, func.vector_dims(kept.embedding) == space.dimensions)
        .where(kept.filter.is_not(None) if filtered else kept.filter.is_(None))
        .order_by(kept.id.desc())
        .limit(number)
    )
    return [Query(nearest.array(embedding), filter) for embedding, filter in connection.execute(found)]


def stored(connection: Connection, space: Space, number: int) -> list[Query]:
    """Embeddings of some chunks, taken at random and moved."""
    chunks = table(space)
    # Pages are sampled, and one has several chunks of the same document: many more than are wanted.
    share = min(100.0, 100 * max(SAMPLED, 20 * number) / max(indexes.rows(connection, space), 1))
    some = tablesample(chunks, func.system(literal(share)))
    tenant = literal(None) if space.tenant is None else field_columns(some, space)[space.tenant]
    found = select(some.c.embedding, tenant).order_by(func.random()).limit(number)
    if space.tenant is not None:
        found = found.where(tenant.is_not(None))
    rows = connection.execute(found).all()
    if not rows:
        return []
    moved = _moved(np.array([nearest.array(embedding) for embedding, _ in rows]))
    return [Query(embedding, tenant=owner) for embedding, (_, owner) in zip(moved, rows, strict=True)]


def _moved(embeddings: Embedding) -> Embedding:
    """Each in a direction of its own, by MOVED of how far two of them are apart."""
    others = np.roll(embeddings, 1, axis=0) if len(embeddings) > 1 else 0
    apart = np.linalg.norm(embeddings - others, axis=1).mean()
    noise = np.random.default_rng(0).standard_normal(embeddings.shape)
    noise *= MOVED * apart / np.linalg.norm(noise, axis=1, keepdims=True)
    moved: Embedding = (embeddings + noise).astype(np.float32)
    return moved


def nearest_distances(
    connection: Connection,
    space: Space,
    scan: Scan,
    query: Query,
    top_k: int,
    condition: ColumnElement[bool] | None = None,
) -> list[float]:
    """Distances of the nearest chunks that count, at most `top_k`; the settings of the scan are the caller's."""
    rows = connection.execute(
        nearest.leg(space, scan, condition, literal(top_k)), nearest.parameters(space, scan, query.embedding, top_k)
    )
    return sorted(row.distance for row in rows)


def recall(found: Sequence[float], true: Sequence[float]) -> float:
    """Share of the nearest that were found, both as sorted distances; whatever is as near as the last of them counts.

    >>> recall([0.1, 0.3, 0.3], [0.1, 0.2, 0.3]), recall([], [])
    (1.0, 1.0)
    """
    return min(bisect.bisect_right(found, true[-1]), len(true)) / len(true) if true else 1.0


def walked(space: Space, scan: Scan, nodes: int) -> Any:
    """A walk past so many nodes of the index, of which nothing is returned but their number."""
    return select(func.count()).select_from(nearest.leg(space, scan, None, literal(nodes)).subquery())


def places(connection: Connection, space: Space, number: int) -> list[str]:
    """Where so many chunks lie that are scattered over the table, as those that match a filter are."""
    share = min(100.0, 100 * number / max(indexes.rows(connection, space), 1))
    some = tablesample(table(space), func.bernoulli(literal(share)), name="scattered")
    found = select(cast(literal_column("scattered.ctid"), Text)).select_from(some).limit(number)
    return list(connection.execute(found).scalars())


def compared(space: Space, places: Sequence[str], top_k: int) -> Any:
    """An exact search of the chunks at these places."""
    chunks = queried(space)
    among = literal_column("c.ctid") == any_(cast(literal(list(places), ARRAY(Text)), ARRAY(Tid())))
    some = select(*(chunks.c[name] for name in nearest.KEY), nearest.distance(space).label("distance")).where(among)
    every = some.cte("compared").prefix_with("MATERIALIZED")
    return select(*every.c).order_by(every.c.distance).limit(top_k)
