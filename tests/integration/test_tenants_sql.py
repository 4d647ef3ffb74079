"""Tenants and people who write SQL: a role sees what it was granted, whatever it tries; the owner goes on working."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo
from pydantic import SecretStr

import semsearch
from semsearch import Document
from semsearch.collection import Collection
from semsearch.config import Settings
from semsearch.database import Database
from semsearch.errors import InvalidInput, NotFound
from semsearch.store import connection as connections
from semsearch.store import migrate, tenant_rights
from tests.conftest import ServerUrl, maintenance
from tests.integration.command_line import Cli
from tests.integration.hands import MODEL
from tests.provider import Provider

Sql = psycopg.Connection[Any]

CANARY = "xylophone"


@pytest.fixture
def roles(sql: Sql) -> Iterator[tuple[str, str]]:
    """Two roles that own nothing. Roles belong to the server: their names are this process's own."""
    names = (f"reader_a_{os.getpid()}", f"reader_b_{os.getpid()}")
    for name in names:
        sql.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    yield names
    sql.execute("RESET ALL")
    sql.execute("RESET ROLE")
    for name in names:
        sql.execute(f"DROP OWNED BY {name}")
        sql.execute(f"DROP ROLE {name}")


@pytest.fixture
def tickets(model_db: Database, roles: tuple[str, str]) -> Collection:
    collection = model_db.create_collection("tickets", dimensions=2, fields={"customer": "text"}, tenant="customer")
    collection.put([Document(f"a{number}", "plain", embedding=[1, number]) for number in range(5)], tenant="a")
    collection.put(
        [Document(f"b{number}", CANARY, {CANARY: number}, CANARY, embedding=[1, number]) for number in range(300)],
        tenant="b",
    )
    for tenant, role in zip("ab", roles, strict=True):
        collection.grant_tenant(tenant, role)
    return collection


@pytest.fixture
def as_a(tickets: Collection, roles: tuple[str, str], module_database_url: str) -> Iterator[Sql]:
    """A connection of the role of tenant a's own."""
    url = conninfo.make_conninfo(module_database_url, user=roles[0], password="secret")
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def everything(connection: Sql, query: str) -> str:
    return repr(connection.execute(query).fetchall())


def test_view_and_table_show_the_tenants_chunks_only(tickets: Collection, as_a: Sql) -> None:
    for relation in ("collections.tickets", f"semsearch.{tickets.space.table_name}"):
        assert as_a.execute(f"SELECT count(*) FROM {relation}").fetchone() == (5,)
        assert CANARY not in everything(as_a, f"SELECT * FROM {relation}")
        assert CANARY not in everything(
            as_a, f"SELECT document_id FROM {relation} ORDER BY embedding <=> '[1,299]' LIMIT 400"
        )
        assert as_a.execute(f"SELECT count(*) FROM {relation} WHERE metadata ? '{CANARY}'").fetchone() == (0,)
        assert CANARY not in everything(
            as_a, f"SELECT * FROM (TABLE {relation}) t FULL JOIN (TABLE {relation}) u USING (document_id)"
        )


def test_two_roles_see_what_is_theirs_and_one_with_two_grants_sees_both(
    tickets: Collection, sql: Sql, roles: tuple[str, str]
) -> None:
    def seen(role: str) -> Any:
        sql.execute(f"SET ROLE {role}")
        found = sql.execute("SELECT customer, count(*) FROM collections.tickets GROUP BY 1 ORDER BY 1").fetchall()
        sql.execute("RESET ROLE")
        return found

    assert [seen(role) for role in roles] == [[("a", 5)], [("b", 300)]]
    tickets.grant_tenant("b", roles[0])
    tickets.grant_tenant("b", roles[0])  # again does no harm
    assert seen(roles[0]) == [("a", 5), ("b", 300)]
    tickets.revoke_tenant("b", roles[0])
    assert seen(roles[0]) == [("a", 5)]
    assert [(tenant.name, tenant.roles) for tenant in tickets.tenants()] == [("a", (roles[0],)), ("b", (roles[1],))]
    tickets.revoke_tenant("a", roles[0])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        seen(roles[0])
    sql.execute("RESET ROLE")
    with pytest.raises(NotFound, match="has no grant for tenant 'a'"):
        tickets.revoke_tenant("a", roles[0])


