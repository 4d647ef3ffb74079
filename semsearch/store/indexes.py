"""The ANN index of a space: what there is, when one is due, what pgvector can build. `index_build` builds it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Row, func, literal, select, text

from semsearch.errors import InvalidInput
from semsearch.fields import Value
from semsearch.store.connection import driver
from semsearch.store.index_expressions import OPERATOR_CLASSES, Quantization, indexed_type, operator_class
from semsearch.store.index_sizes import build_bytes, lists
from semsearch.store.spaces import Space, table

__all__ = ["OPERATOR_CLASSES", "build_bytes", "lists"]  # that others know by this module

Kind = Literal["hnsw", "ivfflat"]

# Below this an exact scan takes about 5 ms at 384 dimensions and is always right.
AUTOMATIC_FROM = 10_000  # chunks

# pgvector's limits on what an index can hold (README, "Vector Types"): dimensions by type, of hnsw and ivfflat alike.
MAX_DIMENSIONS = {"vector": 2000, "halfvec": 4000, "bit": 64_000}


@dataclass(frozen=True)
class Index:
    """An ANN index as the catalog knows it. An invalid one is left over from an interrupted build and never used.

    It holds the first `dimensions` of each embedding, quantized; `predicate` is the condition of a partial one.
    `serves` says whether searches can use it: it is valid, and made for the collection's distance over an expression
    that they write. `settings` are those of its WITH clause, `rows` about how many chunks are in it.
    """

    name: str
    kind: str
    valid: bool
    bytes: int = field(compare=False)  # grows while the index stays the same
    definition: str
    quantization: Quantization = "none"
    dimensions: int = 0
    predicate: str | None = None
    serves: bool = False
    settings: dict[str, int] = field(default_factory=dict, compare=False)
    rows: int = field(default=0, compare=False)


# What the index holds is a column of it like a table's, so the catalog knows its type and length.
LIST = text("""
SELECT i.relname AS name, a.amname AS kind, x.indisvalid AND x.indisready AS valid,
       pg_relation_size(i.oid) AS bytes, pg_get_indexdef(i.oid) AS definition,
       c.opcname AS operator_class, t.typname AS type, h.atttypmod AS length,
       pg_get_expr(x.indexprs, x.indrelid) AS expression, pg_get_expr(x.indpred, x.indrelid) AS predicate,
       i.reloptions AS options, greatest(i.reltuples, 0)::bigint AS rows
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_am a ON a.oid = i.relam
JOIN pg_opclass c ON c.oid = x.indclass[0]
JOIN pg_attribute h ON h.attrelid = i.oid AND h.attnum = 1
JOIN pg_type t ON t.oid = h.atttypid
WHERE x.indrelid = to_regclass(:table) AND a.amname IN ('hnsw', 'ivfflat')
ORDER BY i.relname
""")


OTHER_OWNER = text("""
SELECT pg_get_userbyid(c.relowner) FROM pg_class c
WHERE c.oid = to_regclass(:table) AND NOT pg_has_role(c.relowner, 'USAGE')
""")


def other_owner(connection: Connection, space: Space) -> str | None:
    """The owner of the chunks, who alone can build an index on them; None where that is the current role."""
    found: str | None = connection.execute(OTHER_OWNER, {"table": f"semsearch.{space.table_name}"}).scalar_one_or_none()
    return found


def every(connection: Connection, space: Space) -> list[Index]:
    """The ANN indexes of a space, valid or not."""
    rows = connection.execute(LIST, {"table": f"semsearch.{space.table_name}"})
    return [_index(space, row) for row in rows]


def _index(space: Space, row: Row[Any]) -> Index:
    quantization = _quantization(space, row.type)
    expected = _printed(space, quantization, row.length), operator_class(space, quantization)
    return Index(
        name=row.name,
        kind=row.kind,
        valid=row.valid,
        bytes=row.bytes,
        definition=row.definition,
        quantization=quantization,
        dimensions=row.length,
        predicate=row.predicate,
        serves=row.valid and (_compact(row.expression), row.operator_class) == expected,
        settings={name: int(value) for name, _, value in (option.partition("=") for option in row.options or ())},
        rows=row.rows,
    )


def _quantization(space: Space, type_: str) -> Quantization:
    if type_ == "bit":
        return "binary"
    return "halfvec" if type_ == "halfvec" and space.vector_type == "vector" else "none"


def _printed(space: Space, quantization: Quantization, length: int) -> str | None:
    """`indexed_expression` as PostgreSQL prints it, without spaces and parentheses; None: the column itself."""
    inner = "embedding" if length == space.dimensions else f"subvectorembedding,1,{length}"
    if quantization == "binary":
        return f"binary_quantize{inner}::bit{length}"
    if quantization == "none" and length == space.dimensions:
        return None
    return f"{inner}::{indexed_type(space, quantization)}{length}"


def _compact(expression: str | None) -> str | None:
    """Without what depends on the search_path and on the version of PostgreSQL.

    >>> _compact('(public.subvector(embedding, 1, 256))::"my schema".halfvec(256)')
    'subvectorembedding,1,256::halfvec256'
    """
    if expression is None:
        return None
    return re.sub(r"""(?:"[^"]+"|\w+)\.|[\s()]""", "", expression)


