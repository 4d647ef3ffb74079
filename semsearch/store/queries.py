"""The statements a search runs: bare operator, ascending, LIMIT, which is the one form the ANN index answers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import psycopg
from pgvector import HalfVector
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Float,
    Select,
    bindparam,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import psycopg as dialect

from semsearch.records import Embedding, Hit, Hits
from semsearch.store.connection import EF_SEARCH, driver
from semsearch.store.spaces import OPERATORS, Space, queried
from semsearch.store.watchdog import Watched

Plan = Literal["exact", "ann"]

_DIALECT = dialect.dialect()  # type: ignore[no-untyped-call]
_PLACEHOLDER = re.compile(r"%\((\w+)\)s|%%")


def statement(space: Space, plan: Plan, condition: ColumnElement[bool] | None) -> Select[Any]:
    """The columns of a Hit, nearest first. `+ 0` makes the ANN index unusable, and nothing else: the exact plan."""
    chunks = queried(space)
    query = bindparam("query", type_=chunks.c.embedding.type)
    distance = chunks.c.embedding.op(OPERATORS[space.distance], return_type=Float())(query)
    names = ("document_id", "ordinal", "text", "metadata", "heading", "start", "end")
    found = select(distance.label("distance"), *(chunks.c[name] for name in names))
    if condition is not None:
        found = found.where(condition)
    order = distance if plan == "ann" else distance + literal_column("0")
    return found.order_by(order).limit(bindparam("top_k"))


def run(
    engine: Engine,
    space: Space,
    plan: Plan,
    query: Embedding,
    condition: ColumnElement[bool] | None,
    top_k: int,
    index: str | None,
    rows: int,
) -> Hits:
    """Run the statement and sort what came: an iterative scan may return neighbours a little out of order."""
    settings = _settings(plan, index, top_k, rows)
    if condition is None:
        sql = _plain(space, plan)
        found = _run_plain(engine, sql, settings, _value(space, query), top_k)
    else:
        asked = statement(space, plan, condition)
        with engine.connect() as connection, _transaction(connection, settings):
            result = connection.execute(asked, {"query": _value(space, query), "top_k": top_k})
            sql = str(result.context.statement)  # as it was sent: compiled once, or taken from SQLAlchemy's cache
            found = [tuple(row) for row in result]
    hits = sorted((Hit(*row) for row in found), key=lambda hit: hit.distance)
    return Hits(tuple(hits), plan, numbered(sql))


@lru_cache(maxsize=256)
def _plain(space: Space, plan: Plan) -> str:
    return statement(space, plan, None).compile(dialect=_DIALECT).string


def _run_plain(engine: Engine, sql: str, settings: list[str], query: Any, top_k: int) -> list[tuple[Any, ...]]:
    """The hot query, straight through psycopg: binary and prepared, without what Core adds to each call."""
    with engine.connect() as connection, driver(connection).cursor(binary=True) as cursor:
        with _pipeline(driver(connection), settings):
            cursor.execute(sql, {"query": query, "top_k": top_k}, prepare=True)
        return cursor.fetchall()


@contextmanager
def _pipeline(raw: psycopg.Connection[Any], settings: list[str]) -> Iterator[None]:
    """A transaction that is one round trip, BEGIN and COMMIT included; none where the query needs none."""
    always = raw.settings if isinstance(raw, Watched) else ()
    if not (always or settings):
        yield
        return
    # psycopg's own transactions wait for an answer to their BEGIN and to their COMMIT.
    before, raw.autocommit = raw.autocommit, True
    try:
        with raw.pipeline():
            for statement in ("BEGIN", *always, *settings):
                raw.execute(statement)
            yield
            raw.execute("COMMIT")
    finally:
        raw.rollback()  # of what failed; after COMMIT it sends nothing
        if not raw.closed:
            raw.autocommit = before


def _settings(plan: Plan, index: str | None, top_k: int, rows: int) -> list[str]:
    """What this query needs beyond the connection's settings, as SET LOCAL; integers only."""
    if plan == "exact":
        return []
    if index == "ivfflat":
        probes = max(1, math.isqrt(max(1, rows // 1000)))
        return [f"SET LOCAL ivfflat.probes = {probes:d}"]
    wanted = min(1000, max(2 * top_k, ef_search(rows)))
    return [f"SET LOCAL hnsw.ef_search = {wanted:d}"] if wanted > EF_SEARCH else []


def ef_search(rows: int) -> int:
    """Candidates that reach a recall of about 0.95: 40 at 10,000 rows, 75 at 100,000, 110 at a million.

    Fitted to published sweeps (pgvector issues 326 and 409, ParadeDB 5490); measured per collection later.
    """
    return max(40, round(40 + 35 * math.log10(max(rows, 1) / 10_000)))


@contextmanager
def _transaction(connection: Connection, settings: list[str]) -> Iterator[None]:
    if not settings:
        yield
        return
    raw = driver(connection)
    with raw.transaction():
        for setting in settings:
            raw.execute(setting)
        yield


def _value(space: Space, query: Embedding) -> Any:
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


def count_up_to(engine: Engine, space: Space, condition: ColumnElement[bool], limit: int) -> int:
    """Chunks that match the condition, counted no further than `limit`."""
    some = select(literal(1)).select_from(queried(space)).where(condition).limit(limit).subquery()
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(some)).scalar_one()


def mean_embedding(engine: Engine, space: Space, document_id: str) -> Embedding | None:
    """The mean of a document's chunks, which stands for all of it; None without chunks."""
    chunks = queried(space)
    with engine.connect() as connection:
        mean = connection.execute(
            select(func.avg(chunks.c.embedding)).where(chunks.c.document_id == document_id)
        ).scalar()
    return None if mean is None else array(mean)


def array(value: Any) -> Embedding:
    """What the driver makes of a vector or halfvec, as an embedding."""
    return np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value, dtype=np.float32)