def test_nothing_else_of_the_program_can_be_read(tickets: Collection, as_a: Sql) -> None:
    relations = as_a.execute(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'semsearch'::regnamespace "
        "AND c.relkind IN ('r', 'v', 'm', 'S')"
    ).fetchall()
    assert len(relations) > 10
    for (relation,) in relations:
        if relation == f"semsearch.{tickets.space.table_name}":
            continue
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_a.execute(f"SELECT * FROM {relation}")


def test_no_function_of_the_program_tells_more(
    tickets: Collection, as_a: Sql, sql: Sql, roles: tuple[str, str]
) -> None:
    """Each is called with every argument NULL or a likely number: it returns what is the tenant's, or an error.

    Readers are told how many documents a collection has, of all tenants together, and no more.
    """
    space = tickets.space
    sql.execute(f"GRANT semsearch_writer TO {roles[0]}")
    functions = as_a.execute(
        "SELECT p.oid::regproc::text, ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) AS t) "
        "FROM pg_proc p WHERE p.pronamespace = 'semsearch'::regnamespace AND p.prorettype <> 'trigger'::regtype "
        "AND p.prokind = 'f' AND has_function_privilege(p.oid, 'EXECUTE')"
    ).fetchall()
    assert functions
    likely = {
        "integer": str(space.id),
        "text": "'tickets'",
        "text[]": "'{b1}'",
        "regclass": f"'semsearch.{space.table_name}'",
    }
    for name, types in functions:
        arguments = ", ".join(f"({likely.get(kind, 'NULL')})::{kind}" for kind in types)
        try:
            said = everything(as_a, f"SELECT {name}({arguments})")
        except psycopg.Error as error:
            said = str(error)
        assert CANARY not in said
        assert "300" not in said, name
        # How many rows a table has, once it was analysed, everybody can read in pg_class.
        assert "305" not in said or name in ("semsearch.collection_counts", "semsearch.table_rows"), name
    assert as_a.execute("SELECT semsearch.stored_documents(%s)", [space.id]).fetchone() == (5,)


def test_settings_and_roles_change_nothing(tickets: Collection, as_a: Sql, roles: tuple[str, str]) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_a.execute(f"SET ROLE {roles[1]}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_a.execute(f"SET SESSION AUTHORIZATION {roles[1]}")
    as_a.execute("RESET ROLE")
    for setting in ("semsearch.tenant", "semsearch.bulk", "app.tenant"):
        as_a.execute(f"SET {setting} = 'b'")
    assert as_a.execute("SELECT count(*) FROM collections.tickets").fetchone() == (5,)
    as_a.execute("SET row_security = off")
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
        as_a.execute("SELECT * FROM collections.tickets")
    assert CANARY not in str(refused.value)


def test_nothing_can_be_changed(tickets: Collection, as_a: Sql) -> None:
    table = f"semsearch.{tickets.space.table_name}"
    for statement in (
        f"DELETE FROM {table}",
        f"UPDATE {table} SET text = 'x'",
        f"TRUNCATE {table}",
        f"INSERT INTO {table} (document_id) VALUES ('x')",
        f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        f"CREATE POLICY mine ON {table} USING (true)",
        f"DROP POLICY x ON {table}",
        "CREATE OR REPLACE VIEW collections.tickets AS SELECT 1 AS document_id",
        f"CREATE INDEX ON {table} (text)",
    ):
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject)):
            as_a.execute(statement)
    assert tickets.status().chunks == 305


LEAK = """
CREATE FUNCTION pg_temp.leak(value text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
$$ BEGIN RAISE NOTICE 'leaked %', value; RETURN true; END $$
"""


def test_a_function_of_the_users_own_is_shown_no_row_of_anothers(tickets: Collection, as_a: Sql) -> None:
    told: list[str] = []
    as_a.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
    as_a.execute(LEAK)
    for relation in ("collections.tickets", f"semsearch.{tickets.space.table_name}"):
        found = as_a.execute(f"SELECT count(*) FROM {relation} WHERE pg_temp.leak(text)").fetchone()
        assert found == (5,)
    assert told == ["leaked plain"] * 10
    # An error that would tell a value, such as that of a cast, meets no row of another's either.
    with pytest.raises(psycopg.DataError) as refused:
        as_a.execute("SELECT count(*) FROM collections.tickets WHERE text::integer = 1")
    assert CANARY not in str(refused.value)


