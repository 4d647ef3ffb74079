"""Attaches tables of the user's own to collections, and detaches them; all checks are those of the SQL functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.exc import NotSupportedError, ProgrammingError

from semsearch.errors import InvalidInput, NotFound
from semsearch.store.spaces import Attachment

CHECK = "SELECT semsearch.check_source(to_regclass(:table), :texts, :ids, :title, :metadata)"
ATTACH = """
SELECT semsearch.attach(:collection, to_regclass(:table), text => :texts, id => :ids, title => :title,
                        metadata => :metadata)
"""


@dataclass(frozen=True)
class Wish:
    """The table to attach and which of its columns make up a document; without `ids` its primary key."""

    table: str
    texts: Sequence[str]
    ids: Sequence[str] | None = None
    title: str | None = None
    metadata: Sequence[str] = ()


def check(connection: Connection, wish: Wish) -> Attachment:
    """What attaching it would write down. Raises NotFound, InvalidInput, ... for a table that cannot be attached so."""
    try:
        found = connection.execute(text("SELECT to_regclass(:table)"), {"table": wish.table}).scalar_one()
    except (ProgrammingError, NotSupportedError) as error:
        if isinstance(error.orig, InsufficientPrivilege):  # to use its schema
            raise
        raise InvalidInput(f"{wish.table!r} is not the name of a table.") from error
    if found is None:
        raise NotFound(f"table {wish.table!r} does not exist, or its schema is not in the search_path.")
    return Attachment(**connection.execute(_statement(CHECK, wish)).scalar_one())


def attach(connection: Connection, name: str, wish: Wish) -> None:
    """Make the rows of a table the documents of a collection; to be committed at once, for the table stays locked."""
    connection.execute(_statement(ATTACH, wish), {"collection": name})


def _statement(statement: str, wish: Wish) -> TextClause:
    return text(statement).bindparams(
        bindparam("table", wish.table),
        bindparam("texts", list(wish.texts), type_=ARRAY(TEXT)),
        bindparam("ids", None if wish.ids is None else list(wish.ids), type_=ARRAY(TEXT)),
        bindparam("title", wish.title),
        bindparam("metadata", list(wish.metadata), type_=ARRAY(TEXT)),
    )


def detach(connection: Connection, name: str) -> None:
    """Take the triggers off the table and the chunks out of the collection, which stays, empty."""
    connection.execute(text("SELECT semsearch.detach(:name)"), {"name": name})
