"""People who log in as reader, writer, worker and admin: each can do all of its work, and none of anybody else's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from pydantic import SecretStr

import semsearch
from semsearch import Document
from semsearch.database import Database
from tests.integration import roles
from tests.integration.command_line import Cli, answer
from tests.integration.hands import MODEL
from tests.integration.roles import Sql, login, settings_of, url_of
from tests.integration.working import run
from tests.provider import Provider


@pytest.fixture(scope="module")
def owner(
    module_database_url: str, provider_process: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, Sql]]:
    """A database with one of everything, and somebody of every role; `mallory` and `tenant` are members of none."""
    folder = tmp_path_factory.mktemp("roles")
    settings = settings_of(module_database_url, "reader", provider_process, folder)
    settings = settings.model_copy(update={"database_url": SecretStr(module_database_url)})
    with (
        psycopg.connect(module_database_url, autocommit=True) as sql,
        roles.people(sql, "mallory", "tenant"),
        semsearch.connect(settings=settings) as db,
    ):
        roles.furnish(db, sql, folder, login("tenant"))
        roles.put(db)
        yield db, sql
        for name in db.names():
            db.drop_collection(name)


@pytest.fixture(scope="module")
def worked(owner: tuple[Database, Sql], module_database_url: str, provider_process: Provider) -> list[dict[str, Any]]:
    """A worker process of somebody who is a member of semsearch_worker alone has done all there was; its log."""
    environment = {
        **os.environ,
        "SEMSEARCH_DATABASE_URL": url_of(module_database_url, "worker"),
        "SEMSEARCH_OPENAI_API_KEY": "sk-test",
        "SEMSEARCH_OPENAI_BASE_URL": provider_process.url,
    }
    command = [sys.executable, "-m", "semsearch", "worker", "--until-idle", "--log-format", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.fixture
def sessions(worked: object, module_database_url: str) -> Iterator[dict[str, Sql]]:
    """A connection of everybody's."""
    names = (*roles.ROLES, "mallory", "tenant")
    made = {name: psycopg.connect(url_of(module_database_url, name), autocommit=True) for name in names}
    yield made
    for connection in made.values():
        connection.close()


# The worker


def test_a_worker_embeds_own_documents_those_of_tenants_and_rows(
    owner: tuple[Database, Sql], worked: list[dict[str, Any]]
) -> None:
    db, sql = owner
    assert roles.stored(sql, "plain") == ["p1", "p2"]
    assert roles.stored(sql, "tickets") == ["a1", "b1", "b2"]
    assert roles.stored(sql, "articles") == ["1", "2"]
    assert db.collection("plain").status().backlog == 0
    told = [event for event in worked if event.get("event") == "not_tended"]
    assert {event["collection"] for event in told} == {"plain", "tickets", "articles"}
    assert len(told) == 3
    assert "only the owner can build an index" in told[0]["reason"]
    assert "semsearch index create" in told[0]["reason"]


def test_a_worker_goes_on_when_rows_and_documents_change(
    owner: tuple[Database, Sql], worked: object, module_database_url: str, provider_process: Provider, tmp_path: Path
) -> None:
    db, sql = owner
    sql.execute("UPDATE shop.articles SET body = 'changed' WHERE id = 1; DELETE FROM shop.articles WHERE id = 2")
    db.collection("tickets").put([Document("b1", "changed")], tenant="b", wait=False)
    with semsearch.connect(settings=settings_of(module_database_url, "worker", provider_process, tmp_path)) as theirs:
        run(theirs)
    assert roles.stored(sql, "articles") == ["1"]
    assert sql.execute("SELECT text FROM collections.tickets WHERE document_id = 'b1'").fetchone() == ("changed",)
    sql.execute("INSERT INTO shop.articles VALUES (2, 'two')")
    db.collection("articles").work()


def test_a_column_that_the_worker_may_not_read_is_named_with_its_grant(
    owner: tuple[Database, Sql], sessions: dict[str, Sql]
) -> None:
    _, sql = owner
    sql.execute("REVOKE SELECT (body) ON shop.articles FROM semsearch_worker")
    (number,) = sql.execute("SELECT id FROM semsearch.collections WHERE name = 'articles'").fetchone() or (0,)
    said = sessions["worker"].execute("SELECT semsearch.attachment_problem(%s)", [number]).fetchone()
    name = login("worker")
    grant = f"GRANT SELECT (body) ON shop.articles TO {name}"
    assert said == (f"role {name} may not read column body of shop.articles: {grant}",)
    sql.execute("GRANT SELECT (body) ON shop.articles TO semsearch_worker")
    assert sessions["worker"].execute("SELECT semsearch.attachment_problem(%s)", [number]).fetchone() == (None,)


