"""The schema: up, down, and up again; described; portable; refused in one sentence where it does not fit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from psycopg import conninfo
from psycopg import sql as composing

import semsearch
from semsearch import Document, sql
from semsearch.config import Settings
from semsearch.errors import DatabaseUnavailable, SchemaMismatch
from semsearch.store import connection as connections
from semsearch.store import fitness, migrate

ROOT = Path(__file__).parent.parent.parent
MIGRATIONS = sorted((ROOT / "migrations" / "versions").glob("*.py"))
Sql = psycopg.Connection[Any]


@pytest.fixture
def user(empty_database_url: str) -> Iterator[Sql]:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def empty(empty_database_url: str, tmp_path: Path) -> Settings:
    """Settings of a database to which nothing was done."""
    return Settings(database_url=empty_database_url, home=tmp_path / "unused")


def run(settings: Settings, action: Callable[..., object], *arguments: Any, **options: Any) -> None:
    """A command of alembic on that database, in a transaction."""
    with connections.Address(settings) as address:
        engine = connections.engine(address, vectors=False)
        try:
            with engine.begin() as connection:
                action(migrate.config(connection=connection), *arguments, **options)
        finally:
            engine.dispose()


def upgrade(settings: Settings) -> None:
    with connections.Address(settings) as address:
        migrate.upgrade(address)


def objects(user: Sql) -> list[Any]:
    """Everything in our schemas, with its definition."""
    return user.execute(
        """
        SELECT n.nspname, c.relname, c.relkind::text, c.reloptions::text, obj_description(c.oid, 'pg_class')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('semsearch', 'collections')
        UNION ALL
        SELECT table_schema, table_name, column_name, data_type || is_nullable, column_default
        FROM information_schema.columns WHERE table_schema IN ('semsearch', 'collections')
        UNION ALL
        SELECT n.nspname, p.proname, 'function', pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc')
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('semsearch', 'collections')
        UNION ALL
        SELECT 'semsearch', tgname, 'trigger', pg_get_triggerdef(oid), tgenabled::text
        FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL
        SELECT n.nspname, conname, 'constraint', pg_get_constraintdef(c.oid), NULL
        FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE n.nspname = 'semsearch'
        ORDER BY 1, 2, 3, 4
        """
    ).fetchall()


# Up and down


def test_up_down_and_up_again_is_the_same_schema(empty: Settings, user: Sql) -> None:
    upgrade(empty)
    first = objects(user)
    assert {row[1] for row in first} >= {"documents", "tasks", "leases", "failures", "enqueue_document"}
    with semsearch.connect(settings=empty) as db:
        collection = db.create_collection("filled", dimensions=2, fields={"day": "date"})
        collection.put([Document("a", "x", {"day": "2024-01-01"}, embedding=[1, 2])])
    run(empty, command.downgrade, "base")
    assert {row[1] for row in objects(user) if not row[1].startswith("alembic_version")} == set()
    upgrade(empty)
    assert objects(user) == first


def test_going_down_takes_the_triggers_off_attached_tables(empty: Settings, user: Sql) -> None:
    upgrade(empty)
    user.execute("CREATE TABLE articles (id int PRIMARY KEY, body text)")
    with semsearch.connect(settings=empty) as db:
        db.create_collection("handbook", dimensions=2)
    user.execute("UPDATE semsearch.spaces SET model = 'openai:none'")
    user.execute("SELECT semsearch.attach('handbook', 'articles', text => '{body}')")
    run(empty, command.downgrade, "0001")
    user.execute("INSERT INTO articles VALUES (1, 'one')")
    user.execute("DELETE FROM semsearch.documents")
    assert not [row for row in objects(user) if row[1].startswith("semsearch_enqueue")]


def test_models_and_migrations_say_the_same(settings: Settings, db: Any) -> None:
    db.create_collection("filled", dimensions=2, fields={"year": "integer"})
    run(settings, command.check)


def test_upgrading_again_changes_nothing(settings: Settings, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as user:
        before = objects(user)
        upgrade(settings)
        assert objects(user) == before


def test_two_processes_at_once_do_the_work_once(empty_database_url: str, user: Sql) -> None:
    environment = {**os.environ, "SEMSEARCH_DATABASE_URL": empty_database_url}
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    migrators = [subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    for migrator in migrators:
        _, said = migrator.communicate(timeout=120)
        assert migrator.returncode == 0, said
    assert user.execute("SELECT version_num FROM semsearch.alembic_version").fetchall() == [(migrate.head(),)]


def test_a_role_called_semsearch_leaves_pgvector_where_all_find_it(empty: Settings, user: Sql) -> None:
    user.execute("CREATE SCHEMA semsearch")
    user.execute(f'ALTER DATABASE "{user.info.dbname}" SET search_path = "$user", public')
    upgrade(empty)
    schema = (
        "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'vector'"
    )
    assert user.execute(schema).fetchone() == ("public",)


def test_two_threads_at_once_do_the_work_once(empty: Settings, user: Sql) -> None:
    together = threading.Barrier(2)
    problems: list[BaseException] = []

    def one() -> None:
        try:
            together.wait(10)
            upgrade(empty)
        except BaseException as problem:
            problems.append(problem)

    migrators = [threading.Thread(target=one) for _ in range(2)]
    for migrator in migrators:
        migrator.start()
    for migrator in migrators:
        migrator.join()
    assert problems == []
    assert user.execute("SELECT version_num FROM semsearch.alembic_version").fetchall() == [(migrate.head(),)]


def test_a_failed_migration_leaves_nothing_behind(empty: Settings, user: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "FILES", (*sql.FILES, "does_not_exist.sql"))
    with pytest.raises(FileNotFoundError):
        upgrade(empty)
    assert objects(user) == []


@pytest.mark.parametrize("arguments", [["upgrade", "head"], ["check"], ["current"], ["upgrade", "head", "--sql"]])
def test_alembics_own_command_line_reads_the_same_settings(database_url: str, arguments: list[str]) -> None:
    environment = {**os.environ, "SEMSEARCH_DATABASE_URL": database_url}
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-m", "alembic", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    if arguments == ["current"]:
        assert done.stdout.startswith(migrate.head())
    if "--sql" in arguments:
        assert "CREATE TABLE semsearch.documents" in done.stdout
        assert "FUNCTION semsearch.enqueue_document" in done.stdout


def test_alembics_command_line_migrates_an_empty_database(empty_database_url: str, user: Sql) -> None:
    environment = {**os.environ, "SEMSEARCH_DATABASE_URL": empty_database_url}
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"], cwd=ROOT, env=environment, check=True, timeout=120
    )
    assert user.execute("SELECT version_num FROM semsearch.alembic_version").fetchall() == [(migrate.head(),)]


# Functions are replaced whole


def comment(user: Sql) -> Any:
    row = user.execute("SELECT obj_description('semsearch.enqueue_document()'::regprocedure, 'pg_proc')").fetchone()
    return row and row[0]


@pytest.mark.parametrize(
    ("action", "replaced"),
    [
        (lambda config: command.upgrade(config, "head"), True),
        (lambda config: command.current(config), False),
        (lambda config: command.check(config), False),
        (lambda config: command.history(config, indicate_current=True), False),
    ],
    ids=["upgrade", "current", "check", "history"],
)
def test_only_an_upgrade_to_head_replaces_the_functions(
    settings: Settings, database_url: str, action: Callable[..., object], replaced: bool
) -> None:
    with psycopg.connect(database_url, autocommit=True) as user:
        user.execute("COMMENT ON FUNCTION semsearch.enqueue_document() IS 'mine'")
        run(settings, action)
        assert (comment(user) != "mine") is replaced


def test_alembic_tells_its_commands_apart_as_env_expects() -> None:
    """env.py looks at two keys of `opts` that alembic does not document: with a new alembic this must still hold."""
    seen: dict[str, Mapping[str, Any]] = {}

    def spy(environment: EnvironmentContext, name: str) -> None:
        seen[name] = environment.context_opts

    real = ScriptDirectory.run_env
    try:
        for name, action in {
            "upgrade": lambda config: command.upgrade(config, "head"),
            "downgrade": lambda config: command.downgrade(config, "base"),
            "current": command.current,
            "check": command.check,
        }.items():

            def run_env(self: ScriptDirectory, name: str = name) -> None:
                from alembic import context

                spy(context._proxy, name)  # type: ignore[attr-defined]
                raise InterruptedError

            ScriptDirectory.run_env = run_env  # type: ignore[method-assign]
            with pytest.raises(InterruptedError):
                action(migrate.config())
    finally:
        ScriptDirectory.run_env = real  # type: ignore[method-assign]
    assert seen["upgrade"]["destination_rev"] == "head"
    assert seen["downgrade"]["destination_rev"] == "base"
    assert seen["current"]["dont_mutate"] is True
    assert "destination_rev" not in seen["check"]


# Described, portable


def test_every_object_carries_a_comment(db: Any, database_url: str) -> None:
    db.create_collection("described", dimensions=2)
    with psycopg.connect(database_url) as user:
        bare = user.execute(
            """
            SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname IN ('semsearch', 'collections') AND c.relkind IN ('r', 'v', 'm', 'f')
              AND obj_description(c.oid, 'pg_class') IS NULL
            UNION ALL
            SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE n.nspname IN ('semsearch', 'collections') AND obj_description(p.oid, 'pg_proc') IS NULL
            UNION ALL
            SELECT nspname FROM pg_namespace
            WHERE nspname IN ('semsearch', 'collections') AND obj_description(oid, 'pg_namespace') IS NULL
            """
        ).fetchall()
    assert bare == []


def test_the_document_id_is_in_every_key_of_the_hot_tables(db: Any, database_url: str) -> None:
    """Citus can shard by it only then; the same for unique indexes."""
    db.create_collection("hot", dimensions=2)
    with psycopg.connect(database_url) as user:
        keys = user.execute(
            """
            SELECT c.relname, array_agg(a.attname::text)
            FROM pg_index x
            JOIN pg_class c ON c.oid = x.indrelid
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(x.indkey)
            WHERE x.indisunique AND c.relnamespace = 'semsearch'::regnamespace
              AND c.relname ~ '^(documents|tasks|leases|failures|chunks_.*)$'
            GROUP BY c.relname, x.indexrelid
            """
        ).fetchall()
    assert {table.partition("_")[0] for table, _ in keys} == {"documents", "tasks", "leases", "failures", "chunks"}
    for table, columns in keys:
        assert ("id" if table == "documents" else "document_id") in columns, table


def test_hot_tables_have_no_foreign_keys_and_no_identities(db: Any, database_url: str) -> None:
    db.create_collection("hot", dimensions=2)
    hot = "'^(documents|tasks|leases|failures|chunks_.*)$'"
    with psycopg.connect(database_url) as user:
        foreign = user.execute(
            f"SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid IN "
            f"(SELECT oid FROM pg_class WHERE relnamespace = 'semsearch'::regnamespace AND relname ~ {hot})"
        ).fetchall()
        identities = user.execute(
            f"SELECT attname FROM pg_attribute WHERE attidentity <> '' AND attrelid IN "
            f"(SELECT oid FROM pg_class WHERE relnamespace = 'semsearch'::regnamespace AND relname ~ {hot})"
        ).fetchall()
    assert foreign == identities == []


def test_sequences_hand_out_one_number_at_a_time(database_url: str) -> None:
    """A version drawn later must be larger, so no session may keep numbers in stock."""
    with psycopg.connect(database_url) as user:
        caches = user.execute(
            "SELECT sequencename, cache_size FROM pg_sequences WHERE schemaname = 'semsearch'"
        ).fetchall()
    assert len(caches) >= 3
    assert {cache for _, cache in caches} == {1}


def test_triggers_are_by_row_without_transition_tables(database_url: str) -> None:
    with psycopg.connect(database_url) as user:
        triggers = user.execute("SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal").fetchall()
    assert len(triggers) == 4
    for (definition,) in triggers:
        assert "FOR EACH ROW" in definition or "AFTER TRUNCATE" in definition  # which there is by statement only
        assert "REFERENCING" not in definition


def texts() -> dict[str, str]:
    """Our SQL, by file: functions, migrations, and the literals of the store."""
    found = {path.name: path.read_text() for path in (ROOT / "semsearch" / "sql").glob("*.sql")}
    found |= {path.name: path.read_text() for path in MIGRATIONS}
    found |= {f"store/{path.name}": path.read_text() for path in (ROOT / "semsearch" / "store").glob("*.py")}
    return found


@pytest.mark.parametrize("name", sorted(texts()))
def test_our_sql_keeps_to_what_citus_can_do(name: str) -> None:
    """What fails there, measured: https://github.com/citusdata/citus/issues/4647 and the rules in the design."""
    text = re.sub(r"(--|#).*", "", texts()[name])  # without comments
    assert not re.search(r"\bREFERENCING\b", text)
    if name.endswith(".sql"):
        # A request for an embedding is written by a transaction of its own, never by a user's.
        assert name == "request_embedding.sql" or not re.search(r"\bNOTIFY\b|pg_notify", text, re.IGNORECASE)
        for function in re.findall(r"CREATE OR REPLACE (?:FUNCTION|PROCEDURE) \S+\(([^)]*)\).*?AS \$", text, re.DOTALL):
            assert not (function and re.search(r"LANGUAGE sql\b", text, re.IGNORECASE))
    for clause in re.findall(r"DO UPDATE\s+SET(.*?)(?:RETURNING|\"\"\"|;|\)\n)", text, re.DOTALL | re.IGNORECASE):
        assert not re.search(r"\b(now|clock_timestamp|nextval|random)\(", clause), clause
    for clause in re.findall(r"\bUPDATE \S+(?: \w+)?\s+SET(.*?)\"\"\"", text, re.DOTALL):
        assert not re.search(r"\b(clock_timestamp|nextval|random)\(", clause), clause
    assert not re.search(r"\([a-z_.]+, [a-z_.]+\) IN \(\s*SELECT", text)


