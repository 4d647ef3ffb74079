"""Makes tasks of the rows that an attached table has already, a page at a time, while the table is in use.

The triggers were there before the first page is read, and no transaction that began without them was left: what
changes behind a page enqueues itself. Tasks of a backfill are of lane 1 and never many, so `tasks` stays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select, text, union, update
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, insert

from semsearch.store import source
from semsearch.store.guards import require_same
from semsearch.store.schema import backfills, failures, tasks
from semsearch.store.spaces import Space, table

UNSEEN = ""  # no document's id: by a task of it TRUNCATE says that rows may have gone unseen
PAGE = 5000  # rows: 60 ms of reading keys and writing tasks
BACKLOG = 20_000  # tasks of lane 1 that wait; workers that do 1,000 documents a second have 20 s of work

ENQUEUE = """
INSERT INTO semsearch.tasks (collection_id, document_id, lane) SELECT :collection_id, id, 1 FROM unnest(:ids) AS u (id)
"""


def step(connection: Connection, space: Space) -> bool:
    """Enqueue the next page, in the caller's transaction, to be committed at once; whether there was anything to do.

    False also while another worker is at it, or while enough tasks of the backfill wait. Raises NotFound,
    CollectionChanged.
    """
    mine = select(backfills.c.position, backfills.c.enqueued).where(_unfinished(space))
    found = connection.execute(mine.with_for_update(skip_locked=True)).one_or_none()
    if found is None or _waiting(connection, space) >= BACKLOG:
        return False
    require_same(connection, space)  # looked at after that lock, which whoever attaches takes, too
    position = found.position or {}
    ids, after = _page(connection, space, position)
    connection.execute(
        text(ENQUEUE).bindparams(bindparam("ids", ids, type_=ARRAY(TEXT))), {"collection_id": space.collection_id}
    )
    moved = _moved(position, after) | {"enqueued": found.enqueued + len(ids)}
    connection.execute(update(backfills).where(_unfinished(space)).values(**moved))
    return True


def restart(connection: Connection, space: Space) -> None:
    """Begin anew, for a table that could not be read for a while; also documents whose rows are gone are looked for."""
    begun = insert(backfills).values(
        collection_id=space.collection_id,
        position={"orphans": True},
        enqueued=0,
        started_at=func.now(),
        finished_at=None,
    )
    names = ("position", "enqueued", "started_at", "finished_at")
    anew = {name: begun.excluded[name] for name in names}
    connection.execute(begun.on_conflict_do_update(index_elements=[backfills.c.collection_id], set_=anew))


# Behind the rows that a backfill under way has still before it. Only while a table is attached: until this is
# committed nobody can detach it.
SWEEP = """
INSERT INTO semsearch.backfills AS b (collection_id, position)
SELECT id, CAST('{"orphans": true, "among_chunks": true}' AS jsonb) FROM semsearch.collections
WHERE id = :collection_id AND attachment IS NOT NULL FOR KEY SHARE
ON CONFLICT (collection_id) DO UPDATE
SET position = CASE WHEN b.finished_at IS NULL AND b.position -> 'among_chunks' IS NULL
                    THEN coalesce(b.position, '{}') || '{"orphans": true}' ELSE excluded.position END,
    finished_at = NULL
"""
SWEEP_OWN = """
INSERT INTO semsearch.tasks (collection_id, document_id, lane)
SELECT DISTINCT CAST(:collection_id AS integer), c.document_id, 1
FROM semsearch.{table} c
LEFT JOIN semsearch.documents d ON d.collection_id = :collection_id AND d.id = c.document_id
WHERE d.id IS NULL
"""


def sweep(connection: Connection, space: Space) -> None:
    """Have documents looked for whose rows are gone, as the task UNSEEN asks; to be called before rows are locked."""
    statement = SWEEP if space.attachment else SWEEP_OWN.format(table=space.table_name)
    connection.execute(text(statement), {"collection_id": space.collection_id})


def is_unseen(connection: Connection, space: Space) -> bool:
    """Whether such a task waits: to do it makes more to do."""
    waiting = (tasks.c.collection_id == space.collection_id) & (tasks.c.document_id == UNSEEN)
    return connection.execute(select(tasks.c.version).where(waiting)).first() is not None


def is_done(connection: Connection, space: Space) -> bool:
    """Whether every row has become a task."""
    return connection.execute(select(backfills.c.started_at).where(_unfinished(space))).first() is None


def _unfinished(space: Space) -> Any:
    return (backfills.c.collection_id == space.collection_id) & backfills.c.finished_at.is_(None)


def _waiting(connection: Connection, space: Space) -> int:
    some = select(tasks.c.version).where(tasks.c.collection_id == space.collection_id, tasks.c.lane == 1)
    return int(connection.execute(select(func.count()).select_from(some.limit(BACKLOG).subquery())).scalar_one())


def _page(connection: Connection, space: Space, position: dict[str, Any]) -> tuple[Sequence[str], str | None]:
    """The ids to enqueue, and the last that was looked at; None at the end.

    Among the chunks are meant the documents that were given up, too: they have none, but should be forgotten.
    """
    after = position.get("after")
    if position.get("among_chunks"):
        chunks = table(space).c.document_id
        given_up = failures.c.collection_id == space.collection_id
        either = union(_next(chunks, after), _next(failures.c.document_id, after, given_up)).subquery().c.document_id
        stored = list(connection.execute(select(either).order_by(either).limit(PAGE)).scalars())
        there = source.sizes(connection, space, stored)
        return [id for id in stored if id not in there], stored[-1] if stored else None
    ids = source.page(connection, space, after, PAGE)
    return ids, ids[-1] if ids else None


def _next(ids: ColumnElement[str], after: str | None, *ours: ColumnElement[bool]) -> Select[Any]:
    """The next PAGE of these document ids, each once."""
    behind = () if after is None else (ids > after,)
    some = select(ids.label("document_id")).distinct().where(*ours, *behind).order_by(ids).limit(PAGE)
    return select(some.subquery())


def _moved(position: dict[str, Any], after: str | None) -> dict[str, Any]:
    """Where to go on: behind that document, among the chunks once the rows are through, nowhere at the end."""
    if after is not None:
        return {"position": position | {"after": after}}
    if position.get("orphans") and not position.get("among_chunks"):
        return {"position": {"orphans": True, "among_chunks": True}}
    return {"finished_at": func.now()}