# Reader and writer


def test_a_reader_searches_in_sql_and_in_python(
    owner: tuple[Database, Sql],
    sessions: dict[str, Sql],
    module_database_url: str,
    provider_process: Provider,
    tmp_path: Path,
) -> None:
    db, _ = owner
    db.collection("plain").search("one")  # whose embedding is in the cache then
    reader = sessions["reader"]
    found = reader.execute("SELECT document_id FROM semsearch.search('plain', 'one')").fetchall()
    assert sorted(found) == [("p1",), ("p2",)]
    assert len(reader.execute("SELECT * FROM semsearch.similar('plain', 'p1')").fetchall()) == 1
    assert reader.execute("SELECT day FROM collections.plain WHERE document_id = 'p1'").fetchone() is not None
    assert reader.execute("SELECT word FROM semsearch.nearest_words('royal', 'king')").fetchone() == ("queen",)
    status = dict(reader.execute("SELECT name, documents FROM semsearch.status").fetchall())
    assert (status["plain"], status["tickets"]) == (2, None)
    with semsearch.connect(settings=settings_of(module_database_url, "reader", provider_process, tmp_path)) as theirs:
        plain = theirs.collection("plain")
        assert {hit.document_id for hit in plain.search("something new")} == {"p1", "p2"}
        assert {hit.document_id for hit in plain.search("one", mode="hybrid", filter={"day": "2024-01-01"})} == {"p1"}


def test_nobody_sees_a_tenants_chunks_without_its_grant(owner: tuple[Database, Sql], sessions: dict[str, Sql]) -> None:
    db, sql = owner
    embedding = db.collection("tickets").search("of a", tenant="a")[0]
    assert embedding.document_id == "a1"
    searched = "SELECT document_id FROM semsearch.search('tickets', 'of a')"
    for role in ("reader", "writer"):
        assert roles.stored(sessions[role], "tickets") == []
        assert sessions[role].execute(searched).fetchall() == []
    assert roles.stored(sessions["tenant"], "tickets") == ["a1"]
    sql.execute(f"GRANT semsearch_reader TO {login('tenant')}")
    assert sessions["tenant"].execute(searched).fetchall() == [("a1",)]
    assert roles.stored(sessions["tenant"], "plain") == ["p1", "p2"]
    sql.execute(f"REVOKE semsearch_reader FROM {login('tenant')}")
    assert roles.stored(sessions["tenant"], "tickets") == ["a1"]
    assert roles.stored(sessions["admin"], "tickets") == ["a1", "b1", "b2"]


def test_a_writer_puts_and_deletes_by_functions(owner: tuple[Database, Sql], sessions: dict[str, Sql]) -> None:
    db, sql = owner
    writer = sessions["writer"]
    writer.execute("SELECT semsearch.put('plain', 'w1', 'written')")
    db.collection("plain").work()
    assert roles.stored(writer, "plain") == ["p1", "p2", "w1"]
    assert writer.execute("SELECT semsearch.delete('plain', 'w1')").fetchone() == (True,)
    assert roles.stored(writer, "plain") == ["p1", "p2"]
    assert writer.execute("SELECT semsearch.retry('plain')").fetchone() == (0,)
    with pytest.raises(InsufficientPrivilege, match="you were not granted the tenant"):
        writer.execute("""SELECT semsearch.put('tickets', 'b1', 'stolen', '{"customer": "b"}')""")
    assert writer.execute("SELECT semsearch.delete('tickets', 'b1')").fetchone() == (False,)
    assert sql.execute("SELECT count(*) FROM collections.tickets").fetchone() == (3,)


# The admin


