"""The chunks around hits, to show what stands before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, select

from semsearch.errors import InvalidInput
from semsearch.records import Neighbour
from semsearch.store import keys, spaces
from semsearch.store.keys import Key
from semsearch.store.spaces import Space

MOST = 10


Around = tuple[tuple[Neighbour, ...], tuple[Neighbour, ...]]


def check(number: Any) -> int:
    """The number of neighbours on each side as it was asked for. Raises InvalidInput."""
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MOST:
        raise InvalidInput(f"neighbours are a whole number from 1 to {MOST} on each side; got {number!r}.")
    return number


def around(engine: Engine, space: Space, hits: Sequence[Key], number: int) -> dict[Key, Around]:
    """Up to `number` chunks before and as many after each hit, in the order of the document. Raises InvalidInput."""
    number = check(number)
    chunks, given = spaces.queried(space), keys.given(list(dict.fromkeys(hits)))
    near = chunks.c.ordinal.between(given.c.ordinal - number, given.c.ordinal + number)
    same = (chunks.c.document_id == given.c.document_id) & near & (chunks.c.ordinal != given.c.ordinal)
    shown = [chunks.c[name] for name in ("ordinal", "start", "end", "heading", "text")]
    asked = select(given.c.document_id, given.c.ordinal, *shown).join_from(given, chunks, same)
    found: dict[Key, list[Neighbour]] = {key: [] for key in hits}
    if found:
        with engine.connect() as connection:
            for document_id, ordinal, *columns in connection.execute(asked).all():
                found[document_id, ordinal].append(Neighbour(*columns))
    return {key: _sides(key[1], neighbours) for key, neighbours in found.items()}


def _sides(ordinal: int, neighbours: list[Neighbour]) -> Around:
    neighbours.sort(key=lambda neighbour: neighbour.ordinal)
    before = tuple(neighbour for neighbour in neighbours if neighbour.ordinal < ordinal)
    return before, tuple(neighbours[len(before) :])
