"""The view of a collection while columns change: it goes, and comes again with the rights that were granted on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql
from sqlalchemy import Connection, text

from semsearch.store import creation, spaces
from semsearch.store.connection import driver
from semsearch.store.spaces import Space

# Whoever waits for a strong lock stops all who come after him: never for long, then `in_transaction` tries again.
SHORTLY = text("SET LOCAL lock_timeout = '200ms'")

GRANTED = text("""
SELECT CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END AS role, a.privilege_type AS privilege,
       a.is_grantable AS grantable
FROM pg_class c CROSS JOIN aclexplode(c.relacl) a
WHERE c.oid = to_regclass(:view) AND a.grantee <> c.relowner
""")


def extend(connection: Connection, space: Space) -> None:
    """Show a field that was added; what depends on the view stays."""
    connection.execute(SHORTLY)
    creation.create_view(connection, space, replace=True)


@contextmanager
def gone(connection: Connection, space: Space) -> Iterator[None]:
    """The view is gone inside, and made anew behind, of the columns that the collection has then.

    The chunks are locked against everybody first. Raises Conflict when what depends on the view does not let it go.
    """
    name = sql.Identifier("collections", space.name)
    lock = text("SELECT semsearch.lock_table(to_regclass(:table), 'ACCESS EXCLUSIVE')")
    connection.execute(lock, {"table": f"semsearch.{space.table_name}"})
    connection.execute(SHORTLY)
    granted = connection.execute(GRANTED, {"view": f"collections.{space.name}"}).all()
    driver(connection).execute(sql.SQL("DROP VIEW {}").format(name))
    yield
    creation.create_view(connection, spaces.find(connection, space.name))
    for role, privilege, grantable in granted:
        driver(connection).execute(
            sql.SQL("GRANT {} ON {} TO {}{}").format(
                sql.SQL(privilege),
                name,
                sql.SQL("PUBLIC") if role is None else sql.Identifier(role),
                sql.SQL(" WITH GRANT OPTION" if grantable else ""),
            )
        )