def test_plans_and_statistics_show_no_value_of_anothers(tickets: Collection, as_a: Sql, sql: Sql) -> None:
    sql.execute(f"ANALYZE semsearch.{tickets.space.table_name}")
    assert sql.execute("SELECT count(*) FROM pg_stats WHERE tablename = %s", [tickets.space.table_name]).fetchone() != (
        0,
    )
    assert as_a.execute(
        "SELECT count(*) FROM pg_stats WHERE tablename = %s", [tickets.space.table_name]
    ).fetchone() == (0,)
    explained = everything(as_a, "EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM collections.tickets WHERE text <> ''")
    assert CANARY not in explained
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_a.execute("SELECT * FROM pg_statistic")


def test_a_role_is_told_of_its_own_tenants(
    tickets: Collection, sql: Sql, roles: tuple[str, str], module_database_url: str, tmp_path: Path
) -> None:
    assert [(one.name, one.chunks) for one in tickets.tenants()] == [("a", 5), ("b", 300)]
    sql.execute(f"GRANT semsearch_reader TO {roles[0]}")
    url = conninfo.make_conninfo(module_database_url, user=roles[0], password="secret")
    with semsearch.connect(settings=Settings(database_url=SecretStr(url), home=tmp_path)) as theirs:
        (own,) = theirs.collection("tickets").tenants()
    assert (own.name, own.chunks, own.roles) == ("a", 5, (roles[0],))


def test_a_role_that_was_granted_no_tenant_is_told_so(
    cli: Cli,
    tickets: Collection,
    sql: Sql,
    roles: tuple[str, str],
    module_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tickets.revoke_tenant("a", roles[0])
    sql.execute(f"GRANT semsearch_reader TO {roles[0]}")
    url = conninfo.make_conninfo(module_database_url, user=roles[0], password="secret")
    monkeypatch.setenv("SEMSEARCH_DATABASE_URL", url)
    assert "tickets: your role was granted none of its tenants" in cli("tenants", "list", "tickets").out


def test_a_role_can_be_dropped_once_its_last_grant_is_revoked(tickets: Collection, sql: Sql) -> None:
    role = f"gone_{os.getpid()}"
    sql.execute(f"CREATE ROLE {role}")
    for tenant in "ab":
        tickets.grant_tenant(tenant, role)
    sql.execute(f"GRANT SELECT ON semsearch.word_models TO {role}")
    tickets.revoke_tenant("a", role)
    tickets.revoke_tenant("b", role)
    used = "SELECT has_schema_privilege(%s, 'semsearch', 'USAGE')"
    assert sql.execute(used, [role]).fetchone() == (True,)  # for the table that somebody else granted
    sql.execute(f"REVOKE SELECT ON semsearch.word_models FROM {role}")
    tickets.grant_tenant("a", role)
    tickets.revoke_tenant("a", role)
    sql.execute(f"DROP ROLE {role}")


def test_a_role_that_sees_all_is_refused(tickets: Collection, sql: Sql, roles: tuple[str, str]) -> None:
    for change in ("BYPASSRLS", "NOBYPASSRLS SUPERUSER"):
        sql.execute(f"ALTER ROLE {roles[0]} {change}")
        with pytest.raises(InvalidInput, match="sees the chunks of every tenant"):
            tickets.grant_tenant("a", roles[0])
    sql.execute(f"ALTER ROLE {roles[0]} NOSUPERUSER")
    for name in ("public", "no such role", ""):
        with pytest.raises(NotFound, match="does not exist"):
            tickets.grant_tenant("a", name)


@pytest.mark.parametrize(
    "tenant", ["it's", 'a"b', "%s %(x)s", "\\", "ä€", "'; DROP TABLE semsearch.documents; --", "x" * 1024]
)
def test_any_name_of_a_tenant_can_be_granted(
    tickets: Collection, sql: Sql, roles: tuple[str, str], tenant: str
) -> None:
    tickets.put([Document("odd", "odd", embedding=[1, 1])], tenant=tenant)
    tickets.grant_tenant(tenant, roles[0])
    sql.execute(f"SET ROLE {roles[0]}")
    assert sql.execute("SELECT customer FROM collections.tickets WHERE text = 'odd'").fetchall() == [(tenant,)]
    assert sql.execute("SELECT count(*) FROM collections.tickets").fetchone() == (6,)
    sql.execute("RESET ROLE")
    assert {one.name: one.roles for one in tickets.tenants()}[tenant] == (roles[0],)


def test_grants_outlive_changes_of_fields_and_language(tickets: Collection, as_a: Sql) -> None:
    tickets.add_field("topic", "text")
    tickets.set_language("german")
    tickets.drop_field("topic")
    assert as_a.execute("SELECT count(*) FROM collections.tickets").fetchone() == (5,)


def test_grants_are_copied_to_another_space(
    model_db: Database, tickets: Collection, sql: Sql, roles: tuple[str, str]
) -> None:
    other = model_db.create_collection("other", dimensions=2, fields={"customer": "text"}, tenant="customer")
    other.put([Document("x", "", embedding=[1, 2])], tenant="a")
    with other._pools.writing.begin() as connection:
        tenant_rights.copy(connection, tickets.space, other.space)
    assert [one.roles for one in other.tenants()] == [one.roles for one in tickets.tenants()]
    sql.execute(f"SET ROLE {roles[1]}")
    assert sql.execute("SELECT count(*) FROM collections.other").fetchone() == (0,)
    sql.execute("RESET ROLE")


def test_every_table_of_chunks_with_tenants_has_row_level_security(tickets: Collection, sql: Sql) -> None:
    found = sql.execute(
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = %s", [tickets.space.table_name]
    ).fetchone()
    assert found == (True, False)  # COPY FROM is refused to whom policies apply


# An owner that is no superuser


@pytest.fixture
def owned_db(
    server_conninfo: str, server_url: ServerUrl, provider: Provider, tmp_path: Path, sql: Sql
) -> Iterator[Database]:
    """A database whose owner, who is no superuser, has migrated it and owns everything in it."""
    role = name = f"owner_{os.getpid()}"
    with maintenance(server_conninfo) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
        connection.execute(f"CREATE DATABASE {name} OWNER {role}")
    with psycopg.connect(server_url(name)) as connection:
        connection.execute("CREATE EXTENSION vector")
    url = conninfo.make_conninfo(server_url(name), user=role, password="secret")
    settings = Settings(
        database_url=SecretStr(url),
        home=tmp_path / "unused",
        openai_api_key=SecretStr("sk-test"),
        openai_base_url=provider.url,
    )
    try:
        with connections.Address(settings) as address:
            migrate.upgrade(address)
        with semsearch.connect(settings=settings) as database:
            yield database
    finally:
        with maintenance(server_conninfo) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"DROP ROLE {role}")


