"""For tests of roles: a database with one of everything in it, people who log in as each role, and what each may."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo
from pydantic import SecretStr

from semsearch import Document
from semsearch.config import Settings
from semsearch.database import Database
from tests.integration.hands import MODEL
from tests.provider import Provider

Sql = psycopg.Connection[Any]
ROLES = ("reader", "writer", "worker", "admin")


def login(role: str) -> str:
    """Roles belong to the server: names of people are this process's own."""
    return f"ann_{role}_{os.getpid()}"


@contextmanager
def people(sql: Sql, *others: str) -> Iterator[None]:
    """Somebody who is a member of each role, and others who are members of none."""
    names = [login(role) for role in (*ROLES, *others)]
    for name in names:
        sql.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    for role in ROLES:
        sql.execute(f"GRANT semsearch_{role} TO {login(role)}")
    try:
        yield
    finally:
        for name in names:
            sql.execute(f"DROP OWNED BY {name} CASCADE")
            sql.execute(f"DROP ROLE {name}")


def url_of(url: str, role: str) -> str:
    """The database as that person."""
    return conninfo.make_conninfo(url, user=login(role), password="secret")


def settings_of(url: str, role: str, provider: Provider, home: Path) -> Settings:
    return Settings(
        database_url=SecretStr(url_of(url, role)),
        home=home,
        openai_api_key=SecretStr("sk-test"),
        openai_base_url=provider.url,
    )


def furnish(db: Database, sql: Sql, folder: Path, tenant_role: str) -> None:
    """A plain collection, one with tenants of which one is granted, an attached table, a model of words."""
    made: dict[str, Any] = {"model": MODEL, "chunk_size": 0}
    db.create_collection("plain", fields={"day": "date"}, **made)
    tickets = db.create_collection("tickets", fields={"customer": "text"}, tenant="customer", **made)
    tickets.grant_tenant("a", tenant_role)
    sql.execute("CREATE SCHEMA shop")
    sql.execute("CREATE TABLE shop.articles (id int PRIMARY KEY, body text, secret text)")
    sql.execute("INSERT INTO shop.articles VALUES (1, 'one', 'hidden'), (2, 'two', 'hidden')")
    db.attach("articles", "shop.articles", text="body", **made)
    (folder / "royal.txt").write_text("king 1 0\nqueen 0 1\n")
    db.load_words("royal", folder / "royal.txt")


def put(db: Database) -> None:
    """Documents that wait for a worker."""
    db.collection("plain").put([Document("p1", "one", {"day": "2024-01-01"}), Document("p2", "two")], wait=False)
    tickets = db.collection("tickets")
    tickets.put([Document("a1", "of a")], tenant="a", wait=False)
    tickets.put([Document("b1", "of b"), Document("b2", "of b too")], tenant="b", wait=False)


PRIVILEGES = """
WITH roles (role) AS (
    VALUES ('public'), ('semsearch_reader'), ('semsearch_writer'), ('semsearch_worker'), ('semsearch_admin')
), ours (oid) AS (
    VALUES ('semsearch'::regnamespace), ('semsearch_attached'), ('collections'), (to_regnamespace('shop'))
),
held (object, role, privilege, place) AS (
    SELECT 'schema ' || o.oid, r.role, p.privilege, p.place
    FROM ours o CROSS JOIN roles r CROSS JOIN unnest('{USAGE,CREATE}'::text[]) WITH ORDINALITY AS p (privilege, place)
    WHERE o.oid IS NOT NULL AND has_schema_privilege(r.role, o.oid::oid, p.privilege)
    UNION ALL
    SELECT CASE c.relkind WHEN 'v' THEN 'view ' ELSE 'table ' END || c.oid::regclass, r.role, p.privilege, p.place
    FROM pg_class c CROSS JOIN roles r
    CROSS JOIN unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[])
        WITH ORDINALITY AS p (privilege, place)
    WHERE c.relnamespace IN (SELECT oid FROM ours) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND has_table_privilege(r.role, c.oid, p.privilege)
    UNION ALL
    SELECT format('column %s.%s', c.oid::regclass, a.attname), r.role, p.privilege, p.place
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    CROSS JOIN roles r
    CROSS JOIN unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) WITH ORDINALITY AS p (privilege, place)
    WHERE c.relnamespace IN (SELECT oid FROM ours) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND has_column_privilege(r.role, c.oid, a.attnum, p.privilege)
      AND NOT has_table_privilege(r.role, c.oid, p.privilege)
    UNION ALL
    SELECT 'sequence ' || c.oid::regclass, r.role, p.privilege, p.place
    FROM pg_class c CROSS JOIN roles r
    CROSS JOIN unnest('{USAGE,SELECT,UPDATE}'::text[]) WITH ORDINALITY AS p (privilege, place)
    -- Guarded, for the planner may ask before it has looked at the kind.
    WHERE CASE WHEN c.relnamespace IN (SELECT oid FROM ours) AND c.relkind = 'S'
               THEN has_sequence_privilege(r.role, c.oid, p.privilege) END
    UNION ALL
    SELECT format('%s %s', CASE f.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, f.oid::regprocedure), r.role,
           CASE WHEN f.prosecdef THEN 'EXECUTE as owner' ELSE 'EXECUTE' END, 1
    FROM pg_proc f CROSS JOIN roles r
    WHERE f.pronamespace IN (SELECT oid FROM ours) AND has_function_privilege(r.role, f.oid, 'EXECUTE')
    UNION ALL
    SELECT 'type ' || t.oid::regtype, r.role, 'USAGE', 1
    FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid CROSS JOIN roles r
    WHERE t.typnamespace IN (SELECT oid FROM ours) AND c.relkind = 'c' AND has_type_privilege(r.role, t.oid, 'USAGE')
), objects (object) AS (
    SELECT 'schema ' || o.oid FROM ours o WHERE o.oid IS NOT NULL
    UNION ALL
    SELECT CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'S' THEN 'sequence ' ELSE 'table ' END || c.oid::regclass
    FROM pg_class c WHERE c.relnamespace IN (SELECT oid FROM ours) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT format('%s %s', CASE f.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, f.oid::regprocedure)
    FROM pg_proc f WHERE f.pronamespace IN (SELECT oid FROM ours)
    UNION ALL
    SELECT 'type ' || t.oid::regtype FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
    WHERE t.typnamespace IN (SELECT oid FROM ours)
    UNION ALL
    SELECT h.object FROM held h WHERE h.object LIKE 'column %'
), by_role AS (
    SELECT h.object, h.role, string_agg(h.privilege, ', ' ORDER BY h.place) AS privileges FROM held h GROUP BY 1, 2
)
SELECT o.object, b.role, b.privileges FROM (SELECT DISTINCT object FROM objects) o LEFT JOIN by_role b USING (object)
ORDER BY o.object COLLATE "C", array_position('{public,semsearch_reader,semsearch_writer,semsearch_worker}', b.role)
"""


def privileges(sql: Sql) -> str:
    """Every object with what PUBLIC and each role may, inherited rights included; nothing behind an object: nobody."""
    shown: dict[str, list[str]] = {}
    for name, role, held in sql.execute(PRIVILEGES):
        of_object = shown.setdefault(name, [])
        if role is not None:
            of_object.append(f"    {role.removeprefix('semsearch_')}: {held}")
    return "".join("\n".join([name, *held]) + "\n" for name, held in shown.items())


def stored(sql: Sql, view: str) -> list[str]:
    return [id for (id,) in sql.execute(f"SELECT document_id FROM collections.{view} ORDER BY 1")]
