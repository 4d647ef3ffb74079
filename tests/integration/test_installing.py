"""Whoever installs need not be a superuser: what becomes of the roles, and of what is done without them."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import psycopg
import pytest
from alembic import command
from psycopg import conninfo
from pydantic import SecretStr

import semsearch
from semsearch import Document
from semsearch import sql as sql_files
from semsearch.config import Settings
from semsearch.store import connection as connections
from semsearch.store import migrate
from tests.conftest import ServerUrl, maintenance
from tests.integration import roles
from tests.integration.command_line import Cli, answer
from tests.integration.hands import MODEL
from tests.integration.roles import Sql
from tests.integration.working import run, until
from tests.provider import Provider


@pytest.fixture
def managed(
    template: str, server_conninfo: str, server_url: ServerUrl, request: pytest.FixtureRequest
) -> Iterator[str]:
    """As a provider hands a database out: owned by who is no superuser, the extension made by one.

    `template` is of a superuser's, whose migration has made the roles of this server.
    """
    name = f"managed_{os.getpid()}"
    with maintenance(server_conninfo) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' {request.param}")
        connection.execute(f"CREATE DATABASE {name} OWNER {name}")
    with psycopg.connect(server_url(name)) as connection:
        connection.execute("CREATE EXTENSION vector")
    try:
        yield conninfo.make_conninfo(server_url(name), user=name, password="secret")
    finally:
        with maintenance(server_conninfo) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize("managed", ["NOCREATEROLE"], indirect=True)
def test_an_owner_who_may_not_make_the_extension_is_told_who_can(managed: str, server_url: ServerUrl, cli: Cli) -> None:
    name = str(conninfo.conninfo_to_dict(managed)["dbname"])
    with psycopg.connect(server_url(name), autocommit=True) as superuser:
        superuser.execute("DROP EXTENSION vector")
        said = cli("--database-url", managed, "migrate", code=5).err
        assert "Have a superuser run CREATE EXTENSION vector" in said
        assert "owner" not in said
        (path,) = superuser.execute("SHOW search_path").fetchone() or ("",)
        superuser.execute('CREATE SCHEMA "Ext"')
        superuser.execute('CREATE EXTENSION vector SCHEMA "Ext"')
        for statement in (
            f'GRANT USAGE ON SCHEMA "Ext" TO {name}',
            f'ALTER DATABASE {name} SET search_path = {path}, "Ext"',
        ):
            said = cli("--database-url", managed, "migrate", code=5).err
            assert f"has pgvector in schema Ext, which is not in the search_path of this role: run {statement}." in said
            superuser.execute(statement)
    cli("--database-url", managed, "migrate")


@pytest.mark.parametrize("managed", ["NOCREATEROLE", "CREATEROLE"], indirect=True)
def test_an_installer_that_is_no_superuser_can_do_all(managed: str, provider: Provider, tmp_path: Path) -> None:
    settings = Settings(
        database_url=SecretStr(managed),
        home=tmp_path,
        openai_api_key=SecretStr("sk-test"),
        openai_base_url=provider.url,
    )
    with connections.Address(settings) as address:
        migrate.upgrade(address)
        migrate.upgrade(address)
    with psycopg.connect(managed, autocommit=True) as sql, semsearch.connect(settings=settings) as db:
        assert db.missing_roles() == []  # the server has them already
        plain = db.create_collection("plain", model=MODEL, chunk_size=0)
        sql.execute("SELECT semsearch.put('plain', 'a', 'one')")
        run(db)
        plain.search("one")
        assert sql.execute("SELECT document_id FROM semsearch.search('plain', 'one')").fetchall() == [("a",)]
        assert sql.execute("SELECT semsearch.delete('plain', 'a')").fetchone() == (True,)
        sql.execute("CREATE TABLE articles (id int PRIMARY KEY, body text)")
        sql.execute("INSERT INTO articles VALUES (1, 'one')")
        db.attach("articles", "public.articles", text="body", model=MODEL, chunk_size=0, wait=True)
        assert roles.stored(sql, "articles") == ["1"]
        assert db.create_roles() == []
        rights = roles.privileges(sql)
        assert "    public:" not in rights
        assert "table semsearch.chunks_2\n    reader: SELECT" in rights


@pytest.mark.parametrize("managed", ["NOCREATEROLE"], indirect=True)
def test_where_roles_cannot_be_made_all_works_without_and_says_what_to_do(
    managed: str, provider: Provider, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server of the tests has the roles: functions that look for others stand for one that has none."""
    renamed = [re.sub(r"semsearch_(?!attached)", "absent_", text) for text in sql_files.statements()]
    monkeypatch.setattr(sql_files, "statements", lambda: iter(renamed))
    settings = Settings(database_url=SecretStr(managed), home=tmp_path, openai_base_url=provider.url)
    with connections.Address(settings) as address:
        migrate.upgrade(address)
    statements = [
        *(f"CREATE ROLE absent_{role} NOLOGIN" for role in roles.ROLES),
        "GRANT absent_reader TO absent_writer",
        "GRANT absent_writer TO absent_admin",
    ]
    with psycopg.connect(managed, autocommit=True) as sql, semsearch.connect(settings=settings) as db:
        db.create_collection("given", dimensions=2, fields={"of": "text"}, tenant="of").put(
            [Document("a", "", embedding=[1, 2])], tenant="t"
        )
        assert db.missing_roles() == statements
        assert db.create_roles() == statements
        assert "semsearch.chunks_1" in roles.privileges(sql)
    monkeypatch.setenv("SEMSEARCH_DATABASE_URL", managed)
    done = cli("roles", "create", code=5)
    assert done.out.splitlines() == [f"{statement};" for statement in statements]
    assert "Have one with CREATEROLE run the above" in done.err
    assert cli("roles", "create", "--sql").out == done.out
    check = next(one for one in answer(cli("doctor", "--json"))["checks"] if one["name"] == "roles")
    assert check["state"] == "warn"
    assert "CREATE ROLE absent_reader NOLOGIN; CREATE ROLE absent_writer" in check["advice"]


