"""The full text of chunks: a stored tsvector in the language of the collection."""

from __future__ import annotations

import difflib
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.dialects.postgresql import REGCONFIG, TSVECTOR

from semsearch.errors import InvalidInput

# A tsvector holds less than 1 MB, and to_tsvector raises beyond that (PostgreSQL docs, "Limitations"): of the worst
# text, words of two characters, so many characters stay below it.
MOST = 100_000

NAMES = sa.text("SELECT cfgname FROM pg_ts_config WHERE pg_ts_config_is_visible(oid) ORDER BY cfgname")


def check(connection: Connection, language: str | None) -> None:
    """Raise InvalidInput unless the server has a text search configuration of that name."""
    if language is None:
        return
    known = list(connection.execute(NAMES).scalars())
    if language not in known:
        near = difflib.get_close_matches(str(language), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"this server has {', '.join(known)}."
        raise InvalidInput(f"language {language!r} is no text search configuration: {hint}")


def generated_column(language: str) -> sa.Column[Any]:
    """The column `terms`: heading and text as lexemes with positions."""
    made = expression(language, sa.column("heading"), sa.column("text"))
    return sa.Column("terms", TSVECTOR, sa.Computed(made, persisted=True))


def expression(language: str, heading: ColumnElement[Any], text: ColumnElement[Any]) -> ColumnElement[Any]:
    """What `terms` holds of a chunk."""
    both = sa.func.left(heading.op("||")(sa.literal_column("' '")).op("||")(text), MOST)
    return sa.func.to_tsvector(sa.cast(sa.literal(language, sa.Text()), REGCONFIG()), both)
