"""The documents that were put in: upsert by COPY and one statement, get, delete, prune."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from psycopg import sql
from sqlalchemy import Connection, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT

from semsearch.errors import Conflict
from semsearch.records import Document
from semsearch.store import binary_copy
from semsearch.store.guards import hold
from semsearch.store.schema import documents
from semsearch.store.spaces import Space


@dataclass(frozen=True)
class Put:
    """What became of a batch: how many documents were new, how many differed from what was there."""

    added: int
    changed: int


STAGE = """
CREATE TEMPORARY TABLE stage_documents (
    position int, id text, title text, text text, format text, metadata jsonb, source text
) ON COMMIT DROP
"""

# The last of several documents with one id wins, as if they had been put one after another. Sorted by id, so that
# two writers lock the rows they share in one order. A document that is the same fires no trigger and costs no work.
UPSERT = text("""
WITH put AS (
    INSERT INTO semsearch.documents AS d (collection_id, id, title, text, format, metadata, source)
    SELECT DISTINCT ON (id) :collection_id, id, title, text, format, metadata, source
    FROM stage_documents
    ORDER BY id, position DESC
    ON CONFLICT (collection_id, id) DO UPDATE
    SET title = excluded.title, text = excluded.text, format = excluded.format, metadata = excluded.metadata,
        source = excluded.source, updated_at = excluded.updated_at
    WHERE (d.title, d.text, d.format, d.metadata, d.source)
        IS DISTINCT FROM (excluded.title, excluded.text, excluded.format, excluded.metadata, excluded.source)
        AND (CAST(:tenant AS text) IS NULL OR d.metadata -> :tenant = excluded.metadata -> :tenant)
    RETURNING (xmax = 0) AS added
)
SELECT count(*) FILTER (WHERE added) AS added, count(*) FILTER (WHERE NOT added) AS changed FROM put
""")

# Those that were left as they were because they are another tenant's; ON CONFLICT has locked them all the same.
TAKEN = text("""
SELECT s.id
FROM stage_documents s JOIN semsearch.documents d ON d.collection_id = :collection_id AND d.id = s.id
WHERE d.metadata -> :tenant IS DISTINCT FROM s.metadata -> :tenant
ORDER BY s.id LIMIT 1
""")


COLUMNS = ("id", "title", "text", "format", "metadata", "source")


def encode(document: Document, source: str | None) -> list[bytes]:
    """The values of COLUMNS, as COPY takes them."""
    return [
        binary_copy.text(document.id),
        binary_copy.text(document.title),
        binary_copy.text(document.text),
        binary_copy.text(document.format),
        binary_copy.jsonb(document.metadata),
        binary_copy.text(source),
    ]


def put(connection: Connection, space: Space, rows: Sequence[list[bytes]]) -> Put:
    """Insert or replace documents (encoded); the table's triggers enqueue those that are new or differ.

    Raises Conflict when one is there already and belongs to another tenant.
    """
    hold(connection, space)
    connection.execute(text(STAGE))
    numbered = ([binary_copy.integer(number), *row] for number, row in enumerate(rows))
    binary_copy.load(connection, sql.Identifier("pg_temp", "stage_documents"), ("position", *COLUMNS), numbered)
    values = {"collection_id": space.collection_id, "tenant": space.tenant}
    done = connection.execute(UPSERT, values).one()
    if space.tenant is not None and (taken := connection.execute(TAKEN, values).scalar()) is not None:
        raise Conflict(
            f"document {taken!r:.80} is another tenant's: delete it first, or put the tenant's name into the ids."
        )
    connection.execute(text("DROP TABLE stage_documents"))
    return Put(done.added, done.changed)


def insert_new(connection: Connection, space: Space, rows: Iterable[list[bytes]]) -> None:
    """COPY documents that are known to be new straight into the table; UniqueViolation if one is not."""
    hold(connection, space)
    collection = binary_copy.integer(space.collection_id)
    numbered = ([collection, *row] for row in rows)
    binary_copy.load(connection, sql.Identifier("semsearch", "documents"), ("collection_id", *COLUMNS), numbered)


def existing(connection: Connection, space: Space, ids: Sequence[str]) -> set[str]:
    """Which of these ids are there."""
    found = select(documents.c.id).where(
        documents.c.collection_id == space.collection_id, documents.c.id == any_of(ids)
    )
    return set(connection.execute(found).scalars())


def get(connection: Connection, space: Space, ids: Sequence[str]) -> list[Document]:
    """The documents that exist, in the order of the ids."""
    found = select(documents).where(documents.c.collection_id == space.collection_id, documents.c.id == any_of(ids))
    rows = {r.id: Document(r.id, r.text, r.metadata, r.title, r.format) for r in connection.execute(found)}
    return [rows[id] for id in ids if id in rows]


def keep(connection: Connection, space: Space, id: str) -> Document | None:
    """The document as it is, and stays until the transaction ends; None when it is not there.

    Workers, who lock no more than the key, may go on.
    """
    hold(connection, space)
    there = (documents.c.collection_id == space.collection_id) & (documents.c.id == id)
    row = connection.execute(select(documents).where(there).with_for_update(key_share=True)).one_or_none()
    return None if row is None else Document(row.id, row.text, row.metadata, row.title, row.format)


def count(connection: Connection, space: Space) -> int:
    return connection.execute(
        select(func.count()).select_from(documents).where(documents.c.collection_id == space.collection_id)
    ).scalar_one()


def any_of(ids: Sequence[str]) -> Any:
    """`= any_of(ids)`: the ids as one array parameter, however many there are."""
    return func.any(bindparam(None, list(ids), type_=ARRAY(TEXT)))


class Seen:
    """The ids a source still has, in a temporary file of this machine, so that millions cost no memory.

    Not in a temporary table of the server: a pooler gives every transaction another session.
    """

    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None)  # sqlite's name for a file that nobody else sees
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute("CREATE TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID")

    def add(self, ids: Iterable[str]) -> None:
        self._file.execute("BEGIN")
        self._file.executemany("INSERT OR IGNORE INTO seen VALUES (?)", ((id,) for id in ids))
        self._file.execute("COMMIT")

    def lacks(self, ids: Sequence[str]) -> list[str]:
        """Those of these ids that are not there."""
        found = "SELECT EXISTS (SELECT 1 FROM seen WHERE id = ?)"
        return [id for id in ids if not self._file.execute(found, (id,)).fetchone()[0]]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()
