"""The statements that find the nearest chunks: by comparing all that match, or by walking an ANN index."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pgvector import HalfVector
from sqlalchemy import (
    CTE,
    ColumnElement,
    Engine,
    Float,
    Select,
    bindparam,
    collate,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import psycopg as dialect
from sqlalchemy.types import UserDefinedType

from semsearch.records import Embedding, Hit
from semsearch.store import keys
from semsearch.store.connection import EF_SEARCH, driver
from semsearch.store.deadlines import limited
from semsearch.store.index_expressions import indexed_distance
from semsearch.store.indexes import Index
from semsearch.store.session import Setting, settled, transaction
from semsearch.store.spaces import OPERATORS, Space, queried

Plan = Literal["exact", "ann"]
KEY = ("document_id", "ordinal")
SHOWN = (*KEY, "text", "metadata", "heading", "start", "end")  # the columns of a Hit, after its distance
MOST_CANDIDATES = 1000  # hnsw.ef_search goes no further (pgvector README, "Query Options")

_DIALECT = dialect.dialect()  # type: ignore[no-untyped-call]
_PLACEHOLDER = re.compile(r"%\((\w+)\)s|%%")


class _AsIs(UserDefinedType[Any]):
    """For the query: psycopg sends it in binary, where pgvector's type would make a text of it (0.25 ms at 384)."""

    cache_ok = True


QUERY = bindparam("query", type_=_AsIs())


@dataclass(frozen=True)
class Scan:
    """How the nearest are to be found: `plan`, and for `ann` the index that is walked.

    `candidates` are asked of the index, from which the nearest are taken; 0 where they are the nearest themselves. They
    are more than `top_k` where the index does not hold the embeddings themselves, and where there is a condition.
    `few` says that an exact plan compares so few that their texts may be read along. `settings` are pgvector's.
    """

    plan: Plan
    index: Index | None = None
    candidates: int = 0
    settings: tuple[Setting, ...] = ()
    few: bool = False


EXACT = Scan("exact")
FEW = Scan("exact", few=True)
# 1,000 of 100,000 passages took 3.7 ms with their texts and 3.9 without; 10,000 took 53 and 34 ms.
MOST_FEW = 1_000


@dataclass(frozen=True)
class Found:
    """What a statement found, nearest first; `seen` chunks were compared or were candidates, where that was counted.

    `is_whole`: no words were in too many chunks to follow them into all.
    """

    hits: list[Hit]
    sql: str
    seen: int | None
    is_whole: bool = True


def distance(space: Space) -> ColumnElement[float]:
    """The collection's distance of a chunk of `queried` from the query."""
    return queried(space).c.embedding.op(OPERATORS[space.distance], return_type=Float())(QUERY)


def leg(space: Space, scan: Scan, condition: ColumnElement[bool] | None, limit: ColumnElement[int]) -> Select[Any]:
    """Keys and distances of the nearest, `limit` of them: what other statements are built on."""
    found = _keys(space, condition)
    if scan.plan == "exact":
        return found.order_by(*total_order(space, distance(space) + literal_column("0"))).limit(limit)
    if scan.index is not None and is_direct(space, scan.index):
        return found.order_by(_walked(space, scan)).limit(limit)
    return _best(_candidates(space, scan, condition), limit)


def counted_leg(
    space: Space, scan: Scan, condition: ColumnElement[bool] | None, limit: ColumnElement[int]
) -> Select[Any]:
    """The same, with how many chunks were compared as `seen`; NULL where that is not counted."""
    if scan.plan != "exact":
        return leg(space, scan, condition, limit).add_columns(literal_column("NULL::bigint").label("seen"))
    every = _matching(space, condition)
    return _best(every, limit).add_columns(_number(every).label("seen"))


def _keys(space: Space, condition: ColumnElement[bool] | None) -> Select[Any]:
    chunks = queried(space)
    found = select(*(chunks.c[name] for name in KEY), distance(space).label("distance"))
    return found if condition is None else found.where(condition)


def _walked(space: Space, scan: Scan) -> ColumnElement[float]:
    """The order that the index gives."""
    assert scan.index is not None
    embedding, index = queried(space).c.embedding, scan.index
    return indexed_distance(embedding, QUERY, space, index.quantization, index.dimensions)


def _candidates(space: Space, scan: Scan, condition: ColumnElement[bool] | None) -> CTE:
    some = _keys(space, condition).order_by(_walked(space, scan)).limit(bindparam("candidates"))
    return some.cte("candidates").prefix_with("MATERIALIZED")