def test_databases_of_one_server_make_their_roles_at_once(server_conninfo: str, server_url: ServerUrl) -> None:
    """The statements run in two transactions of two databases that overlap; roles of a name of the test's own."""
    prefix = f"twice_{os.getpid()}_"
    files = [resources.files(sql_files).joinpath(name) for name in ("missing_roles.sql", "create_roles.sql")]
    texts = [file.read_text().replace("semsearch_", prefix) for file in files]
    names = [f"{prefix}one", f"{prefix}two"]
    with maintenance(server_conninfo) as connection:
        for name in names:
            connection.execute(f"CREATE DATABASE {name}")
    try:
        first, second = (psycopg.connect(server_url(name)) for name in names)
        with first, second:
            for one in (first, second):
                one.execute("CREATE SCHEMA semsearch")
                for text in texts:
                    one.execute(text)
            assert first.execute("SELECT semsearch.create_roles()").fetchone() == ([],)
            waiting = threading.Thread(target=lambda: second.execute("SELECT semsearch.create_roles()"))
            waiting.start()
            until(lambda: blocked(first, second.info.backend_pid))
            first.commit()
            waiting.join(30)
            assert second.execute("SELECT semsearch.missing_roles()").fetchone() == ([],)
    finally:
        with maintenance(server_conninfo) as connection:
            for name in names:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
            for role in roles.ROLES:
                connection.execute(f"DROP ROLE IF EXISTS {prefix}{role}")


def blocked(sql: Sql, process: int) -> bool:
    return sql.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [process]).fetchone() == (True,)


def test_the_commands_list_and_make_roles(cli: Cli, database_url: str) -> None:
    found = answer(cli("roles", "list", "--json"))["roles"]
    assert [role["name"] for role in found] == [f"semsearch_{role}" for role in roles.ROLES]
    assert all(role["is_there"] for role in found)
    assert "SELECT ON TABLE semsearch.collections" in found[0]["rights"]
    assert "semsearch_writer" in found[0]["members"]
    assert "semsearch_reader" in cli("roles", "list").out
    assert cli("roles", "create").out == "the roles are there and have their rights\n"
    assert cli("roles", "create", "--sql").out == ""
    check = next(one for one in answer(cli("doctor", "--json"))["checks"] if one["name"] == "roles")
    assert check["state"] == "ok"