def test_an_admin_attaches_its_own_table_which_then_works_and_detaches_it(
    owner: tuple[Database, Sql],
    sessions: dict[str, Sql],
    module_database_url: str,
    provider_process: Provider,
    tmp_path: Path,
) -> None:
    db, sql = owner
    db.create_collection("theirs", model=MODEL, chunk_size=0)
    admin = sessions["admin"]
    sql.execute(f"CREATE SCHEMA own AUTHORIZATION {login('admin')}")
    admin.execute("CREATE TABLE own.notes (id int PRIMARY KEY, body text)")
    admin.execute("INSERT INTO own.notes VALUES (1, 'one'), (2, 'two')")
    admin.execute("SELECT semsearch.attach('theirs', 'own.notes', text => '{body}')")
    with semsearch.connect(settings=settings_of(module_database_url, "worker", provider_process, tmp_path)) as worker:
        run(worker)
        assert roles.stored(admin, "theirs") == ["1", "2"]
        admin.execute("DELETE FROM own.notes WHERE id = 1")
        assert roles.stored(admin, "theirs") == ["2"]  # by the trigger, at once
        admin.execute("UPDATE own.notes SET body = 'changed'")
        run(worker)
    assert admin.execute("SELECT text FROM collections.theirs").fetchall() == [("changed",)]
    admin.execute("SELECT semsearch.detach('theirs')")
    assert roles.stored(admin, "theirs") == []
    held = "SELECT has_any_column_privilege('semsearch_worker', 'own.notes', 'SELECT')"
    assert sql.execute(held).fetchone() == (False,)
    db.drop_collection("theirs")
    sql.execute("DROP SCHEMA own CASCADE")


def test_an_admin_forgets_failures_and_keeps_keys(owner: tuple[Database, Sql], sessions: dict[str, Sql]) -> None:
    _, sql = owner
    plain = "SELECT id, 'p1', 'why', 1 FROM semsearch.collections WHERE name = 'plain'"
    sql.execute(f"INSERT INTO semsearch.failures {plain}")
    admin = sessions["admin"]
    assert admin.execute("SELECT document_id, reason FROM semsearch.failed_documents").fetchall() == [("p1", "why")]
    assert admin.execute("SELECT semsearch.purge_failures('plain')").fetchone() == (1,)
    admin.execute("INSERT INTO semsearch.api_keys (id, hash, name, scope) VALUES ('k', 'x', 'n', 'read')")
    admin.execute("DELETE FROM semsearch.api_keys WHERE id = 'k'")


# What none of them may

SECRET = ("SELECT * FROM semsearch.api_keys", "SELECT query FROM semsearch.embed_requests")
CHANGES = (
    "UPDATE semsearch.tasks SET lane = 1",
    "DELETE FROM semsearch.documents",
    "INSERT INTO semsearch.documents (collection_id, id, text) VALUES (1, 'x', 'x')",
    "UPDATE semsearch.spaces SET model = 'openai:other'",
    "UPDATE semsearch.collections SET name = 'other'",
    "INSERT INTO semsearch.word_models (name, dimensions, words, lowercase, source) VALUES ('x', 1, 1, true, '')",
    "DELETE FROM semsearch.words_1",
    "TRUNCATE semsearch.tasks",
    "DROP VIEW collections.plain",
    "CREATE VIEW collections.mine AS SELECT 1",
    "ALTER TABLE semsearch.chunks_2 DISABLE ROW LEVEL SECURITY",
    "CREATE POLICY mine ON semsearch.chunks_2 USING (true)",
    "CREATE INDEX ON semsearch.chunks_1 (text)",
    "ALTER FUNCTION semsearch.put RESET ALL",
    "SELECT semsearch.grant_rights()",
    "SELECT semsearch.revoke_rights()",
    "SELECT semsearch.create_roles()",
    "SELECT semsearch.remove_chunks(1, 'p1')",
    "CREATE TYPE semsearch.mine AS (a int)",
    "CREATE ROLE mine",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY semsearch.collections TO PROGRAM 'cat'",
)
DOCUMENTS = ("SELECT text FROM semsearch.documents", "SELECT document_id FROM semsearch.tasks")
FOR_WRITERS = (
    "SELECT semsearch.put('plain', 'x', 'x')",
    "SELECT semsearch.delete('plain', 'p1')",
    "SELECT semsearch.retry('plain')",
)
FOR_ADMINS = (
    "SELECT semsearch.attach('plain', 'shop.articles', text => '{body}')",
    "SELECT semsearch.detach('articles')",
    "SELECT semsearch.purge_failures('plain')",
    "UPDATE semsearch.collections SET token_budget = 1",
    "SELECT * FROM semsearch.failed_documents",
    "CREATE FUNCTION semsearch_attached.mine() RETURNS int LANGUAGE sql RETURN 1",
)
TABLES = "CREATE TABLE collections.mine (a int)"
FOREIGN = ("SELECT secret FROM shop.articles", "UPDATE shop.articles SET body = 'x'")
NOBODY = (
    "SELECT semsearch.was_granted_tenant(2, 'b')",
    "SELECT * FROM semsearch.status",
    "SELECT * FROM collections.plain",
    "SELECT * FROM semsearch.search('plain', 'one')",
    "SELECT semsearch.embed_words('royal', 'king')",
    "CALL semsearch.embed('plain', 'one')",
)
FORBIDDEN = {
    "reader": (*SECRET, *CHANGES, *DOCUMENTS, *FOR_WRITERS, *FOR_ADMINS, *FOREIGN, TABLES),
    "writer": (*SECRET, *CHANGES, *DOCUMENTS, *FOR_ADMINS, *FOREIGN, TABLES, "DELETE FROM semsearch.chunks_1"),
    "worker": (SECRET[0], *CHANGES[1:], *FOR_WRITERS, *FOR_ADMINS, *FOREIGN, TABLES, "SELECT * FROM collections.plain"),
    "admin": (SECRET[1], *CHANGES, DOCUMENTS[0], *FOREIGN, TABLES, "UPDATE semsearch.chunks_1 SET text = ''"),
    "mallory": (*SECRET, *CHANGES, *DOCUMENTS, *FOR_WRITERS, *FOR_ADMINS, *FOREIGN, TABLES, *NOBODY),
}


