"""Roles that may read one tenant's chunks with SQL of their own: row-level security on the table of the chunks.

A policy names a role, never a setting: whoever writes SQL can change a setting. The table's owner, members of its role
and superusers see everything, as whom this program connects; so do semsearch_worker, which stores the chunks, and
semsearch_admin (`grant_rights.sql`). Members of semsearch_reader see no tenant's that they were not granted.
"""

from __future__ import annotations

import hashlib

from psycopg import sql
from sqlalchemy import Connection, text

from semsearch.errors import InvalidInput, NotFound
from semsearch.store import views
from semsearch.store.connection import driver
from semsearch.store.spaces import Space
from semsearch.store.tenants import required

# By which the view computes fields that are dates.
CALLED = sql.SQL("semsearch.to_date(jsonb), semsearch.to_timestamp(jsonb)")

# `seen`: whether the current role is told of it, for it sees the same chunks, or all.
POLICIES = text("""
SELECT p.polname AS name, obj_description(p.oid, 'pg_policy') AS tenant, pg_get_userbyid(r.oid) AS role,
       NOT row_security_active(p.polrelid) OR EXISTS (
           SELECT FROM pg_policy q CROSS JOIN unnest(q.polroles) AS those (oid)
           WHERE q.polrelid = p.polrelid AND q.polname IN (p.polname, 'semsearch') AND pg_has_role(those.oid, 'USAGE')
       ) AS seen
FROM pg_policy p CROSS JOIN unnest(p.polroles) AS r (oid)
WHERE p.polrelid = to_regclass(:table) AND starts_with(p.polname, 'tenant_')
ORDER BY tenant, role
""")

ROLE = text("""
SELECT r.oid, r.rolsuper OR r.rolbypassrls OR pg_has_role(r.oid, c.relowner, 'MEMBER') OR EXISTS (
           SELECT FROM pg_policy p CROSS JOIN unnest(p.polroles) AS those (oid)
           WHERE p.polrelid = c.oid AND p.polname = 'semsearch' AND pg_has_role(r.oid, those.oid, 'MEMBER')
       ) AS sees_all
FROM pg_roles r CROSS JOIN pg_class c
WHERE r.rolname = :role AND c.oid = to_regclass(:table)
""")

# Whether the role has rights to a table or view of ours, whoever granted them: for these it needs the schemas.
LEFT = text("""
SELECT EXISTS (
    SELECT FROM pg_shdepend d JOIN pg_class c ON c.oid = d.objid
    WHERE d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_authid'::regclass AND d.refobjid = :oid
      AND c.relnamespace IN ('semsearch'::regnamespace, 'collections'::regnamespace)
)
""")


def granted(connection: Connection, space: Space) -> dict[str, list[str]]:
    """The roles that may read, by tenant: of those tenants whose chunks the current role sees."""
    roles: dict[str, list[str]] = {}
    for policy in connection.execute(POLICIES, {"table": f"semsearch.{space.table_name}"}):
        if policy.seen:
            roles.setdefault(policy.tenant, []).append(policy.role)
    return roles


def grant(connection: Connection, space: Space, tenant: str, role: str) -> None:
    """Let a role read the tenant's chunks: in the view, and in the table beneath it. Again does no harm.

    Raises InvalidInput for a role that sees every tenant's anyway, NotFound for one that does not exist.
    """
    field = _number(space, tenant)
    oid = _role(connection, space, role)
    connection.execute(views.SHORTLY)
    _create_policy(connection, space, field, tenant, role, oid)
    raw, view, reader = driver(connection), sql.Identifier("collections", space.name), sql.Identifier(role)
    raw.execute(sql.SQL("GRANT USAGE ON SCHEMA collections, semsearch TO {}").format(reader))
    raw.execute(sql.SQL("GRANT SELECT ON {}, {} TO {}").format(view, _table(space), reader))
    raw.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(CALLED, reader))


def revoke(connection: Connection, space: Space, tenant: str, role: str) -> None:
    """Let a role read the tenant's chunks no longer. Raises NotFound when it may not.

    One that may read no tenant's any more loses SELECT on view and table, and after the last of them all that `grant`
    gave it: it could not be dropped otherwise.
    """
    _number(space, tenant)
    oid = connection.execute(text("SELECT oid FROM pg_roles WHERE rolname = :role"), {"role": role}).scalar()
    policies = connection.execute(POLICIES, {"table": f"semsearch.{space.table_name}"}).all()
    of_role = [policy.name for policy in policies if policy.role == role]
    if oid is None or (name := _policy(tenant, oid)) not in of_role:
        raise NotFound(f"role {role!r} has no grant for tenant {tenant!r:.80} in collection {space.name!r}.")
    connection.execute(views.SHORTLY)
    raw = driver(connection)
    raw.execute(sql.SQL("DROP POLICY {} ON {}").format(sql.Identifier(name), _table(space)))
    if of_role == [name]:
        view = sql.Identifier("collections", space.name)
        reader = sql.Identifier(role)
        raw.execute(sql.SQL("REVOKE SELECT ON {}, {} FROM {}").format(view, _table(space), reader))
        if not connection.execute(LEFT, {"oid": oid}).scalar_one():
            raw.execute(sql.SQL("REVOKE EXECUTE ON FUNCTION {} FROM {}").format(CALLED, reader))
            raw.execute(sql.SQL("REVOKE USAGE ON SCHEMA collections, semsearch FROM {}").format(reader))


def copy(connection: Connection, space: Space, target: Space) -> None:
    """Grant on another space of the same collection what is granted on this one."""
    for tenant, roles in granted(connection, space).items():
        for role in roles:
            grant(connection, target, tenant, role)


def _create_policy(connection: Connection, space: Space, field: str, tenant: str, role: str, oid: int) -> None:
    """The comment keeps the tenant's name, which the condition holds in the server's spelling only."""
    raw, name = driver(connection), sql.Identifier(_policy(tenant, oid))
    raw.execute(sql.SQL("DROP POLICY IF EXISTS {} ON {}").format(name, _table(space)))
    raw.execute(
        sql.SQL("CREATE POLICY {} ON {} FOR SELECT TO {} USING ({} = {})").format(
            name, _table(space), sql.Identifier(role), sql.Identifier(field), sql.Literal(tenant)
        )
    )
    raw.execute(sql.SQL("COMMENT ON POLICY {} ON {} IS {}").format(name, _table(space), sql.Literal(tenant)))


def _policy(tenant: str, oid: int) -> str:
    return f"tenant_{hashlib.sha256(tenant.encode()).hexdigest()[:32]}_{oid}"


def _number(space: Space, tenant: str) -> str:
    """The column that says whose a chunk is."""
    name = required(space, tenant)
    if name is None:
        raise InvalidInput(f"collection {space.name!r} has no tenants: grant SELECT on its view.")
    return next(f"field_{field.number}" for field in space.fields if field.name == name)


def _role(connection: Connection, space: Space, role: str) -> int:
    found = connection.execute(ROLE, {"role": role, "table": f"semsearch.{space.table_name}"}).one_or_none()
    if found is None:
        raise NotFound(f"role {role!r} does not exist: CREATE ROLE makes it.")
    if found.sees_all:
        raise InvalidInput(
            f"role {role!r} sees the chunks of every tenant: it is a superuser, has BYPASSRLS, or belongs to the owner "
            "of the table, to semsearch_worker or semsearch_admin. Grant to another one."
        )
    return int(found.oid)


def _table(space: Space) -> sql.Identifier:
    return sql.Identifier("semsearch", space.table_name)