def main(found: Sequence[Index]) -> Index | None:
    """The one that answers searches of the whole collection; None where every search compares all chunks."""
    return next((index for index in found if index.serves and index.predicate is None), None)


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


def name(space: Space, tenant: Value | None = None) -> str:
    """What the index is called: of all chunks, or of a tenant's."""
    suffix = "" if tenant is None else f"_t{hashlib.sha256(str(tenant).encode()).hexdigest()[:8]}"
    return f"{space.table_name}_embedding{suffix}"


def rows(connection: Connection, space: Space) -> int:
    """How many chunks the catalog says there are, from the last ANALYZE or VACUUM; cheap and a little old."""
    estimate = connection.execute(
        text("SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass(:table)"),
        {"table": f"semsearch.{space.table_name}"},
    )
    return int(estimate.scalar() or 0)


def quantization(dimensions: int, vector_type: str) -> Quantization:
    """The least that makes vectors of so many dimensions fit into an index."""
    if dimensions <= MAX_DIMENSIONS[vector_type]:
        return "none"
    return "halfvec" if dimensions <= MAX_DIMENSIONS["halfvec"] else "binary"


def check(
    kind: str, dimensions: int, vector_type: str, distance: str, quantization: Quantization | None = None
) -> None:
    """Raise InvalidInput when pgvector cannot build such an index; without quantization it is chosen to fit."""
    if kind not in ("hnsw", "ivfflat"):
        raise InvalidInput(f"index kind {kind!r} is not one of hnsw, ivfflat.")
    if quantization not in (None, "none", "halfvec", "binary"):
        raise InvalidInput(f"quantization {quantization!r} is not one of none, halfvec, binary.")
    held = {"halfvec": "halfvec", "binary": "bit"}.get(quantization or "none", vector_type)
    if quantization is not None and dimensions > MAX_DIMENSIONS[held]:
        raise InvalidInput(
            f"an index on {held} takes at most {MAX_DIMENSIONS[held]} dimensions, not {dimensions}. "
            "Quantize it (halfvec, binary), or index fewer dimensions."
        )
    if kind == "ivfflat" and distance == "l1" and held != "bit":
        raise InvalidInput("ivfflat has no operator class for l1: use hnsw.")


def due(connection: Connection, space: Space) -> bool:
    """Whether the collection has grown large enough to need the index it does not have."""
    if space.index_kind == "none" or main(every(connection, space)):
        return False
    return count_up_to(connection, space, AUTOMATIC_FROM) >= AUTOMATIC_FROM


def count_up_to(connection: Connection, space: Space, limit: int) -> int:
    """Chunks of the space, counted no further than `limit`."""
    some = select(literal(1)).select_from(table(space)).limit(limit).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one()


def analyze(connection: psycopg.Connection[Any], space: Space) -> None:
    """Fresh statistics after a load: autovacuum's come minutes later, and until then plans are wrong.

    Only of what filters ask for: nothing is gained from a sorted sample of the embeddings. Fields without a column are
    expressions of indexes, which ANALYZE leaves out where columns are named (PostgreSQL, analyze.c).
    """
    target = sql.Identifier("semsearch", space.table_name)
    if not all(field.stored for field in space.fields):
        connection.execute(sql.SQL("ANALYZE {}").format(target))
        return
    columns = ["document_id", "metadata", *(f"field_{field.number}" for field in space.fields)]
    columns += [] if space.language is None else ["terms"]
    connection.execute(sql.SQL("ANALYZE {} ({})").format(target, sql.SQL(", ").join(map(sql.Identifier, columns))))


def analyze_roughly(connection: Connection, space: Space) -> None:
    """A quarter of the sample, until autovacuum takes the whole one: 30 ms instead of 110 ms at 50,000 chunks."""
    connection.execute(text("SET LOCAL default_statistics_target = 25"))
    analyze(driver(connection), space)
