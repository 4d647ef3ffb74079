"""Where a collection's documents come from: semsearch.documents, or a table of the user's own that was attached.

Ids are text everywhere. In an attached table they are looked up by the key's own type, so that its index serves; a
key of several columns is the text of a JSON array of their texts, `["7", "en"]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from psycopg import errors
from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    FromClause,
    Result,
    Select,
    TableValuedAlias,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    func,
    literal,
    null,
    select,
    table,
    text,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, INTEGER, JSONB, TEXT
from sqlalchemy.exc import DBAPIError

from semsearch.errors import InvalidInput
from semsearch.records import MAX_TITLE, Document
from semsearch.store import apart, complaints, row_keys
from semsearch.store.documents import any_of
from semsearch.store.json_values import Written, loads
from semsearch.store.schema import documents, tasks
from semsearch.store.spaces import Attachment, Space

MAX_TEXT_BYTES = 20 * 2**20  # as for documents that are put
MAX_ID_BYTES = 1024  # as for documents that are put; what an index can hold ends at 2,704 bytes an entry

# The text of a moment or a date must not depend on who reads it; nor may a reader wait for a user's ALTER TABLE: it
# meets 55P03, a conflict like others, and comes back (`is_locked`).
READING = (
    "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres'; "
    "SET LOCAL lock_timeout = '1s'"
)

Owner = Mapping[str, str]  # the field of the tenants, with the tenant's name


@dataclass(frozen=True)
class Excerpt:
    """A document in a list: the beginning of its text, which has so many bytes in all."""

    id: str
    title: str | None
    text: str
    bytes: int
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """A document as one statement read it, with exactly the task versions that it answers. None: it is not there."""

    document_id: str
    document: Document | None
    versions: tuple[int, ...]
    refusal: str | None = None  # why it cannot be embedded; its text was not read then


@dataclass(frozen=True)
class _Rows:
    """How the rows of a source read as documents."""

    table: FromClause
    ours: ColumnElement[bool]
    key: tuple[ColumnElement[Any], ...]
    id: ColumnElement[str]
    title: ColumnElement[Any]
    text: ColumnElement[str]
    bytes: ColumnElement[int]
    format: ColumnElement[str]
    metadata: ColumnElement[Any]


def sizes(connection: Connection, space: Space, ids: Sequence[str]) -> dict[str, int]:
    """The bytes of text of those documents that exist; 0 for a row that cannot be read."""
    return dict(apart.read(connection, space, ids, partial(_sizes, connection, space), lambda id, _: [(id, 0)]))


def _sizes(connection: Connection, space: Space, ids: Sequence[str]) -> list[tuple[str, int]]:
    rows, given = _rows(space), _given(space, ids)
    found = select(given.c.id, rows.bytes.label("bytes")).join_from(given, rows.table, _same(rows, given))
    return [(row.id, row.bytes) for row in _run(connection, space, found)]


def read(connection: Connection, space: Space, ids: Sequence[str]) -> list[Found]:
    """What these documents are now, in one statement.

    Hence in one snapshot: versions and text read one after the other were stale in 43 of 115 checks.
    """
    return apart.read(connection, space, ids, partial(_read, connection, space), partial(_refused, connection, space))


def _read(connection: Connection, space: Space, ids: Sequence[str]) -> list[Found]:
    rows, given = _rows(space), _given(space, ids)
    found = select(
        given.c.id,
        rows.key[0].is_not(None).label("present"),
        rows.title.label("title"),
        (rows.bytes > MAX_TEXT_BYTES).label("too_long"),
        case((rows.bytes <= MAX_TEXT_BYTES, rows.text), else_="").label("text"),
        rows.format.label("format"),
        cast(rows.metadata, Text).label("metadata"),
        _versions(space, given),
    ).join_from(given, rows.table, _same(rows, given), isouter=True)
    return [
        Found(
            row.id,
            Document(row.id, row.text, Written(row.metadata), row.title, row.format) if row.present else None,
            tuple(row.versions),
            f"its text is longer than {MAX_TEXT_BYTES // 2**20} MB" if row.too_long else None,
        )
        for row in _run(connection, space, found)
    ]


def _refused(connection: Connection, space: Space, id: str, error: Exception) -> list[Found]:
    """A row that cannot be read, by its key alone."""
    rows, given = _rows(space), _given(space, [id])
    found = select(rows.key[0].is_not(None).label("present"), _versions(space, given))
    row = _run(connection, space, found.join_from(given, rows.table, _same(rows, given), isouter=True)).one()
    refusal = f"its row cannot be read: {complaints.sentence(error)}" if row.present else None
    return [Found(id, Document(id, "") if row.present else None, tuple(row.versions), refusal)]


def _versions(space: Space, given: TableValuedAlias) -> ColumnElement[Any]:
    ours = (tasks.c.collection_id == space.collection_id) & (tasks.c.document_id == given.c.id)
    waiting = select(tasks.c.version).where(ours)
    return func.array(waiting.scalar_subquery(), type_=ARRAY(BIGINT)).label("versions")


def lock(connection: Connection, space: Space, ids: Sequence[str]) -> set[str]:
    """Keep these documents from being deleted until the transaction ends; returns those that could be had at once.

    A DELETE under way holds FOR UPDATE: SKIP LOCKED leaves such a document out instead of waiting, and its chunks can
    not appear after it is gone. An UPDATE of the text does not conflict with KEY SHARE, so a user never waits for us.
    """
    if space.attachment is not None:
        return _lock_attached(connection, space, space.attachment, ids)
    own = documents.c
    there = (
        select(own.id)
        .where(own.collection_id == space.collection_id, own.id == any_of(ids))
        .order_by(own.id)
        .with_for_update(key_share=True, read=True, skip_locked=True)
    )
    return set(connection.execute(there).scalars())


def _lock_attached(connection: Connection, space: Space, attachment: Attachment, ids: Sequence[str]) -> set[str]:
    """By a function of whoever attached the table: a lock takes the right to change the row, which we need not have."""
    possible = bindparam("ids", [id for id in ids if row_keys.parse(attachment, id)], type_=ARRAY(TEXT))
    statement = text("SELECT semsearch.lock_documents(CAST(:collection_id AS integer), :ids)")
    found = _run(connection, space, statement.bindparams(possible, collection_id=space.collection_id))
    return set(found.scalars())


def page(connection: Connection, space: Space, after: str | None, count: int) -> list[str]:
    """The next `count` document ids in the order of the key, after that document."""
    rows = _rows(space)
    found = select(rows.id).where(rows.ours).order_by(*rows.key).limit(count)
    return list(_run(connection, space, _after(space, rows, found, after)).scalars())


def excerpts(
    connection: Connection, space: Space, owner: Owner | None, after: str | None, count: int, length: int
) -> list[Excerpt]:
    """The next `count` documents after that one, in the order of the key, with the first characters of each.

    Of a row that cannot be read only the id, or nothing where that would have to tell whose it is.
    """
    rows = _rows(space)
    next_ones = _excerpted(rows, length).where(rows.ours, *_owned(rows, owner)).order_by(*rows.key).limit(count)
    next_ones = _after(space, rows, next_ones, after)
    whole = apart.whole(connection, space, lambda: _excerpts(connection, space, next_ones))
    if not isinstance(whole, DBAPIError):
        return whole

    def read_all(ids: Sequence[str]) -> list[Excerpt]:
        given = _given(space, ids)
        found = _excerpted(rows, length).join_from(rows.table, given, _same(rows, given)).order_by(*rows.key)
        return _excerpts(connection, space, found)

    shown: list[Excerpt] = []
    while len(shown) < count and (ids := page(connection, space, after, count)):
        after, theirs = ids[-1], owned(connection, space, owner, ids)
        ids = [id for id in ids if id in theirs]
        shown += apart.read(connection, space, ids, read_all, lambda id, _: [Excerpt(id, None, "", 0, {})])
    return shown[:count]


def _excerpted(rows: _Rows, length: int) -> Select[Any]:
    return select(
        rows.id.label("id"),
        rows.title.label("title"),
        func.left(rows.text, length).label("text"),
        rows.bytes.label("bytes"),
        cast(rows.metadata, Text).label("metadata"),
    )


def _excerpts(connection: Connection, space: Space, found: Select[Any]) -> list[Excerpt]:
    rows = _run(connection, space, found)
    return [Excerpt(row.id, row.title, row.text or "", row.bytes, loads(row.metadata)) for row in rows]


def owned(connection: Connection, space: Space, owner: Owner | None, ids: Sequence[str]) -> set[str]:
    """Those of these documents that are there and the owner's; none whose row cannot be read to tell."""
    rows = _rows(space)

    def read_all(ids: Sequence[str]) -> list[str]:
        given = _given(space, ids)
        found = select(given.c.id, and_(true(), *_owned(rows, owner)).label("theirs"))
        found = found.join_from(given, rows.table, _same(rows, given))
        return [row.id for row in _run(connection, space, found) if row.theirs]

    return set(apart.read(connection, space, ids, read_all, lambda *_: []))