@pytest.mark.parametrize("role", FORBIDDEN)
def test_what_a_role_must_not_do_is_refused(sessions: dict[str, Sql], role: str) -> None:
    allowed = []
    for statement in FORBIDDEN[role]:
        try:
            sessions[role].execute("BEGIN")
            sessions[role].execute(statement)
            allowed.append(statement)
        except InsufficientPrivilege:
            pass
        finally:
            sessions[role].execute("ROLLBACK")
    assert allowed == []


# Somebody who would run code as the owner, or as whoever runs the worker

OVERLOADS = (
    "FUNCTION semsearch.mine() RETURNS int",
    "FUNCTION semsearch.describe_collection(smallint) RETURNS int",
    "FUNCTION semsearch.search(text, text, int, text) RETURNS int",
    "FUNCTION semsearch.grant_rights() RETURNS int",
    "PROCEDURE semsearch.embed(text, text, text)",
)


@pytest.mark.parametrize("role", roles.ROLES)
def test_nobody_makes_a_function_that_would_be_called_in_the_place_of_ours(sessions: dict[str, Sql], role: str) -> None:
    for overload in OVERLOADS:
        with pytest.raises(InsufficientPrivilege, match=r"permission denied for schema semsearch$"):
            sessions[role].execute(f"CREATE {overload} LANGUAGE sql AS 'SELECT 1'")


def test_what_an_admin_puts_in_the_place_of_its_attachment_runs_as_nobody_else(
    owner: tuple[Database, Sql],
    sessions: dict[str, Sql],
    module_database_url: str,
    provider_process: Provider,
    tmp_path: Path,
) -> None:
    db, sql = owner
    admin = sessions["admin"]
    number = db.create_collection("seized", model=MODEL, chunk_size=0).space.collection_id
    sql.execute(f"CREATE SCHEMA own AUTHORIZATION {login('admin')}")
    admin.execute("CREATE TABLE own.notes (id int PRIMARY KEY, body text)")
    admin.execute("CREATE TABLE own.caught (who text); GRANT INSERT ON own.caught TO PUBLIC")
    admin.execute("INSERT INTO own.notes VALUES (1, 'one')")
    admin.execute("SELECT semsearch.attach('seized', 'own.notes', text => '{body}')")
    trap = (
        f"CREATE OR REPLACE FUNCTION semsearch_attached.lock_{number}(ids text[]) RETURNS SETOF text LANGUAGE plpgsql "
        "SECURITY {} SET search_path = {}, pg_temp AS $$ BEGIN INSERT INTO own.caught VALUES (current_user); END $$"
    )
    worker = sessions["worker"]
    worker.execute("SELECT semsearch.lock_documents(%s, '{1}')", [number])
    for security, path in (("INVOKER", "pg_catalog"), ("DEFINER", "own, pg_catalog")):
        admin.execute(trap.format(security, path))
        for session in (worker, sql):
            assert session.execute("SELECT semsearch.lock_documents(%s, '{1}')", [number]).fetchall() == []
        said = worker.execute("SELECT semsearch.attachment_problem(%s)", [number]).fetchone()
        assert said == ("own.notes has lost its functions: attach it again",)
    admin.execute(trap.format("DEFINER", "pg_catalog"))
    worker.execute("SELECT semsearch.lock_documents(%s, '{1}')", [number])
    assert sql.execute("SELECT DISTINCT who FROM own.caught").fetchall() == [(login("admin"),)]
    # A superuser who attaches a table would leave the functions to whoever has made them.
    with pytest.raises(InsufficientPrivilege, match=f"is of role {login('admin')}: attach as that role, or detach"):
        sql.execute("SELECT semsearch.attach('seized', 'own.notes', text => '{body}')")
    admin.execute("SELECT semsearch.detach('seized')")
    db.drop_collection("seized")
    sql.execute("DROP SCHEMA own CASCADE")


