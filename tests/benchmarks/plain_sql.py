"""What a careful user of psycopg would do by hand: the limits that semsearch is measured against."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from semsearch import Document
from semsearch.embedding import given_hash
from semsearch.records import Embedding

COLUMNS = ("document_id", "ordinal", "start", "end", "hash", "heading", "embedding", "text", "metadata")
TYPES = ("text", "int4", "int4", "int4", "bytea", "text", "vector", "text", "jsonb")
COPY = sql.Identifier("public", "by_hand")  # the table this module works on
DOCUMENTS = sql.Identifier("public", "by_hand_documents")  # and one like semsearch.documents, without its triggers
DOCUMENT_COLUMNS = ("collection_id", "id", "text", "metadata")
DOCUMENT_TYPES = ("int4", "text", "text", "jsonb")

Connection = psycopg.Connection[Any]
Values = tuple[Any, ...]
Names = tuple[str, ...]


def chunks_table(connection: Connection, collection: str) -> sql.Identifier:
    """The table that holds the chunks of a collection."""
    row = connection.execute(
        "SELECT s.id FROM semsearch.spaces s JOIN semsearch.collections c ON c.id = s.collection_id WHERE c.name = %s",
        (collection,),
    ).fetchone()
    assert row
    return sql.Identifier("semsearch", f"chunks_{row[0]}")


def make_copy_of(connection: Connection, table: sql.Identifier) -> None:
    """An empty table of the same shape, with the same primary key and storage."""
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(COPY))
    connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(COPY, table))
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(DOCUMENTS))
    connection.execute(sql.SQL("CREATE TABLE {} (LIKE semsearch.documents INCLUDING ALL)").format(DOCUMENTS))


def rows(documents: Sequence[Document]) -> list[Values]:
    """The values of COLUMNS, ready: hashing and the JSON text cost nothing here."""
    return [
        (d.id, 0, 0, len(d.text), given_hash(d.text), d.title or "", d.embedding, d.text, Jsonb(dict(d.metadata)))
        for d in documents
    ]


def copy_rows(connection: Connection, rows: Sequence[Values]) -> None:
    """COPY as psycopg's documentation shows it: write_row, binary, types named."""
    _write_rows(connection, COPY, COLUMNS, TYPES, rows)


def copy_both(connection: Connection, rows: Sequence[Values]) -> None:
    """All that `put` stores, documents and chunks, in one transaction."""
    with connection.transaction():
        documents = [(1, id, text, metadata) for id, _, _, _, _, _, _, text, metadata in rows]
        _write_rows(connection, DOCUMENTS, DOCUMENT_COLUMNS, DOCUMENT_TYPES, documents)
        copy_rows(connection, rows)


def _write_rows(
    connection: Connection, table: sql.Identifier, columns: Names, types: Names, rows: Sequence[Values]
) -> None:
    with connection.cursor().copy(_copy(table, columns)) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def copy_blocks(connection: Connection, blocks: Sequence[bytes]) -> None:
    """COPY of what is already in PostgreSQL's binary form: nothing is left to the client but to send it."""
    with connection.cursor().copy(_copy()) as copy:
        for block in blocks:
            copy.write(block)


def encode(rows: Sequence[Values], block_rows: int = 256) -> list[bytes]:
    """The rows in COPY's binary form, by struct: https://www.postgresql.org/docs/18/sql-copy.html, "Binary Format"."""
    blocks = []
    for start in range(0, len(rows), block_rows):
        blocks.append(b"".join(map(_row, rows[start : start + block_rows])))
    return [b"PGCOPY\n\xff\r\n\0" + bytes(8), *blocks, b"\xff\xff"]


def build_index(connection: Connection, workers: int) -> None:
    """What semsearch builds, with memory for all of the graph: HNSW, the index for metadata, statistics."""
    connection.execute("SET maintenance_work_mem = '2GB'")
    connection.execute(f"SET max_parallel_maintenance_workers = {workers:d}")
    connection.execute(sql.SQL("CREATE INDEX hand_hnsw ON {} USING hnsw (embedding vector_cosine_ops)").format(COPY))
    connection.execute(sql.SQL("CREATE INDEX hand_gin ON {} USING gin (metadata jsonb_path_ops)").format(COPY))
    connection.execute(sql.SQL("ANALYZE {}").format(COPY))


def drop_index(connection: Connection) -> None:
    connection.execute("DROP INDEX IF EXISTS public.hand_hnsw, public.hand_gin")


def nearest(table: sql.Identifier) -> sql.Composed:
    """The columns of a hit, ten of them."""
    return sql.SQL(
        'SELECT embedding <=> %s AS distance, document_id, ordinal, text, metadata, heading, start, "end" '
        "FROM {} ORDER BY embedding <=> %s LIMIT 10"
    ).format(table)


def search(connection: Connection, statement: sql.Composed, query: Embedding) -> list[Values]:
    """Prepared, and binary both ways."""
    return connection.cursor(binary=True).execute(statement, (query, query), prepare=True).fetchall()


def _copy(table: sql.Identifier = COPY, columns: Names = COLUMNS) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(table, names)


def _row(row: Values) -> bytes:
    id, ordinal, start, end, hash, heading, embedding, text, metadata = row
    content = b"\x01" + _json(metadata.obj)
    vector = struct.pack(f">hh{len(embedding)}f", len(embedding), 0, *embedding.tolist())
    fields = [id.encode(), *(struct.pack(">i", number) for number in (ordinal, start, end)), hash, heading.encode()]
    fields += [vector, text.encode(), content]
    return struct.pack(">h", len(fields)) + b"".join(struct.pack(">i", len(field)) + field for field in fields)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
