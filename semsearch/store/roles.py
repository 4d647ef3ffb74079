"""What the roles semsearch_reader, _writer, _worker and _admin may: granted by functions of the schema (semsearch/sql).

Whoever has run the migrations owns everything, and needs none of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from sqlalchemy import Connection, text

from semsearch.store.connection import Address

GRANT = text("SELECT semsearch.grant_rights(CAST(:part AS text))")
CREATE = text("SELECT semsearch.create_roles()")
# From PostgreSQL 16 on whoever makes a role is a member that may hand it out, but has none of its rights.
EVERY = text("""
SELECT 'semsearch_' || u.role AS name, to_regrole('semsearch_' || u.role) IS NOT NULL AS is_there,
       ARRAY(SELECT m.member::regrole::text FROM pg_auth_members m
             WHERE m.roleid = to_regrole('semsearch_' || u.role)
               AND coalesce(CAST(to_jsonb(m) ->> 'set_option' AS boolean), true) ORDER BY 1) AS members,
       ARRAY(SELECT r.privilege || ' ON ' || r.object FROM semsearch.rights() r
             WHERE r.role = u.role ORDER BY r.object, r.privilege) AS rights
FROM unnest(CAST('{reader, writer, worker, admin}' AS text[])) WITH ORDINALITY AS u (role, place) ORDER BY u.place
""")

# Catalogs only, which everybody may read.
RISKS = """
SELECT CASE WHEN r.rolsuper THEN 'a superuser' WHEN pg_has_role(s.nspowner, 'USAGE') THEN 'the owner of semsearch' END,
       ARRAY(SELECT m.member::regrole::text FROM pg_auth_members m JOIN pg_roles o ON o.oid = m.member
             WHERE m.roleid = to_regrole('semsearch_admin') AND NOT o.rolsuper AND o.oid NOT IN (r.oid, s.nspowner)
             ORDER BY 1),
       ARRAY(SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE ' ELSE 'FUNCTION ' END || p.oid::regprocedure FROM pg_proc p
             WHERE p.pronamespace = s.oid AND p.proowner <> s.nspowner ORDER BY 1)
FROM pg_roles r CROSS JOIN pg_namespace s WHERE r.rolname = current_user AND s.nspname = 'semsearch'
"""

PURPOSES = {
    "semsearch_reader": "search, and read the views of collections; no tenant's chunks without a grant",
    "semsearch_writer": "reader, and put, delete and retry documents by SQL functions",
    "semsearch_worker": "run `semsearch worker`: read documents and attached columns, store chunks",
    "semsearch_admin": "writer, and attach and detach tables (by functions that workers call), API keys, budgets",
}


@dataclass(frozen=True)
class Role:
    """A role of the database to make people and programs members of. `rights` are its own, without inherited ones."""

    name: str
    purpose: str
    is_there: bool
    members: tuple[str, ...]
    rights: tuple[str, ...]


@dataclass(frozen=True)
class Risks:
    """What the current role is, if more than a worker should be; members of semsearch_admin that are less.

    `strange` are functions in the schema semsearch that are not its owner's, which could stand in the place of ours.
    """

    power: str | None
    admins: tuple[str, ...]
    strange: tuple[str, ...]

    @property
    def of_worker(self) -> str | None:
        """Why this role should not run workers, in a sentence."""
        if self.power is None or not self.admins:
            return None
        return (
            f"workers call functions of those who attach tables ({', '.join(self.admins)}), and this role is "
            f"{self.power}: run workers as a member of semsearch_worker alone"
        )


def every(connection: Connection) -> list[Role]:
    """The four roles, whether they are there or not."""
    found = connection.execute(EVERY)
    return [Role(row.name, PURPOSES[row.name], row.is_there, tuple(row.members), tuple(row.rights)) for row in found]


def create(connection: Connection) -> list[str]:
    """Make what is missing and grant everything anew; returns the statements that this role may not run."""
    missing = list(connection.execute(CREATE).scalar_one())
    connection.execute(GRANT, {"part": None})
    return missing


def look(address: Address) -> list[str] | None:
    """The statements that would make the roles that are missing; None when this role cannot look."""
    with address.connect(vectors=False, autocommit=True) as connection:
        try:
            row = connection.execute("SELECT semsearch.missing_roles()").fetchone()
        except psycopg.errors.InsufficientPrivilege:
            return None
    return list(row[0]) if row else None


def look_for_risks(address: Address) -> Risks:
    """Whose code this role might run."""
    with address.connect(vectors=False, autocommit=True) as connection:
        power, admins, strange = connection.execute(RISKS).fetchone() or (None, (), ())
    return Risks(power, tuple(admins), tuple(strange))


def grant_collection(connection: Connection, number: int) -> None:
    """Grant what the roles may of a collection's chunks and view, where there are such roles."""
    connection.execute(GRANT, {"part": f"collection {number:d}"})


def grant_word_model(connection: Connection, number: int) -> None:
    """Let readers read the words of a model, where there are such roles."""
    connection.execute(GRANT, {"part": f"words {number:d}"})