def test_a_table_that_an_admin_only_names_is_not_granted_to_workers(
    owner: tuple[Database, Sql], sessions: dict[str, Sql]
) -> None:
    """Its row of semsearch.collections may be written by admins: what a table's owner never attached stays shut."""
    db, sql = owner
    number = db.create_collection("forged", model=MODEL, chunk_size=0).space.collection_id
    sql.execute("CREATE TABLE shop.wages (id int PRIMARY KEY, body text)")
    attachment = {"schema": "shop", "ids": ["id"], "id_types": ["bigint"], "title": None, "metadata": []}
    forged = [
        {**attachment, "table": "wages", "texts": ["body"]},
        {**attachment, "table": "articles", "texts": ["secret"]},
    ]
    admin = sessions["admin"]
    admin.execute(
        f"CREATE FUNCTION semsearch_attached.enqueue_{number}() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RETURN NEW; END'"
    )
    held = (
        "SELECT has_any_column_privilege('semsearch_worker', 'shop.wages', 'SELECT'), "
        "has_column_privilege('semsearch_worker', 'shop.articles', 'secret', 'SELECT'), "
        "has_column_privilege('semsearch_worker', 'shop.articles', 'body', 'SELECT')"
    )
    for written in forged:
        update = "UPDATE semsearch.collections SET attachment = %s WHERE name = 'forged'"
        admin.execute(update, [json.dumps(written)])
        sql.execute("SELECT semsearch.grant_rights()")
        assert sql.execute(held).fetchone() == (False, False, True)
    admin.execute("UPDATE semsearch.collections SET attachment = NULL WHERE name = 'forged'")
    admin.execute(f"DROP FUNCTION semsearch_attached.enqueue_{number}()")
    db.drop_collection("forged")
    sql.execute("DROP TABLE shop.wages")


def test_whoever_could_run_the_code_of_an_admin_is_told(
    owner: tuple[Database, Sql], worked: list[dict[str, Any]], module_database_url: str, cli: Cli
) -> None:
    _, sql = owner
    assert [event for event in worked if event.get("event") == "unsafe"] == []  # that of a member of semsearch_worker
    environment = {"SEMSEARCH_DATABASE_URL": module_database_url, "SEMSEARCH_OPENAI_API_KEY": "sk-test"}
    command = [sys.executable, "-m", "semsearch", "worker", "--once", "--log-format", "json"]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=True
    )
    told = [json.loads(line) for line in done.stderr.splitlines()]
    (unsafe,) = [event for event in told if event.get("event") == "unsafe"]
    told_of, power = unsafe["reason"].split("), and this role is ")
    assert login("admin") in told_of  # among those of other tests on this server, roles being the server's
    assert power.startswith("a superuser: run workers as a member of semsearch_worker")

    def safety(code: int) -> dict[str, Any]:
        shown = answer(cli("--database-url", module_database_url, "doctor", "--json", code=code))
        found: list[dict[str, Any]] = shown["checks"]
        return next(check for check in found if check["name"] == "safety")

    risky = safety(0)
    assert (risky["state"], login("admin") in risky["advice"]) == ("warn", True)
    sql.execute("CREATE FUNCTION semsearch.strange() RETURNS int LANGUAGE sql RETURN 1")
    sql.execute(f"ALTER FUNCTION semsearch.strange() OWNER TO {login('mallory')}")
    strange = safety(5)
    assert (strange["state"], "DROP FUNCTION semsearch.strange()." in strange["advice"]) == ("fail", True)
    sql.execute("DROP FUNCTION semsearch.strange()")


