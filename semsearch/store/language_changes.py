"""The language of a collection that is in use: its full text is added, made anew, or dropped.

A generated column is stored in every row, so the table is rewritten, and nobody can read it meanwhile. The ANN indexes,
which would be rebuilt within that time, go with it and come again behind it: searches are exact until then.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from psycopg import sql
from sqlalchemy import Connection, Engine, func, select, text, update
from sqlalchemy.schema import CreateColumn

from semsearch.errors import NotFound
from semsearch.store import connection as connections
from semsearch.store import full_text, index_build, indexes, spaces, tenant_indexes, views
from semsearch.store.connection import Address, driver
from semsearch.store.index_build import OnTuples
from semsearch.store.index_statements import Options, options_of, wished
from semsearch.store.schema import collections
from semsearch.store.spaces import Space, table
from semsearch.store.transactions import in_transaction
from semsearch.store.watchdog import Watched

SAMPLE = 1000  # chunks whose full text is made to tell how long all will take
# Beside that the table is written and its other indexes are rebuilt. Nine rewrites of 5,000 and 20,000 chunks, with 90
# and 300 words each, took from 0.9 to 1.35 times as long as this says.
WRITTEN = 50_000_000  # bytes a second
MORE = 1.2


@dataclass(frozen=True)
class Rewrite:
    """What a change of the language would do: so many chunks and bytes, kept from everybody for about `seconds`."""

    chunks: int
    bytes: int
    seconds: float


def predict(connection: Connection, space: Space, language: str | None) -> Rewrite:
    """What `change` would do, told from a sample; nothing is written. Raises InvalidInput for an unknown language."""
    full_text.check(connection, language)
    size = text("SELECT pg_table_size(to_regclass(:table))")
    held = int(connection.execute(size, {"table": f"semsearch.{space.table_name}"}).scalar_one() or 0)
    count = spaces.count(connection, space)
    if language is None or language == space.language or not count:
        return Rewrite(count, held, 0.0)
    chunks = table(space)
    some = select(chunks.c.heading, chunks.c.text).limit(SAMPLE).subquery()
    begun = time.perf_counter()
    made = select(func.count(full_text.expression(language, some.c.heading, some.c.text)))
    connection.execute(made.select_from(some)).scalar_one()
    each = (time.perf_counter() - begun) / min(SAMPLE, count)
    return Rewrite(count, held, MORE * (count * each + held / WRITTEN))


def change(
    address: Address, engine: Engine, space: Space, language: str | None, on_tuples: OnTuples | None = None
) -> Space:
    """Make the full text in this language, or drop it with None; returns the space as it is then.

    Raises InvalidInput for an unknown language, and Conflict while an index is being built, or when the table stays in
    use. Where it was cut off the collection has its old language or the new one; the next call builds what is missing.
    """
    with engine.connect() as reading:
        full_text.check(reading, language)
        wanted = _wanted(reading, space)
    with index_build.alone(address, space) as connection:
        if language != space.language:
            _change(address, space, language)
        with engine.connect() as reading:
            changed = spaces.find(reading, space.name)
        _restore(address, engine, connection, changed, wanted, on_tuples)
    return changed


def _wanted(connection: Connection, space: Space) -> Options | None:
    """The index that the whole collection has, or is large enough to need."""
    there = indexes.main(indexes.every(connection, space))
    if there is not None:
        return options_of(there, space)
    return wished(space) if indexes.due(connection, space) else None


def _change(address: Address, space: Space, language: str | None) -> None:
    """On a connection of its own, for it may take long."""
    engine = connections.engine(address, patient=True)
    try:
        in_transaction(engine, partial(_rewrite, space=space, language=language))
    finally:
        engine.dispose()


def _rewrite(connection: Connection, space: Space, language: str | None) -> None:
    mine = collections.c.id == space.collection_id
    if connection.execute(select(collections.c.id).where(mine).with_for_update(key_share=True)).first() is None:
        raise NotFound(f"collection {space.name!r} has been dropped.")
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    target = sql.Identifier("semsearch", space.table_name)
    with views.gone(connection, space):
        raw = driver(connection)
        for index in indexes.every(connection, space):
            raw.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier("semsearch", index.name)))
        raw.execute(sql.SQL("ALTER TABLE {} DROP COLUMN IF EXISTS terms").format(target))
        connection.execute(update(collections).where(mine).values(language=language))
        if language is not None:
            terms = table(spaces.find(connection, space.name)).c.terms
            made = str(CreateColumn(terms).compile(dialect=connection.dialect))
            raw.execute(sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(target, sql.SQL(made)))


def _restore(
    address: Address,
    engine: Engine,
    connection: Watched,
    space: Space,
    wanted: Options | None,
    on_tuples: OnTuples | None,
) -> None:
    """The indexes, beside everything else; statistics first, by which tenants are found that need one of their own."""
    indexes.analyze(connection, space)
    if wanted is None:
        return
    index_build.create_others(address, connection, space)
    with engine.connect() as reading:
        missing = indexes.main(indexes.every(reading, space)) is None
        tenants = tenant_indexes.wanted(reading, space)
    for options in [*([wanted] if missing else []), *tenants]:
        name = indexes.name(space, options.tenant)
        index_build.create(address, connection, space, options, name, on_tuples)