def _after(space: Space, rows: _Rows, found: Select[Any], after: str | None) -> Select[Any]:
    if after is None:
        return found
    values = row_keys.parse(space.attachment, after) if space.attachment else (after,)
    if values is None:
        raise InvalidInput(f"document id {after!r:.80} is not a key of {space.name!r}.")
    return found.where(tuple_(*rows.key) > tuple_(*values, types=[part.type for part in rows.key]))


def _owned(rows: _Rows, owner: Owner | None) -> list[ColumnElement[bool]]:
    return [] if owner is None else [rows.metadata.op("@>", is_comparison=True)(bindparam(None, dict(owner), JSONB))]


def count(connection: Connection, space: Space) -> int:
    """Documents in the source, counted."""
    every = select(func.count()).select_from(_rows(space).table).where(_rows(space).ours)
    return int(_run(connection, space, every).scalar_one())


def check(connection: Connection, space: Space) -> str | None:
    """Why the source cannot be read as it was attached, in one sentence; None when it can."""
    if space.attachment is None:
        return None
    statement = text("SELECT semsearch.attachment_problem(CAST(:collection_id AS integer))")
    found: str | None = connection.execute(statement, {"collection_id": space.collection_id}).scalar_one()
    return found


def is_locked(error: Exception) -> bool:
    """Whether it could not be read because somebody keeps its table locked."""
    return isinstance(complaints.reason(error), errors.LockNotAvailable)