def test_an_owner_that_is_no_superuser_puts_searches_attaches_and_verifies(
    owned_db: Database, roles: tuple[str, str]
) -> None:
    made: dict[str, Any] = {"model": MODEL, "chunk_size": 0, "fields": {"customer": "text"}, "tenant": "customer"}
    tickets = owned_db.create_collection("tickets", **made)
    tickets.put([Document("a1", "one")], tenant="a")
    tickets.put([Document("a1", "changed"), Document("a2", "two")], tenant="a")
    assert {hit.text for hit in tickets.search("one", tenant="a")} == {"changed", "two"}
    tickets.grant_tenant("a", roles[0])
    assert tickets.delete(["a2"], tenant="a") == 1
    assert tickets.verify().clean
    with owned_db.pools.writing.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA shop")
        connection.exec_driver_sql("CREATE TABLE shop.articles (id int PRIMARY KEY, body text, customer text)")
        connection.exec_driver_sql("INSERT INTO shop.articles VALUES (1, 'one', 'a'), (2, 'two', 'b')")
    rows = owned_db.attach("rows", "shop.articles", text="body", metadata=["customer"], wait=True, **made)
    with owned_db.pools.writing.begin() as connection:
        connection.exec_driver_sql("DELETE FROM shop.articles WHERE id = 1")
        connection.exec_driver_sql("UPDATE shop.articles SET body = 'three' WHERE id = 2")
    assert rows.search("one", tenant="a").hits == ()  # the trigger has removed them already
    rows.work()
    assert [hit.text for hit in rows.search("one", tenant="b")] == ["three"]
    assert rows.verify().clean
    tickets.revoke_tenant("a", roles[0])
    with owned_db.pools.writing.begin() as connection:
        connection.exec_driver_sql(f"REVOKE USAGE ON SCHEMA collections, semsearch FROM {roles[0]}")
        connection.exec_driver_sql(f"REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA semsearch FROM {roles[0]}")
    owned_db.drop_collection("rows")
