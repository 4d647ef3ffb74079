"""Looks for what keeps vector search slow or wrong, in any table of the database: catalog queries only.

No right is needed but to connect: what the role may not read is judged by what the catalog says of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sqlalchemy import Connection, text

from semsearch.store import index_sizes, indexes
from semsearch.store.server_memory import Server

Topic = Literal["tables", "ANN indexes", "memory", "statements"]

DEAD_SHARE = 0.1  # of the rows, from which VACUUM of an HNSW index takes several times as long as to build it anew
DEAD_ROWS = 1_000  # below that nobody notices
LARGE_TABLE = 2**20  # bytes, from which statistics are missed
TOASTED = 2_000  # bytes; longer values leave the row unless its storage is plain (PostgreSQL's TOAST_TUPLE_THRESHOLD)
NODE_BYTES = 200  # memory of a visited node: 20,789 in 4 MB, whatever the dimensions (pgvector 0.8.5)
FITTING = 7_560  # bytes of a vector that fits a page with what else a row has

SERVES = {
    "l2_ops": "<->", "cosine_ops": "<=>", "ip_ops": "<#>", "l1_ops": "<+>", "hamming_ops": "<~>", "jaccard_ops": "<%>",
}  # fmt: skip


class Finding(NamedTuple):
    """Something that is wrong, and the statement or command that puts it right."""

    topic: Topic
    found: str
    advice: str


@dataclass(frozen=True)
class Column:
    """A column of vectors; `name` is its table's, quoted as SQL wants it. `rows` is -1 where nothing was analyzed."""

    oid: int
    name: str
    column: str
    type: str
    length: int
    storage: str
    rows: int
    bytes: int
    dead: int
    ours: bool

    @property
    def dimensions(self) -> int | None:
        return self.length if self.length > 0 else None


@dataclass(frozen=True)
class AnnIndex:
    """An ANN index on a column of vectors, and the operator that it answers."""

    table: int
    name: str
    kind: str
    operator_class: str
    type: str
    length: int
    expression: str
    valid: bool
    building: bool
    bytes: int
    rows: int
    options: list[str]

    @property
    def operator(self) -> str:
        return next((sign for suffix, sign in SERVES.items() if self.operator_class.endswith(suffix)), "?")

    @property
    def ordering(self) -> str:
        """What a statement must order by for it."""
        return f"ORDER BY {self.expression} {self.operator} $1"

    def is_on(self, column: Column) -> bool:
        name = re.escape(column.column.strip('"'))
        return self.table == column.oid and bool(re.search(rf"\b{name}\b", self.expression))


# Of our own tables only the chunks: caches hold vectors of any length, which nobody searches.
COLUMNS = text(r"""
SELECT c.oid::int8 AS oid, c.oid::regclass::text AS name, quote_ident(a.attname) AS column, t.typname AS type,
       a.atttypmod AS length, a.attstorage::text AS storage, c.reltuples::int8 AS rows,
       pg_table_size(c.oid) AS bytes, coalesce(pg_stat_get_dead_tuples(c.oid), 0) AS dead,
       n.nspname = 'semsearch' AS ours
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_extension e ON e.extname = 'vector'
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped
  AND (t.typnamespace = e.extnamespace AND t.typname IN ('vector', 'halfvec', 'sparsevec')
       OR t.oid = 'bit'::regtype AND EXISTS (SELECT FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
                                             JOIN pg_am m ON m.oid = i.relam AND m.amname IN ('hnsw', 'ivfflat')
                                             WHERE x.indrelid = c.oid))
  AND (n.nspname <> 'semsearch' OR c.relname ~ '^chunks_\d+$')
ORDER BY 2, 3
""")

INDEXES = text("""
SELECT x.indrelid::int8 AS table, i.oid::regclass::text AS name, m.amname AS kind, o.opcname AS operator_class,
       t.typname AS type, h.atttypmod AS length, pg_get_indexdef(i.oid, 1, false) AS expression,
       x.indisvalid AND x.indisready AS valid, p.pid IS NOT NULL AS building,
       pg_relation_size(i.oid) AS bytes, greatest(i.reltuples, 0)::int8 AS rows, coalesce(i.reloptions, '{}') AS options
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_am m ON m.oid = i.relam AND m.amname IN ('hnsw', 'ivfflat')
JOIN pg_opclass o ON o.oid = x.indclass[0]
JOIN pg_attribute h ON h.attrelid = i.oid AND h.attnum = 1
JOIN pg_type t ON t.oid = h.atttypid
LEFT JOIN pg_stat_progress_create_index p ON p.relid = x.indrelid
ORDER BY 2
""")


def columns(connection: Connection) -> list[Column]:
    """Every column of vectors."""
    return [Column(**row._mapping) for row in connection.execute(COLUMNS)]


def ann_indexes(connection: Connection) -> list[AnnIndex]:
    """Every ANN index."""
    return [AnnIndex(**row._mapping) for row in connection.execute(INDEXES)]


def of_tables(
    columns: Sequence[Column], found: Sequence[AnnIndex], operators: Mapping[Column, str]
) -> Iterator[Finding]:
    """What is wrong with tables: no index, no length, no statistics, many dead rows, embeddings out of their rows.

    `operators` are those that statements order the columns by, where any was seen.
    """
    for column in columns:
        there = [index for index in found if index.is_on(column)]
        yield from _unindexed(column, there, operators)
        yield from _storage(column)
        if column.rows < 0 and column.bytes > LARGE_TABLE:
            yield Finding("tables", f"{column.name} has no statistics, so plans are guesses", f"ANALYZE {column.name};")
        if there and column.dead > max(DEAD_ROWS, DEAD_SHARE * max(column.rows, 0)):
            statements = " ".join(f"REINDEX INDEX CONCURRENTLY {index.name};" for index in there)
            said = f"{column.name} has {column.dead:,} dead rows, which searches walk through"
            yield Finding("tables", said, f"{statements} VACUUM {column.name};")