def test_tables_that_were_attached_before_there_were_roles_go_on(
    settings: Settings, database_url: str, provider: Provider
) -> None:
    """By a role that is not the owner, as which its triggers run: nothing may be lost, and workers read it."""
    settings = settings.model_copy(update={"openai_api_key": SecretStr("sk-test"), "openai_base_url": provider.url})
    with (
        psycopg.connect(database_url, autocommit=True) as sql,
        roles.people(sql, "before"),
        psycopg.connect(roles.url_of(database_url, "before"), autocommit=True) as theirs,
        psycopg.connect(roles.url_of(database_url, "worker"), autocommit=True) as worker,
    ):
        name = roles.login("before")
        with semsearch.connect(settings=settings) as db:
            number = db.create_collection("handbook", model=MODEL, chunk_size=0).space.collection_id
        sql.execute(f"CREATE SCHEMA shop AUTHORIZATION {name}")
        theirs.execute("CREATE TABLE shop.articles (id int PRIMARY KEY, body text, note text)")
        for schema in ("semsearch", "semsearch_attached"):
            sql.execute(f"GRANT ALL ON SCHEMA {schema} TO {name}")
        for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
            sql.execute(f"GRANT ALL ON ALL {kind} IN SCHEMA semsearch TO {name}")
        theirs.execute("SELECT semsearch.attach('handbook', 'shop.articles', text => '{body}', metadata => '{note}')")
        # As it was: functions were everybody's, and nobody was a worker.
        downgrade(settings, "0003")
        assert sql.execute("SELECT to_regnamespace('semsearch_attached')").fetchone() == (None,)
        sql.execute(f"REVOKE ALL ON FUNCTION semsearch.read_change, semsearch.remove_truncated FROM {name}")
        sql.execute("GRANT EXECUTE ON FUNCTION semsearch.read_change TO PUBLIC")
        sql.execute("REVOKE SELECT (id, body, note) ON shop.articles FROM semsearch_worker")
        theirs.execute("INSERT INTO shop.articles VALUES (1, 'one'); UPDATE shop.articles SET id = 7")
        with connections.Address(settings) as address:
            migrate.upgrade(address)

        made = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'semsearch_attached'::regnamespace "
        assert sql.execute(f"{made} AND proowner = '{name}'::regrole").fetchone() == (4,)
        theirs.execute("UPDATE shop.articles SET id = 2")  # by the function that asks whether a row is left
        theirs.execute("ALTER TABLE shop.articles DROP COLUMN note")
        theirs.execute("INSERT INTO shop.articles VALUES (3, 'three')")
        theirs.execute("ALTER TABLE shop.articles ADD COLUMN note text")
        waiting = sql.execute("SELECT DISTINCT document_id FROM semsearch.tasks ORDER BY 1").fetchall()
        assert waiting == [("1",), ("2",), ("3",), ("7",)]

        problem = f"SELECT semsearch.attachment_problem({number})"
        sql.execute("REVOKE SELECT (id, body) ON shop.articles FROM semsearch_worker")
        (said,) = worker.execute(problem).fetchone() or (None,)
        reader = roles.login("worker")
        grant = f"GRANT SELECT (body, id, note) ON shop.articles TO {reader}"
        assert said == f"role {reader} may not read shop.articles: {grant}"
        sql.execute("SELECT semsearch.grant_rights()")
        assert worker.execute(problem).fetchone() == (None,)
        assert worker.execute("SELECT semsearch.lock_documents(%s, '{2}')", [number]).fetchall() == [("2",)]
        with semsearch.connect(settings=settings) as db:
            run(db)
            assert roles.stored(sql, "handbook") == ["2", "3"]
            db.detach("handbook")
        left = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'shop.articles'::regclass AND NOT tgisinternal"
        assert sql.execute(left).fetchone() == (0,)


def downgrade(settings: Settings, revision: str) -> None:
    with connections.Address(settings) as address:
        engine = connections.engine(address, vectors=False)
        with engine.begin() as connection:
            command.downgrade(migrate.config(connection=connection), revision)
        engine.dispose()
