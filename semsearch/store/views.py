"""The view of a collection while columns change: it goes, and comes again with its owner and rights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, Row, text

from semsearch.store import creation, spaces
from semsearch.store.connection import driver
from semsearch.store.spaces import Space

# Whoever waits for a strong lock stops all who come after him: never for long, then `in_transaction` tries again.
SHORTLY = text("SET LOCAL lock_timeout = '200ms'")

HELD = text("""
SELECT pg_get_userbyid(c.relowner) AS owner, obj_description(c.oid, 'pg_class') AS comment
FROM pg_class c WHERE c.oid = to_regclass(:view)
""")
GRANTED = text("""
SELECT CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END AS role, a.privilege_type AS privilege,
       a.is_grantable AS grantable, held.column
FROM pg_class c
CROSS JOIN LATERAL (
    SELECT c.relacl AS acl, NULL AS column
    UNION ALL
    SELECT k.attacl, k.attname FROM pg_attribute k WHERE k.attrelid = c.oid AND k.attacl IS NOT NULL
) held
CROSS JOIN aclexplode(held.acl) a
WHERE c.oid = to_regclass(:view) AND a.grantee <> c.relowner
""")
COLUMNS = text("SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:view) AND attnum > 0")


def extend(connection: Connection, space: Space) -> None:
    """Show a field that was added; what depends on the view stays."""
    connection.execute(SHORTLY)
    creation.create_view(connection, space, replace=True)


@contextmanager
def gone(connection: Connection, space: Space) -> Iterator[None]:
    """The view is gone inside, and made anew behind, of the columns that the collection has then.

    Its owner, its comment, and the rights to it and to the columns that stay, are those of before. The chunks are
    locked against everybody first. Raises Conflict when what depends on the view does not let it go.
    """
    name = sql.Identifier("collections", space.name)
    lock = text("SELECT semsearch.lock_table(to_regclass(:table), 'ACCESS EXCLUSIVE')")
    connection.execute(lock, {"table": f"semsearch.{space.table_name}"})
    connection.execute(SHORTLY)
    view = {"view": f"collections.{space.name}"}
    held, granted = connection.execute(HELD, view).one_or_none(), connection.execute(GRANTED, view).all()
    driver(connection).execute(sql.SQL("DROP VIEW {}").format(name))
    assert held is not None
    yield
    creation.create_view(connection, spaces.find(connection, space.name))
    made, columns = connection.execute(HELD, view).one(), set(connection.execute(COLUMNS, view).scalars())
    run = driver(connection).execute
    if made.comment != held.comment:
        run(sql.SQL("COMMENT ON VIEW {} IS {}").format(name, sql.Literal(held.comment)))
    if made.owner != held.owner:
        run(sql.SQL("ALTER VIEW {} OWNER TO {}").format(name, sql.Identifier(held.owner)))
    for grant in granted:
        if grant.column is None or grant.column in columns:
            run(_grant(name, grant))


def _grant(view: sql.Identifier, grant: Row[Any]) -> sql.Composed:
    return sql.SQL("GRANT {}{} ON {} TO {}{}").format(
        sql.SQL(grant.privilege),
        sql.SQL("" if grant.column is None else " ({})").format(sql.Identifier(grant.column or "")),
        view,
        sql.SQL("PUBLIC") if grant.role is None else sql.Identifier(grant.role),
        sql.SQL(" WITH GRANT OPTION" if grant.grantable else ""),
    )
