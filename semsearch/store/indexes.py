"""The ANN index of a space: what there is, when one is due, what it needs. `index_build` builds it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql
from sqlalchemy import Connection, func, literal, select, text

from semsearch.errors import InvalidInput
from semsearch.store.connection import driver
from semsearch.store.spaces import Space, table

Kind = Literal["hnsw", "ivfflat"]

# Below this an exact scan takes about 5 ms at 384 dimensions and is always right.
AUTOMATIC_FROM = 10_000  # chunks

# pgvector's limits on what an index can hold (README, "Vector Types"): dimensions by vector type.
MAX_DIMENSIONS = {"vector": 2000, "halfvec": 4000}

OPERATOR_CLASSES = {"l2": "l2_ops", "cosine": "cosine_ops", "inner_product": "ip_ops", "l1": "l1_ops"}


@dataclass(frozen=True)
class Index:
    """An ANN index as the catalog knows it. An invalid one is left over from an interrupted build and never used."""

    name: str
    kind: str
    valid: bool
    bytes: int
    definition: str


LIST = text("""
SELECT i.relname AS name, a.amname AS kind, x.indisvalid AND x.indisready AS valid,
       pg_relation_size(i.oid) AS bytes, pg_get_indexdef(i.oid) AS definition
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_am a ON a.oid = i.relam
WHERE x.indrelid = to_regclass(:table) AND a.amname IN ('hnsw', 'ivfflat')
ORDER BY i.relname
""")


def every(connection: Connection, space: Space) -> list[Index]:
    """The ANN indexes of a space, valid or not."""
    rows = connection.execute(LIST, {"table": f"semsearch.{space.table_name}"})
    return [Index(**row._mapping) for row in rows]


INVALID = text("""
SELECT i.relname
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = to_regclass(:table) AND NOT (x.indisvalid AND x.indisready)
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.relid = x.indrelid)
ORDER BY i.relname
""")


def invalid(connection: Connection, space: Space) -> list[str]:
    """Indexes of any kind that an interrupted build left; none while one is just being built."""
    return list(connection.execute(INVALID, {"table": f"semsearch.{space.table_name}"}).scalars())


def rows(connection: Connection, space: Space) -> int:
    """How many chunks the catalog says there are, from the last ANALYZE or VACUUM; cheap and a little old."""
    estimate = connection.execute(
        text("SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass(:table)"),
        {"table": f"semsearch.{space.table_name}"},
    )
    return int(estimate.scalar() or 0)


def build_bytes(rows: int, dimensions: int, vector_type: str, m: int = 16) -> int:
    """Memory an HNSW build needs to stay in memory: N * (202 + 32 m + payload), with 2 % and 4 MB of margin.

    Derived from pgvector's src/hnsw.h and checked against its notice "graph no longer fits": exact to the row.
    """
    payload = dimensions * (4 if vector_type == "vector" else 2)
    return int(rows * (202 + 32 * m + payload) * 1.02) + 4 * 2**20


def lists(rows: int) -> int:
    """IVFFlat lists: rows / 1000 up to a million, then their square root (pgvector README, "IVFFlat")."""
    return max(1, rows // 1000 if rows <= 1_000_000 else math.isqrt(rows))


def check(kind: str, dimensions: int, vector_type: str, distance: str) -> None:
    """Raise InvalidInput when pgvector cannot build such an index."""
    if kind not in ("hnsw", "ivfflat"):
        raise InvalidInput(f"index kind {kind!r} is not one of hnsw, ivfflat.")
    if dimensions > MAX_DIMENSIONS[vector_type]:
        raise InvalidInput(
            f"an index on {vector_type} takes at most {MAX_DIMENSIONS[vector_type]} dimensions, not {dimensions}. "
            "Without an index searches are exact."
        )
    if kind == "ivfflat" and distance == "l1":
        raise InvalidInput("ivfflat has no operator class for l1: use hnsw.")


def due(connection: Connection, space: Space) -> bool:
    """Whether the collection has grown large enough to need the index it does not have."""
    if space.index_kind == "none" or space.dimensions > MAX_DIMENSIONS[space.vector_type]:
        return False
    if any(index.valid for index in every(connection, space)):
        return False
    return count_up_to(connection, space, AUTOMATIC_FROM) >= AUTOMATIC_FROM


def count_up_to(connection: Connection, space: Space, limit: int) -> int:
    """Chunks of the space, counted no further than `limit`."""
    some = select(literal(1)).select_from(table(space)).limit(limit).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one()


def analyze(connection: psycopg.Connection[Any], space: Space) -> None:
    """Fresh statistics after a load: autovacuum's come minutes later, and until then plans are wrong.

    Only of what filters ask for: nothing is gained from a sorted sample of the embeddings.
    """
    columns = ["document_id", "metadata", *(f"field_{field.number}" for field in space.fields)]
    connection.execute(
        sql.SQL("ANALYZE {} ({})").format(
            sql.Identifier("semsearch", space.table_name), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
    )


def analyze_roughly(connection: Connection, space: Space) -> None:
    """A quarter of the sample, until autovacuum takes the whole one: 30 ms instead of 110 ms at 50,000 chunks."""
    connection.execute(text("SET LOCAL default_statistics_target = 25"))
    analyze(driver(connection), space)