TRAPS = """
SET search_path = trap, pg_catalog, public;
CREATE TABLE trap.caught (who text);
GRANT INSERT ON trap.caught TO PUBLIC;
GRANT USAGE ON SCHEMA trap TO PUBLIC;
CREATE FUNCTION trap.spring() RETURNS void LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO trap.caught VALUES (current_user); END $$;
CREATE FUNCTION trap.sha256(bytea) RETURNS bytea LANGUAGE plpgsql AS $$ BEGIN PERFORM trap.spring(); RETURN $1; END $$;
CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE plpgsql AS
$$ BEGIN PERFORM trap.spring(); RETURN '2024-01-01'; END $$;
CREATE FUNCTION trap.lower(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM trap.spring(); RETURN $1; END $$;
CREATE FUNCTION trap.format(text, VARIADIC text[]) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM trap.spring(); RETURN 'SELECT 1'; END $$;
CREATE FUNCTION trap.quote_literal(text) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM trap.spring(); RETURN $1; END $$;
CREATE FUNCTION trap.current_setting(text, boolean) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM trap.spring(); RETURN 'on'; END $$;
CREATE FUNCTION trap.same(text, text) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN PERFORM trap.spring(); RETURN true; END $$;
CREATE FUNCTION trap.same(integer, integer) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN PERFORM trap.spring(); RETURN true; END $$;
CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.same);
CREATE OPERATOR trap.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = trap.same);
CREATE OPERATOR trap.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.same);
CREATE TEMPORARY TABLE documents (id text);
CREATE TEMPORARY TABLE tasks (id text);
CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE plpgsql AS
$$ BEGIN PERFORM trap.spring(); RETURN $1; END $$;
"""
CALLS = (
    "SELECT semsearch.put('plain', 't1', 'text of a trap', '{\"day\": \"2024-01-01\"}')",
    "SELECT semsearch.put('plain', 't1', 'another text')",
    "SELECT semsearch.query_embedding('plain', 'one')",
    "SELECT semsearch.request_embedding('plain', 'trapped')",
    "SELECT semsearch.embedding_state('plain', 'trapped')",
    "SELECT semsearch.keep_embedding('plain', 'one')",
    "SELECT semsearch.withdraw_request('plain', 'trapped')",
    "SELECT semsearch.retry('plain')",
    "SELECT semsearch.delete('plain', 't1')",
    "SELECT * FROM semsearch.status",
    "SELECT * FROM semsearch.search('plain', 'one')",
)


def test_no_function_or_operator_of_an_attackers_is_run_as_the_owner(
    owner: tuple[Database, Sql], sessions: dict[str, Sql]
) -> None:
    """By functions that run as the owner, and by the triggers of documents and of a table that all may write to."""
    db, sql = owner
    db.collection("plain").search("one")  # whose embedding is in the cache then
    writer, mallory = sessions["writer"], login("writer")
    sql.execute(f"CREATE SCHEMA trap AUTHORIZATION {mallory}")
    sql.execute(f"GRANT USAGE ON SCHEMA shop TO {mallory}; GRANT ALL ON shop.articles TO {mallory}")
    try:
        writer.execute(TRAPS)
        for call in CALLS:
            writer.execute("SET search_path = pg_temp, trap, pg_catalog, public")
            writer.execute(call)
        writer.execute("INSERT INTO shop.articles (id, body) VALUES (9, 'nine')")
        writer.execute("UPDATE shop.articles SET body = 'ten' WHERE id OPERATOR(pg_catalog.=) 9")
        writer.execute("DELETE FROM shop.articles WHERE id OPERATOR(pg_catalog.=) 9")
        writer.execute("RESET search_path")
        writer.execute("SELECT trap.spring()")  # the traps do work
        assert sql.execute("SELECT DISTINCT who FROM trap.caught").fetchall() == [(mallory,)]
    finally:
        sql.execute("DROP SCHEMA trap CASCADE")
        sql.execute(f"REVOKE ALL ON shop.articles FROM {mallory}; REVOKE ALL ON SCHEMA shop FROM {mallory}")
