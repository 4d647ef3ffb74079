"""Makes tasks of the rows that an attached table has already, a page at a time, while the table is in use.

The triggers were there before the first page is read, and no transaction that began without them was left: what
changes behind a page enqueues itself. Tasks of a backfill are of lane 1 and never many, so `tasks` stays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, insert

from semsearch.store import source
from semsearch.store.schema import backfills, tasks
from semsearch.store.spaces import Space, require_same, table

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


def is_done(connection: Connection, space: Space) -> bool:
    """Whether every row has become a task."""
    return connection.execute(select(backfills.c.started_at).where(_unfinished(space))).first() is None


def _unfinished(space: Space) -> Any:
    return (backfills.c.collection_id == space.collection_id) & backfills.c.finished_at.is_(None)


def _waiting(connection: Connection, space: Space) -> int:
    some = select(tasks.c.version).where(tasks.c.collection_id == space.collection_id, tasks.c.lane == 1)
    return int(connection.execute(select(func.count()).select_from(some.limit(BACKLOG).subquery())).scalar_one())


def _page(connection: Connection, space: Space, position: dict[str, Any]) -> tuple[Sequence[str], str | None]:
    """The ids to enqueue, and the last that was looked at; None at the end."""
    after = position.get("after")
    if position.get("among_chunks"):
        chunks = table(space).c.document_id
        some = select(chunks).distinct().order_by(chunks).limit(PAGE)
        stored = list(connection.execute(some if after is None else some.where(chunks > after)).scalars())
        there = source.sizes(connection, space, stored)
        return [id for id in stored if id not in there], stored[-1] if stored else None
    ids = source.page(connection, space, after, PAGE)
    return ids, ids[-1] if ids else None


def _moved(position: dict[str, Any], after: str | None) -> dict[str, Any]:
    """Where to go on: behind that document, among the chunks once the rows are through, nowhere at the end."""
    if after is not None:
        return {"position": position | {"after": after}}
    if position.get("orphans") and not position.get("among_chunks"):
        return {"position": {"orphans": True, "among_chunks": True}}
    return {"finished_at": func.now()}
