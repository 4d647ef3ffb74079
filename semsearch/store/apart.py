"""Reads documents of a user's table so that a row that cannot be read fails alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from semsearch.store import complaints
from semsearch.store.spaces import Space

T = TypeVar("T")
Reading = Callable[[Sequence[str]], list[T]]
Refusing = Callable[[str, Exception], list[T]]


def read(
    connection: Connection, space: Space, ids: Sequence[str], read_all: Reading[T], refused: Refusing[T]
) -> list[T]:
    """What is read of these documents; in halves, down to the row at fault, where one of a user's table raises.

    A virtual column can, as long as the row is there: it is computed whenever it is read. `refused` gives what stands
    for that row. What may raise belongs among the columns of a SELECT: a WHERE may be asked of other rows, too.
    """
    found = whole(connection, space, lambda: read_all(ids))
    if not isinstance(found, DBAPIError):
        return found
    if len(ids) == 1:
        return refused(ids[0], found)
    half = len(ids) // 2
    return [one for part in (ids[:half], ids[half:]) for one in read(connection, space, part, read_all, refused)]


def whole(connection: Connection, space: Space, read_all: Callable[[], list[T]]) -> list[T] | DBAPIError:
    """What is read at once, or the error that a row of a user's table raised; the transaction can go on."""
    if space.attachment is None:
        return read_all()
    try:
        with connection.begin_nested():
            return read_all()
    except DBAPIError as error:
        if not complaints.blames_data(error):
            raise
        return error