def _run(connection: Connection, space: Space, statement: Executable) -> Result[Any]:
    if space.attachment is not None:
        connection.exec_driver_sql(READING)
    return connection.execute(statement)


@lru_cache(maxsize=256)
def _rows(space: Space) -> _Rows:
    if space.attachment is not None:
        return _attached(space.attachment)
    own = documents.alias("d")
    return _Rows(
        own,
        own.c.collection_id == space.collection_id,
        (own.c.id,),
        own.c.id,
        own.c.title,
        own.c.text,
        func.octet_length(own.c.text),
        own.c.format,
        own.c.metadata,
    )


def _attached(attachment: Attachment) -> _Rows:
    others = {*attachment.texts, *attachment.metadata, *filter(None, [attachment.title])} - {*attachment.ids}
    keys = [column(name, row_keys.TYPES[kind]) for name, kind in zip(attachment.ids, attachment.id_types, strict=True)]
    rows = table(attachment.table, *keys, *map(column, sorted(others)), schema=attachment.schema).alias("d")
    key = tuple(rows.c[name] for name in attachment.ids)
    id = cast(key[0], Text) if len(key) == 1 else cast(func.jsonb_build_array(*(cast(k, Text) for k in key)), Text)
    parts = [func.nullif(cast(rows.c[name], Text), "") for name in attachment.texts]
    body = func.concat_ws("\n\n", *parts)
    return _Rows(
        rows,
        _is_id(id) if "text" in attachment.id_types else true(),
        key,
        id,
        func.nullif(func.left(cast(rows.c[attachment.title], Text), MAX_TITLE), "") if attachment.title else null(),
        body,
        func.octet_length(body) if len(parts) > 1 else func.coalesce(func.octet_length(parts[0]), 0),
        literal("text"),
        func.jsonb_build_object(
            *(part for name in attachment.metadata for part in (name, func.to_jsonb(rows.c[name]))), type_=JSONB
        ),
    )


def _is_id(id: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a row is a document. Written so that the planner expects most to be, and pages go by the index."""
    return and_(id != "", func.octet_length(id, type_=INTEGER).op(">")(MAX_ID_BYTES).is_not(true()))


def _given(space: Space, ids: Sequence[str]) -> TableValuedAlias:
    """The ids as a table u (id, key_0, key_1 ...); keys are null where the id cannot be one of this source's."""
    if space.attachment is None:
        keys, types = [list(ids)], [row_keys.TYPES["text"]]
    else:
        attachment = space.attachment
        parsed = [row_keys.parse(attachment, id) or (None,) * len(attachment.ids) for id in ids]
        keys = [list(values) for values in zip(*parsed, strict=True)] if parsed else [[] for _ in attachment.ids]
        types = [row_keys.TYPES[kind] for kind in attachment.id_types]
    arrays = [bindparam(None, values, type_=ARRAY(type)) for values, type in zip(keys, types, strict=True)]
    columns = [column(f"key_{number}", type) for number, type in enumerate(types)]
    every = func.unnest(bindparam(None, list(ids), type_=ARRAY(TEXT)), *arrays)
    return every.table_valued(column("id", TEXT), *columns).render_derived(name="u")


def _same(rows: _Rows, given: TableValuedAlias) -> ColumnElement[bool]:
    wanted = [given.c[f"key_{number}"] for number in range(len(rows.key))]
    # A collation may hold different keys for equal; two rows cannot have them, but an id may not find another's row.
    pairs = list(zip(rows.key, wanted, strict=True))
    exact = [cast(key, Text).collate("C") == id for key, id in pairs if isinstance(key.type, Text)]
    return and_(rows.ours, *(key == id for key, id in pairs), *exact)
