"""Builds an index anew while searches go on using the old one: after many changes, or with other options."""

from __future__ import annotations

from psycopg import sql
from sqlalchemy import Engine

from semsearch.errors import NotFound
from semsearch.store import index_build, indexes, spaces
from semsearch.store.connection import Address
from semsearch.store.index_build import OnTuples
from semsearch.store.index_statements import Options, options_of, settled, table_name
from semsearch.store.indexes import Index
from semsearch.store.spaces import Space
from semsearch.store.watchdog import Watched


def rebuild(
    address: Address, engine: Engine, space: Space, options: Options | None = None, on_tuples: OnTuples | None = None
) -> list[str]:
    """Build the ANN indexes anew, with `options` that of the whole collection alone; returns what was built.

    Dead rows are removed from the table afterwards, which takes no time then: before, VACUUM would have to repair the
    graph around each of them (10 % of 41,000 rows: 16.6 s, to rebuild 5.4 s). Whatever was cut off is done by the next
    call. Raises NotFound without an index, InvalidInput, and Conflict while somebody else builds.
    """
    if options:
        settled(space, options)
    with index_build.alone(address, space) as connection:
        with engine.connect() as reading:
            found = [index for index in indexes.every(reading, space) if index.valid]
            if not found:
                spaces.check_exists(reading, space)
                raise NotFound(f"collection {space.name!r} has no index.")
        index_build.create_others(address, connection, space)
        if options and (others := _unlike(found, space, options)):
            built = [_replace(address, connection, space, options, others, found, on_tuples)]
        else:
            for index in found:
                _reindex(address, connection, space, index, on_tuples)
            built = [index.name for index in found]
        connection.execute(sql.SQL("VACUUM {}").format(table_name(space)))
        indexes.analyze(connection, space)
    return built


def _unlike(found: list[Index], space: Space, options: Options) -> list[Index]:
    """The indexes of the whole collection that are not as wished."""
    return [index for index in found if index.predicate is None and not _is_like(index, space, options)]


def _is_like(index: Index, space: Space, options: Options) -> bool:
    built = options_of(index, space)
    same = (index.serves, index.kind, index.quantization, index.dimensions) == (
        (True, options.kind, *settled(space, options))
    )
    if options.kind == "ivfflat":
        return same and options.lists in (None, built.lists)
    return same and (built.m, built.ef_construction) == (options.m, options.ef_construction)


def _replace(
    address: Address,
    connection: Watched,
    space: Space,
    options: Options,
    old: list[Index],
    found: list[Index],
    on_tuples: OnTuples | None,
) -> str:
    """The new one is built beside the old under another name, so that searches are never without an index."""
    name = indexes.name(space)
    new = next((index.name for index in found if index.predicate is None and index not in old), None)
    if new is None:  # else it was built before a crash, and only the rest is to be done
        taken = {index.name for index in found}
        new = next(free for free in (f"{name}_new", f"{name}_newer", name) if free not in taken)
        index_build.create(address, connection, space, options, new, on_tuples)
    for index in old:
        index_build.drop_one(connection, index.name)
    if new != name:
        connection.execute(
            sql.SQL("ALTER INDEX {} RENAME TO {}").format(sql.Identifier("semsearch", new), sql.Identifier(name))
        )
    return name


def _reindex(address: Address, connection: Watched, space: Space, index: Index, on_tuples: OnTuples | None) -> None:
    rows = index_build.rows(connection, space, Options())
    index_build.set_resources(address, connection, space, options_of(index, space), rows)
    with index_build.watched(address, connection, on_tuples):
        connection.execute(sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(sql.Identifier("semsearch", index.name)))