def test_migrations_execute_one_statement_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from alembic import op

    executed: list[str] = []
    monkeypatch.setattr(op, "execute", executed.append, raising=False)
    for path in MIGRATIONS:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.upgrade()
        module.downgrade()
    assert len(executed) > 10
    for statement in executed:
        outside = re.sub(r"\$\$.*?\$\$|'[^']*'", "", statement, flags=re.DOTALL)
        assert ";" not in outside.strip().rstrip(";"), statement


def test_settings_of_the_session_are_local() -> None:
    for name, text in texts().items():
        for setting in re.findall(r"\"\s*(SET (?!LOCAL)\w+[^\"]*)\"", text):
            pytest.fail(f"{name}: {setting}")


def test_file_names_begin_with_their_revisions() -> None:
    """`migrate.revisions` reads them so, without importing alembic."""
    script = ScriptDirectory.from_config(migrate.config())
    assert sorted(revision.revision for revision in script.walk_revisions()) == migrate.revisions()
    assert script.get_current_head() == migrate.head()


# One clear sentence


def refused(settings: Settings, kind: type[Exception], *words: str) -> None:
    with pytest.raises(kind) as raised:
        semsearch.connect(settings=settings)
    assert type(raised.value) is kind
    message = str(raised.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_without_a_schema_the_way_out_is_named(empty: Settings) -> None:
    refused(empty, SchemaMismatch, "has no semsearch schema yet: run `semsearch migrate`")


def test_a_schema_taken_down_is_no_schema(settings: Settings) -> None:
    run(settings, command.downgrade, "base")
    refused(settings, SchemaMismatch, "run `semsearch migrate`")


def test_a_schema_that_is_behind_names_both_revisions(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    later = [*migrate.revisions(), "9999"]
    monkeypatch.setattr(migrate, "revisions", lambda: later)
    refused(settings, SchemaMismatch, migrate.revisions()[-2], "9999", "run `semsearch migrate`")


def test_a_schema_that_is_ahead_asks_for_a_newer_program(settings: Settings, database_url: str) -> None:
    with psycopg.connect(database_url) as user:
        user.execute("UPDATE semsearch.alembic_version SET version_num = '9999'")
    refused(settings, SchemaMismatch, "9999", "upgrade semsearch")
    with pytest.raises(SchemaMismatch, match="upgrade semsearch"):
        upgrade(settings)


FIT = {
    "server_number": 180000,
    "server": "18.0",
    "pgvector": "0.8.5",
    "pgvector_available": "0.8.5",
    "pgvector_hidden": None,
    "migrated": True,
    "revision": "0001",
}


@pytest.mark.parametrize(
    ("differently", "words"),
    [
        ({"server_number": 140012, "server": "14.12"}, ("14.12", "PostgreSQL 15 or newer")),
        ({"pgvector": None, "pgvector_available": None}, ("has no pgvector", "postgresql-NN-pgvector")),
        ({"pgvector": "0.7.4"}, ("0.7.4", "0.8.0 or newer", "ALTER EXTENSION vector UPDATE")),
        ({"pgvector": None, "pgvector_available": "0.6.0"}, ("0.6.0", "install it on the server")),
    ],
)
def test_a_server_that_does_not_fit_says_what_to_install(differently: dict[str, Any], words: tuple[str, ...]) -> None:
    fitness.check(FIT, "host=db")
    with pytest.raises(DatabaseUnavailable) as raised:
        fitness.check(FIT | differently, "host=db")
    assert type(raised.value) is DatabaseUnavailable
    assert str(raised.value).startswith("host=db ")
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize("version", ["0.8.0", "0.8.10", "0.10.0", "1.0.0"])
def test_newer_versions_of_pgvector_will_do(version: str) -> None:
    fitness.check(FIT | {"pgvector": version}, "host=db")


def test_a_server_without_pgvector_is_refused_before_anything_is_made(
    empty: Settings, user: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fitness.facts
    monkeypatch.setattr(
        fitness, "facts", lambda connection: {**real(connection), "pgvector": None, "pgvector_available": None}
    )
    with pytest.raises(DatabaseUnavailable, match="has no pgvector"):
        upgrade(empty)
    assert objects(user) == []


def test_a_role_that_may_not_migrate_is_told_who_can(empty: Settings, user: Sql, tmp_path: Path) -> None:
    name = f"nobody_{os.getpid()}"
    user.execute(composing.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(composing.Identifier(name)))
    try:
        assert empty.database_url
        parts = conninfo.conninfo_to_dict(empty.database_url.get_secret_value())
        weak = conninfo.make_conninfo("", **{**parts, "user": name, "password": "secret"})
        with pytest.raises(DatabaseUnavailable, match="as the database's owner"):
            upgrade(Settings(database_url=weak, home=tmp_path / "unused"))
    finally:
        user.execute(composing.SQL("DROP ROLE {}").format(composing.Identifier(name)))