def _best(some: CTE, limit: ColumnElement[int]) -> Select[Any]:
    """The nearest of them."""
    # PostgreSQL 17 takes the order of a walk for granted, which is only nearly right: hence + 0.
    nearness = some.c.distance + literal_column("0")
    return select(*some.c).order_by(nearness, collate(some.c.document_id, "C"), some.c.ordinal).limit(limit)


def is_direct(space: Space, index: Index) -> bool:
    """Whether the index holds the embeddings themselves, so that its order is that of their distances."""
    return index.quantization == "none" and index.dimensions == space.dimensions


def total_order(space: Space, nearness: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
    """By nearness; among equals by id and ordinal, as Python sorts them, so that no page depends on chance."""
    chunks = queried(space)
    return nearness, collate(chunks.c.document_id, "C"), chunks.c.ordinal


def statement(space: Space, scan: Scan, condition: ColumnElement[bool] | None) -> Select[Any]:
    """Distance and columns of a Hit, and how many chunks were compared, or were candidates; not in the bare form."""
    chunks = queried(space)
    shown = [chunks.c[name] for name in SHOWN]
    if scan.plan == "ann" and not scan.candidates:
        # The bare form, which is the fastest: the index hands over each row as it is found.
        found = select(distance(space).label("distance"), *shown)
        if condition is not None:
            found = found.where(condition)
        return found.order_by(distance(space)).limit(bindparam("top_k"))
    if scan.plan == "exact":
        return _few(space, condition, shown) if scan.few else _exact(space, condition, shown)
    return _counted(space, _candidates(space, scan, condition), shown)


def _exact(space: Space, condition: ColumnElement[bool] | None, shown: Sequence[ColumnElement[Any]]) -> Select[Any]:
    """All that match are compared, and counted. Materialized without an order, they leave an index nothing to serve."""
    return _counted(space, _matching(space, condition), shown)


def _matching(space: Space, condition: ColumnElement[bool] | None) -> CTE:
    return _keys(space, condition).cte("matching").prefix_with("MATERIALIZED")


def _counted(space: Space, some: CTE, shown: Sequence[ColumnElement[Any]]) -> Select[Any]:
    """The nearest of them, and how many they are."""
    return _joined(space, _best(some, bindparam("top_k")).subquery("nearest"), [*shown, _number(some).label("seen")])


def _number(some: CTE) -> ColumnElement[int]:
    return select(func.count()).select_from(some).scalar_subquery()


def _few(space: Space, condition: ColumnElement[bool] | None, shown: Sequence[ColumnElement[Any]]) -> Select[Any]:
    """The same in one pass, which is planned in half the time. OFFSET keeps the order, and so an index, out of it."""
    matching = select(distance(space).label("distance"), *shown, func.count().over().label("seen"))
    if condition is not None:
        matching = matching.where(condition)
    every = matching.offset(literal_column("0")).subquery("matching")
    first = (every.c.distance, collate(every.c.document_id, "C"), every.c.ordinal)
    return select(*every.c).order_by(*first).limit(bindparam("top_k"))


def _joined(space: Space, nearest: Any, shown: Sequence[ColumnElement[Any]]) -> Select[Any]:
    chunks = queried(space)
    same = (chunks.c.document_id == nearest.c.document_id) & (chunks.c.ordinal == nearest.c.ordinal)
    first = (nearest.c.distance, collate(nearest.c.document_id, "C"), nearest.c.ordinal)
    return select(nearest.c.distance, *shown).join_from(nearest, chunks, same).order_by(*first)


@dataclass(frozen=True)
class Prepared:
    """A statement as it is sent, with the values of its condition: made once for each filter, which takes a while."""

    sql: str
    values: Mapping[str, Any]


def prepared(space: Space, scan: Scan, condition: ColumnElement[bool] | None) -> Prepared:
    """The statement of a scan, compiled."""
    compiled = statement(space, scan, condition).compile(dialect=_DIALECT)
    values = {}
    for name, bound in compiled.binds.items():
        process = bound.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
        values[name] = bound.value if process is None or bound.value is None else process(bound.value)
    return Prepared(compiled.string, values)


def run(
    engine: Engine,
    space: Space,
    scan: Scan,
    query: Embedding,
    condition: ColumnElement[bool] | None,
    top_k: int,
    timeout: float | None = None,
    statement: Prepared | None = None,
) -> Found:
    """Run the statement and sort what came: an iterative scan may return neighbours a little out of order.

    It goes straight through psycopg, in binary and prepared, without what Core adds to each call. `statement` is the
    one of this scan and condition, where it was prepared before. Raises what `deadlines.kept` understands when it
    takes longer than `timeout` seconds.
    """
    asked = statement or prepared(space, scan, condition)
    values = {**asked.values, **parameters(space, scan, query, top_k)}
    with engine.connect() as connection, driver(connection).cursor(binary=True) as cursor:
        with settled(connection, (*scan.settings, *limited(timeout))):
            cursor.execute(asked.sql, values, prepare=True)
        rows = cursor.fetchall()
    width = len(SHOWN) + 1
    hits = sorted((Hit(*row[:width]) for row in rows), key=order)
    seen = (rows[0][width] if rows else 0) if scan.plan == "exact" or scan.candidates else None
    return Found(hits, numbered(asked.sql), seen)


def order(hit: Hit) -> tuple[float, str, int]:
    """As `total_order` sorts."""
    assert hit.distance is not None
    return hit.distance, hit.document_id, hit.ordinal


def parameters(space: Space, scan: Scan, query: Embedding, top_k: int) -> dict[str, Any]:
    """The values of the statement's own parameters; conditions bring theirs."""
    return {
        "query": value(space, query),
        "top_k": top_k,
        **({"candidates": scan.candidates} if scan.candidates else {}),
    }


def hnsw_settings(ef_search: int, max_scan_tuples: int | None = None) -> tuple[Setting, ...]:
    """What a walk needs beyond the connection's own settings."""
    wanted = min(MOST_CANDIDATES, ef_search)
    settings = [("hnsw.ef_search", wanted)] if wanted != EF_SEARCH else []
    if max_scan_tuples is not None:
        settings.append(("hnsw.max_scan_tuples", max_scan_tuples))
    return tuple(settings)


def ivfflat_settings(probes: int) -> tuple[Setting, ...]:
    return (("ivfflat.probes", probes),)


def ef_search(rows: int) -> int:
    """Candidates that reach a recall of about 0.95: 40 at 10,000 rows, 75 at 100,000, 110 at a million.

    Fitted to published sweeps (pgvector issues 326 and 409, ParadeDB 5490), until the index has been calibrated.
    """
    return max(40, round(40 + 35 * math.log10(max(rows, 1) / 10_000)))


def beyond(space: Space, least: float, shown: Sequence[tuple[str, int]]) -> ColumnElement[bool]:
    """What comes after a page: farther than its last hit, or as far and not among those that were shown."""
    chunks = queried(space)
    key = chunks.c.document_id.op("||")(literal_column("' '")).op("||")(chunks.c.ordinal)
    unseen = key != func.all(literal([f"{id} {ordinal}" for id, ordinal in shown]))
    return (distance(space) > least) | ((distance(space) == least) & unseen)


def value(space: Space, query: Embedding) -> Any:
    """The query as the driver sends it."""
    return HalfVector(query) if space.vector_type == "halfvec" else query


def numbered(sql: str) -> str:
    """
    >>> numbered("SELECT %(a)s, %(b)s, %(a)s")
    'SELECT $1, $2, $1'
    """
    numbers: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        if found[1] is None:
            return "%"
        return f"${numbers.setdefault(found[1], len(numbers) + 1)}"

    return _PLACEHOLDER.sub(number, sql)


def mean_embedding(
    engine: Engine,
    space: Space,
    document_id: str,
    conditions: Sequence[ColumnElement[bool]] = (),
    timeout: float | None = None,
) -> Embedding | None:
    """The mean of a document's chunks that meet the conditions, which stands for all of it; None without chunks."""
    chunks = queried(space)
    with engine.connect() as connection, transaction(connection, limited(timeout)):
        mean = connection.execute(
            select(func.avg(chunks.c.embedding)).where(chunks.c.document_id == document_id, *conditions)
        ).scalar()
    return None if mean is None else array(mean)


def embeddings(engine: Engine, space: Space, hits: Sequence[Hit]) -> Embedding:
    """The stored embeddings of hits, shape (n, dimensions), in their order; zeros for a chunk that has gone since."""
    chunks, given = queried(space), keys.given([(hit.document_id, hit.ordinal) for hit in hits])
    same = (chunks.c.document_id == given.c.document_id) & (chunks.c.ordinal == given.c.ordinal)
    made = np.zeros((len(hits), space.dimensions), np.float32)
    with engine.connect() as connection:
        for place, stored in connection.execute(
            select(given.c.place, chunks.c.embedding).join_from(given, chunks, same)
        ):
            made[place - 1] = array(stored)
    return made


def array(value: Any) -> Embedding:
    """What the driver makes of a vector or halfvec, as an embedding."""
    return np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value, dtype=np.float32)
