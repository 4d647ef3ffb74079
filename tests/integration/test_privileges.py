"""What each role may, in one file that a person can read; and rules that hold for every object there is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

import semsearch
from semsearch.config import Settings
from tests.integration import roles
from tests.integration.roles import Sql, login
from tests.provider import Provider

GOLDEN = Path(__file__).parent / "privileges.txt"
GRAMMAR = {"coalesce", "greatest", "least", "nullif"}  # no functions that a path could find


@pytest.fixture(scope="module")
def sql(
    module_database_url: str, provider_process: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sql]:
    """The owner's connection to a database with one of everything."""
    folder = tmp_path_factory.mktemp("roles")
    settings = Settings(
        database_url=SecretStr(module_database_url),
        home=folder,
        openai_api_key=SecretStr("sk-test"),
        openai_base_url=provider_process.url,
    )
    with psycopg.connect(module_database_url, autocommit=True) as connection, roles.people(connection, "tenant"):
        with semsearch.connect(settings=settings) as db:
            roles.furnish(db, connection, folder, login("tenant"))
        yield connection


def test_every_right_is_as_it_was_written_down(sql: Sql) -> None:
    """Every difference must be meant. RENEW=1 with this test writes the file anew: read what has changed in it."""
    found = roles.privileges(sql)
    if os.environ.get("RENEW"):
        GOLDEN.write_text(found)
    assert found.splitlines() == GOLDEN.read_text().splitlines()


def test_the_public_may_nothing_at_all(sql: Sql) -> None:
    assert "    public:" not in roles.privileges(sql)


def test_granting_all_anew_changes_nothing_and_takes_back_what_is_too_much(sql: Sql) -> None:
    before = roles.privileges(sql)
    sql.execute("GRANT SELECT ON semsearch.api_keys TO semsearch_reader")
    sql.execute("GRANT UPDATE (name) ON semsearch.collections TO semsearch_writer")
    sql.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA semsearch TO PUBLIC")
    sql.execute("GRANT ALL ON SCHEMA collections TO PUBLIC")
    sql.execute(f"GRANT SELECT ON semsearch.tasks TO {login('tenant')}")
    sql.execute("SELECT semsearch.grant_rights()")
    assert roles.privileges(sql) == before
    kept = sql.execute("SELECT has_table_privilege(%s, 'semsearch.tasks', 'SELECT')", [login("tenant")]).fetchone()
    assert kept == (True,)  # what others were granted stays
    sql.execute(f"REVOKE SELECT ON semsearch.tasks FROM {login('tenant')}")


# What must hold of every object


def every(sql: Sql, query: str) -> list[Any]:
    return [name for (name,) in sql.execute(query)]


def test_what_runs_as_its_owner_looks_nowhere_but_in_pg_catalog(sql: Sql) -> None:
    """pg_temp is named last: where it is not named PostgreSQL looks there first."""
    found = every(
        sql,
        "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace IN "
        "('semsearch'::regnamespace, 'semsearch_attached'::regnamespace) "
        "AND p.prosecdef AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)",
    )
    assert found == []


def test_every_function_pins_its_path_but_procedures_that_commit(sql: Sql) -> None:
    found = every(
        sql,
        "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'semsearch'::regnamespace AND NOT EXISTS ("
        "SELECT FROM unnest(p.proconfig) AS setting WHERE starts_with(setting, 'search_path=pg_catalog')) ORDER BY 1",
    )
    assert found == ["embed", "require_no_transaction_block"]


def test_what_is_called_without_a_pinned_path_names_every_schema(sql: Sql) -> None:
    """A procedure that commits cannot pin its path: nothing in it may be found by one."""
    for source in every(
        sql, "SELECT prosrc FROM pg_proc WHERE oid = 'semsearch.embed(text,text,interval)'::regprocedure"
    ):
        called = re.findall(r"(?<![.\w])([a-z_]+)\(", re.sub(r"--.*|'[^']*'", "", source))
        assert set(called) <= GRAMMAR


def test_every_view_asks_for_the_rights_of_whoever_reads_it(sql: Sql) -> None:
    found = every(
        sql,
        "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('v', 'm') AND c.relnamespace IN "
        "('semsearch'::regnamespace, 'collections'::regnamespace) "
        "AND NOT coalesce('security_invoker=true' = ANY (c.reloptions), false)",
    )
    assert found == []


def test_every_table_of_tenants_has_row_level_security(sql: Sql) -> None:
    """Not FORCE as well: PostgreSQL refuses COPY FROM, by which chunks are stored, to whom policies apply."""
    found = sql.execute(
        "SELECT k.name, t.relrowsecurity FROM semsearch.collections k "
        "JOIN semsearch.spaces s ON s.collection_id = k.id "
        "JOIN pg_class t ON t.oid = to_regclass('semsearch.chunks_' || s.id) WHERE k.tenant IS NOT NULL"
    ).fetchall()
    assert found == [("tickets", True)]


def test_only_the_owner_of_the_schema_has_anything_in_it_or_may_make_it(sql: Sql) -> None:
    """A function of anybody else's could be called in the place of ours."""
    found = every(
        sql,
        "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
        "WHERE n.nspname IN ('semsearch', 'collections') AND p.proowner <> n.nspowner",
    )
    assert found == []
    able = every(
        sql,
        "SELECT a.grantee::regrole::text FROM pg_namespace n CROSS JOIN aclexplode(n.nspacl) a "
        "WHERE n.nspname IN ('semsearch', 'collections') AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner",
    )
    assert able == []


def test_no_role_of_ours_owns_anything_or_can_log_in_or_more(sql: Sql) -> None:
    owned = every(
        sql,
        "SELECT d.objid FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid "
        "WHERE d.deptype = 'o' AND starts_with(r.rolname, 'semsearch_')",
    )
    assert owned == []
    able = every(
        sql,
        "SELECT rolname FROM pg_roles WHERE rolname ~ '^semsearch_(reader|writer|worker|admin)$' AND "
        "(rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)",
    )
    assert able == []


def test_every_right_in_the_list_names_what_is_there(sql: Sql) -> None:
    """A name that is written wrongly there would grant nothing, in silence."""
    source = sql.execute("SELECT prosrc FROM pg_proc WHERE oid = 'semsearch.rights()'::regprocedure").fetchone()
    assert source is not None
    names = {name.strip() for listed in re.findall(r"'\{([a-z_, ]+)\}'", source[0]) for name in listed.split(",")}
    there = set(
        every(
            sql,
            "SELECT proname FROM pg_proc WHERE pronamespace = 'semsearch'::regnamespace "
            "UNION SELECT relname FROM pg_class WHERE relnamespace = 'semsearch'::regnamespace",
        )
    )
    assert names - there == set()
