"""The statements that create a space's indexes, and the options they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql
from sqlalchemy import ColumnElement, column
from sqlalchemy.dialects.postgresql.base import PGDialect

from semsearch.errors import InvalidInput
from semsearch.fields import Value, describe
from semsearch.store import indexes
from semsearch.store.index_expressions import Quantization, indexed_expression, operator_class
from semsearch.store.spaces import Space, field_columns, table

PARAMETERS = {"hnsw": ("m", "ef_construction"), "ivfflat": ("lists",)}  # of the WITH clause, by kind

_DIALECT = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Options:
    """How to build: `m` and `ef_construction` for hnsw, `lists` for ivfflat (None: computed from the rows).

    `dimensions` is how many of the first ones are indexed (None: all), `quantization` what becomes of them (None: the
    least that pgvector's limits ask for). With `tenant` only that tenant's chunks are in the index.
    """

    kind: str = "hnsw"
    m: int = 16
    ef_construction: int = 64
    lists: int | None = None
    quantization: Quantization | None = None
    dimensions: int | None = None
    tenant: Value | None = None


def settled(space: Space, options: Options) -> tuple[Quantization, int]:
    """Quantization and dimensions, filled in. Raises InvalidInput where CREATE INDEX would fail, before it is tried.

    The limits are pgvector's (README, "HNSW" and "IVFFlat").
    """
    for name, lowest, highest in (("m", 2, 100), ("ef_construction", 4, 1000), ("lists", 1, 32768)):
        _check(name, getattr(options, name), lowest, highest)
    if options.ef_construction < 2 * options.m:
        raise InvalidInput(f"ef_construction is at least twice m: {2 * options.m}; got {options.ef_construction}.")
    _check("the number of indexed dimensions", options.dimensions, 1, space.dimensions)
    dimensions = options.dimensions or space.dimensions
    indexes.check(options.kind, dimensions, space.vector_type, space.distance, options.quantization)
    if options.quantization == "halfvec" and space.vector_type == "halfvec":
        raise InvalidInput(f"the embeddings of collection {space.name!r} are halfvec already: leave quantization out.")
    if options.tenant is not None and space.tenant is None:
        raise InvalidInput(f"collection {space.name!r} has no tenants.")
    return options.quantization or indexes.quantization(dimensions, space.vector_type), dimensions


def _check(name: str, value: int | None, lowest: int, highest: int) -> None:
    if value is not None and (type(value) is not int or not lowest <= value <= highest):
        raise InvalidInput(f"{name} is a whole number from {lowest} to {highest}; got {describe(value)}.")


def wished(space: Space) -> Options:
    """What was asked for when the collection was created, the rest automatic."""
    kind = "ivfflat" if space.index_kind == "ivfflat" else "hnsw"
    return Options(kind, **space.index_settings)


def options_of(index: indexes.Index, space: Space) -> Options:
    """Those that an index was built with. A partial index's tenant is not among them."""
    shorter = index.dimensions if index.dimensions != space.dimensions else None
    return Options(index.kind, quantization=index.quantization, dimensions=shorter, **index.settings)


def embedding_index(space: Space, options: Options, name: str, rows: int, *, concurrently: bool) -> sql.Composed:
    """CREATE INDEX on the embeddings."""
    quantization, dimensions = settled(space, options)
    held = indexed_expression(column("embedding", table(space).c.embedding.type), space, quantization, dimensions)
    return sql.SQL("CREATE INDEX {} {} ON {} USING {} (({}) {}) WITH ({}){}").format(
        _concurrently(concurrently),
        sql.Identifier(name),
        table_name(space),
        sql.Identifier(options.kind),
        _compiled(held),
        sql.Identifier(operator_class(space, quantization)),
        _parameters(options, rows),
        tenant_condition(space, options.tenant),
    )


def _parameters(options: Options, rows: int) -> sql.Composed:
    if options.kind == "ivfflat":
        return sql.SQL("lists = {}").format(sql.Literal(options.lists or indexes.lists(rows)))
    return sql.SQL("m = {}, ef_construction = {}").format(sql.Literal(options.m), sql.Literal(options.ef_construction))


def tenant_condition(space: Space, tenant: Value | None) -> sql.Composable:
    """WHERE the chunk is that tenant's; nothing without one."""
    if tenant is None or space.tenant is None:
        return sql.SQL("")
    field = field_columns(table(space), space)[space.tenant]
    return sql.SQL(" WHERE {} = {}").format(_compiled(field), sql.Literal(tenant))


def _compiled(expression: ColumnElement[Any]) -> sql.SQL:
    """An expression of our own making, which holds no values but numbers and names of declared fields."""
    return sql.SQL(
        expression.compile(dialect=_DIALECT, compile_kwargs={"include_table": False, "literal_binds": True}).string
    )


def metadata_index(space: Space, *, concurrently: bool) -> sql.Composed:
    """The index for filters on undeclared keys: only containment, which makes it small.

    Without fastupdate: after a load the planner took a sequential scan because of the pending list (20,000 chunks).
    """
    return _gin(space, "metadata", sql.SQL("(metadata jsonb_path_ops) WITH (fastupdate = off)"), concurrently)


def terms_index(space: Space, *, concurrently: bool) -> sql.Composed:
    """The index for words, of a collection that has full text."""
    return _gin(space, "terms", sql.SQL("(terms)"), concurrently)


def _gin(space: Space, suffix: str, held: sql.SQL, concurrently: bool) -> sql.Composed:
    return sql.SQL("CREATE INDEX {} IF NOT EXISTS {} ON {} USING gin {}").format(
        _concurrently(concurrently), sql.Identifier(f"{space.table_name}_{suffix}"), table_name(space), held
    )


def _concurrently(wanted: bool) -> sql.SQL:
    return sql.SQL("CONCURRENTLY" if wanted else "")


def table_name(space: Space) -> sql.Identifier:
    return sql.Identifier("semsearch", space.table_name)
