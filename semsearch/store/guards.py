"""What a transaction that writes must find as it was when the collection was opened."""

from __future__ import annotations

from sqlalchemy import Connection, select

from semsearch.errors import CollectionChanged, InvalidInput, NotFound
from semsearch.store.schema import collections
from semsearch.store.spaces import Attachment, Space


def hold(connection: Connection, space: Space) -> None:
    """Keep the collection from being dropped or attached to a table until the transaction ends.

    Raises NotFound, InvalidInput when it has been.
    """
    there = (
        select(collections.c.attachment)
        .where(collections.c.id == space.collection_id)
        .with_for_update(key_share=True, read=True)
    )
    found = connection.execute(there).one_or_none()
    if found is None:
        raise NotFound(f"collection {space.name!r} has been dropped.")
    if found.attachment is not None:
        raise attached_elsewhere(space.name, Attachment(**found.attachment))


def require_same(connection: Connection, space: Space) -> None:
    """Raise NotFound when the collection has been dropped, CollectionChanged when its documents come from elsewhere.

    For transactions that write what they read before. No lock is needed: whatever is attached after this look is read
    anew by its backfill.
    """
    there = select(collections.c.attachment).where(collections.c.id == space.collection_id)
    found = connection.execute(there).one_or_none()
    if found is None:
        raise NotFound(f"collection {space.name!r} has been dropped.")
    if (Attachment(**found.attachment) if found.attachment else None) != space.attachment:
        raise CollectionChanged(
            f"the documents of collection {space.name!r} come from elsewhere since it was opened (a table was attached "
            "or detached): open it again."
        )


def attached_elsewhere(name: str, attachment: Attachment) -> InvalidInput:
    """For whoever would change documents that are rows of the user's own table."""
    return InvalidInput(
        f"the documents of collection {name!r} come from {attachment.schema}.{attachment.table}: change them there."
    )
