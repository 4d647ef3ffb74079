"""The triggers that tell of changes: which are missing, or are there and do not fire."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT

from semsearch import sql
from semsearch.store.spaces import Space


@dataclass(frozen=True)
class Wrong:
    """A trigger that does not do its work, and the command that makes it."""

    name: str
    table: str
    state: Literal["missing", "disabled"]
    command: str


# A partition has each of its table's row triggers as its own, which can be disabled alone; those for TRUNCATE it does
# not inherit. By the catalog, for to_regclass fails whoever has no right to use the schema.
THERE = text("""
WITH source AS (
    SELECT c.oid FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
    WHERE s.nspname = :schema AND c.relname = :table
)
SELECT n.name, format('%I.%I', s.nspname, c.relname) AS table, quote_ident(n.name) AS quoted,
       t.oid IS NOT NULL AS there
FROM (
    SELECT oid AS relation FROM source
    UNION SELECT p.relid FROM source CROSS JOIN pg_partition_tree(source.oid) p
) AS member
JOIN pg_class c ON c.oid = member.relation
JOIN pg_namespace s ON s.oid = c.relnamespace
CROSS JOIN unnest(:names) AS n (name)
LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = n.name
WHERE t.tgenabled IS NULL OR t.tgenabled NOT IN ('O', 'A')
ORDER BY 2, 1
""")


def wrong(connection: Connection, space: Space) -> list[Wrong]:
    """The triggers of the collection's source that are missing or disabled."""
    schema, table, names, remedy = _expected(space)
    bound = THERE.bindparams(bindparam("names", names, type_=ARRAY(TEXT)))
    return [
        Wrong(row.name, row.table, "disabled", f"ALTER TABLE {row.table} ENABLE TRIGGER {row.quoted}")
        if row.there
        else Wrong(row.name, row.table, "missing", remedy)
        for row in connection.execute(bound, {"schema": schema, "table": table})
    ]


def _expected(space: Space) -> tuple[str, str, list[str], str]:
    """The schema and the table, the names of its triggers, and what makes those that are missing."""
    if space.attachment is None:
        return "semsearch", "documents", _own(), "semsearch migrate"
    schema, table, number = space.attachment.schema, space.attachment.table, space.collection_id
    names = [f"semsearch_enqueue_{number}", f"semsearch_enqueue_all_{number}"]
    literal = "'" + f"{_quoted(schema)}.{_quoted(table)}".replace("'", "''") + "'"
    return schema, table, names, f"SELECT semsearch.create_attached_triggers({number}, {literal})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@lru_cache
def _own() -> list[str]:
    """Those of semsearch.documents, as our own SQL names them."""
    created = re.compile(r"^CREATE OR REPLACE TRIGGER (\w+).*?ON semsearch\.documents\b", re.MULTILINE | re.DOTALL)
    return [name for statement in sql.statements() for name in created.findall(statement)]