def _unindexed(column: Column, there: Sequence[AnnIndex], operators: Mapping[Column, str]) -> Iterator[Finding]:
    if column.ours:  # built when due, unless somebody decided against it
        return
    if column.dimensions is None and column.type != "sparsevec":
        if not there:
            said = f"{column.name}.{column.column} is a {column.type} of any length, so no index can be built on it"
            change = f"ALTER TABLE {column.name} ALTER COLUMN {column.column} TYPE {column.type}(n)"
            yield Finding("tables", said, f"{change}; with n from SELECT vector_dims({column.column})")
        return
    if column.rows >= indexes.AUTOMATIC_FROM and not any(index.valid for index in there):
        said = f"{column.name}.{column.column} has {column.rows:,} rows and no ANN index"
        yield Finding("tables", said, f"{create_index(column, operators.get(column, '<=>'))};")


def create_index(column: Column, operator: str) -> str:
    """The statement that makes an index on the column for this operator, by an expression where it is too long."""
    held, type_ = column.column, column.type
    if type_ in ("vector", "halfvec") and (column.dimensions or 0) > indexes.MAX_DIMENSIONS[type_]:
        quantization = indexes.quantization(column.length, type_)
        if quantization == "halfvec":
            held, type_ = f"({column.column}::halfvec({column.length}))", "halfvec"
        else:
            held, type_, operator = f"(binary_quantize({column.column})::bit({column.length}))", "bit", "<~>"
    suffix = next(suffix for suffix, sign in SERVES.items() if sign == operator)
    return f"CREATE INDEX CONCURRENTLY ON {column.name} USING hnsw ({held} {type_}_{suffix})"


def _storage(column: Column) -> Iterator[Finding]:
    if column.type not in ("vector", "halfvec") or column.rows < indexes.AUTOMATIC_FROM or column.storage == "p":
        return
    if TOASTED < index_sizes.payload(max(column.length, 0), column.type) <= FITTING:
        said = f"{column.name}.{column.column} is kept out of its rows (TOAST), which doubles the time of exact scans"
        change = f"ALTER TABLE {column.name} ALTER COLUMN {column.column} SET STORAGE PLAIN;"
        yield Finding("tables", said, f"{change} and load the table anew: rows that are there stay as they are")


def of_indexes(found: Sequence[AnnIndex]) -> Iterator[Finding]:
    """Indexes that are not used, because a build was cut off."""
    for index in found:
        if index.valid or index.building or index.name.startswith("semsearch."):  # ours are looked at with all others
            continue
        left = re.search(r"_cc(new|old)\d*$", index.name)
        advice = f"DROP INDEX CONCURRENTLY {index.name};" if left else f"REINDEX INDEX CONCURRENTLY {index.name};"
        yield Finding("ANN indexes", f"{index.name} is invalid: its build was cut off", advice)


def of_memory(found: Sequence[AnnIndex], server: Server) -> Iterator[Finding]:
    """Indexes that have outgrown the server's memory."""
    for index in found:
        if index.bytes > server.effective_cache_size:
            said = f"{index.name} is larger than effective_cache_size, so searches read from disk"
            yield Finding("memory", said, "Give the server more memory, or index halfvec or binary_quantize() instead.")
        elif index.bytes > server.shared_buffers:
            said = f"{index.name} is larger than shared_buffers ({_megabytes(server.shared_buffers)})"
            yield Finding("memory", said, f"ALTER SYSTEM SET shared_buffers = '{_megabytes(index.bytes * 5 // 4)}';")
        needed = _build_bytes(index)
        if needed > server.build_memory:
            said = f"the graph of {index.name} no longer fits maintenance_work_mem, so that to build it anew is slow"
            yield Finding("memory", said, f"Before REINDEX: SET maintenance_work_mem = '{_megabytes(needed)}';")


SCAN_MEMORY = text("""
SELECT pg_size_bytes(current_setting('work_mem')),
       coalesce(nullif(current_setting('hnsw.scan_mem_multiplier', true), ''), '1')::float8,
       coalesce(nullif(current_setting('hnsw.max_scan_tuples', true), ''), '20000')::int8
""")


def of_scans(connection: Connection) -> Iterator[Finding]:
    """Memory in which an iterative scan of HNSW ends before it has visited as many nodes as it may."""
    memory, multiplier, nodes = connection.execute(SCAN_MEMORY).one()
    if nodes * NODE_BYTES > memory * multiplier:
        said = f"an iterative scan has memory for {int(memory * multiplier / NODE_BYTES):,} of {nodes:,} nodes"
        wanted = _megabytes(int(nodes * NODE_BYTES / multiplier))
        yield Finding("memory", said, f"ALTER ROLE CURRENT_USER SET work_mem = '{wanted}';")


def _build_bytes(index: AnnIndex) -> int:
    if index.kind != "hnsw" or index.type not in index_sizes.BYTES or index.length <= 0:
        return 0
    given = dict(option.split("=") for option in index.options)
    return index_sizes.build_bytes(index.rows, index.length, index.type, int(given.get("m", 16)))


def _megabytes(count: int) -> str:
    return f"{-(-count // 2**20)}MB"
