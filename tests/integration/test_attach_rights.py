"""Attached tables and roles that lack a right: told in a sentence with its GRANT, and nobody else is harmed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import conninfo
from pydantic import SecretStr

import semsearch
from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import DatabaseUnavailable
from semsearch.store import source
from tests.integration.attaching import attach
from tests.integration.hands import MODEL, searchable
from tests.integration.working import run

Sql = psycopg.Connection[Any]


@pytest.fixture
def role(model_db: Database, articles: Sql) -> Iterator[str]:
    """A role that owns nothing. Its name is this process's own: roles belong to the server, not to a database."""
    name = f"plain_{os.getpid()}"
    articles.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    for schema in ("semsearch", "semsearch_attached", "collections", "shop"):
        articles.execute(f"GRANT ALL ON SCHEMA {schema} TO {name}")
        articles.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {name}")
    articles.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA semsearch TO {name}")
    articles.execute(f"GRANT ALL ON ALL FUNCTIONS IN SCHEMA semsearch TO {name}")
    yield name
    articles.execute("RESET ROLE")
    for owned in ("handbook", "notes"):
        if owned in model_db.names():
            model_db.drop_collection(owned)
    articles.execute(f"DROP OWNED BY {name} CASCADE")
    articles.execute(f"DROP ROLE {name}")


@pytest.fixture
def handbook(model_db: Database, articles: Sql, role: str) -> Collection:
    """Attached by the owner of the table; the role has come by all rights to work for it."""
    made = attach(model_db)
    grant_chunks(articles, made, role)
    articles.execute(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA semsearch, semsearch_attached TO {role}")
    return made


def grant_chunks(sql: Sql, collection: Collection, role: str) -> None:
    sql.execute(f"GRANT ALL ON semsearch.{collection._space.table_name}, collections.{collection.name} TO {role}")


def as_role(db: Database, url: str, role: str) -> Database:
    """The same database, used as that role."""
    changed = SecretStr(conninfo.make_conninfo(url, user=role, password="secret"))
    return semsearch.connect(settings=db.settings.model_copy(update={"database_url": changed}))


# The worker's role


def test_a_schema_that_may_not_be_used_is_told_with_its_grant(
    handbook: Collection, articles: Sql, role: str, module_database_url: str
) -> None:
    articles.execute(f"REVOKE USAGE ON SCHEMA shop FROM {role}")
    with handbook._pools.writing.connect() as connection:
        connection.exec_driver_sql(f"SET LOCAL ROLE {role}")
        assert source.check(connection, handbook._space) == (
            f"role {role} may not use the schema of shop.articles: GRANT USAGE ON SCHEMA shop TO {role}"
        )


def test_the_view_of_the_status_serves_a_role_that_may_not_use_a_schema(
    handbook: Collection, articles: Sql, role: str
) -> None:
    articles.execute("ANALYZE shop.articles")
    articles.execute(f"REVOKE USAGE ON SCHEMA shop FROM {role}")
    articles.execute(f"SET ROLE {role}")
    assert articles.execute("SELECT name, documents FROM semsearch.status").fetchall() == [("handbook", 3)]


def test_one_revoke_blocks_that_collection_only(
    model_db: Database, handbook: Collection, articles: Sql, role: str, module_database_url: str
) -> None:
    notes = model_db.create_collection("notes", model=MODEL)
    grant_chunks(articles, notes, role)
    notes.put([Document("a", "one")], wait=False)
    articles.execute("UPDATE shop.articles SET body = 'changed' WHERE id = 1")
    articles.execute(f"REVOKE USAGE ON SCHEMA shop FROM {role}")
    with as_role(model_db, module_database_url, role) as theirs:
        run(theirs)
    assert searchable(notes) == {"a": ["one"]}
    assert handbook.status().state == "blocked"
    assert "GRANT USAGE ON SCHEMA shop" in (handbook.status().reason or "")
    articles.execute(f"GRANT USAGE ON SCHEMA shop TO {role}")
    with as_role(model_db, module_database_url, role) as theirs:
        run(theirs)
    assert searchable(handbook) == {"1": ["changed"], "2": ["the second"]}


# Whoever attaches: the triggers run as that role


@pytest.fixture
def attaching(model_db: Database, articles: Sql, role: str) -> Collection:
    """The role owns the table; the collection is there and has none."""
    made = model_db.create_collection("handbook", model=MODEL, chunk_size=0)
    articles.execute(f"ALTER TABLE shop.articles OWNER TO {role}")
    grant_chunks(articles, made, role)
    return made


ATTACH = "SELECT semsearch.attach('handbook', 'shop.articles', text => '{body}')"


@pytest.mark.parametrize(
    "right",
    [
        "INSERT ON semsearch.tasks",
        "SELECT ON semsearch.tasks",
        "USAGE ON SEQUENCE semsearch.task_version",
        "SELECT ON semsearch.failures",
        "SELECT ON semsearch.chunks",
        "DELETE ON semsearch.chunks",
        "EXECUTE ON FUNCTION semsearch.remove_truncated(integer,text)",
        "USAGE ON SCHEMA semsearch_attached",
        "CREATE ON SCHEMA semsearch_attached",
    ],
)
def test_a_role_as_which_the_triggers_would_fail_is_refused(
    attaching: Collection, articles: Sql, role: str, right: str
) -> None:
    right = right.replace("semsearch.chunks", f"semsearch.{attaching._space.table_name}")
    articles.execute(f"REVOKE {right.replace('USAGE ON SEQUENCE', 'ALL ON SEQUENCE')} FROM {role}")
    articles.execute(f"SET ROLE {role}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
        articles.execute(ATTACH)
    said = f"role {role}, as which the triggers would run, lacks rights: GRANT {right} TO {role}"
    assert refused.value.diag.message_primary == said
    articles.execute("RESET ROLE")
    assert attaching.status().state == "active"
    articles.execute(said.partition(": ")[2])
    works_as(articles, role)


def test_every_right_that_is_lacking_is_named_at_once(attaching: Collection, articles: Sql, role: str) -> None:
    articles.execute(f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA semsearch FROM {role}")
    articles.execute(f"REVOKE ALL ON semsearch.tasks, semsearch.{attaching._space.table_name} FROM {role}")
    articles.execute(f"SET ROLE {role}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
        articles.execute(ATTACH)
    articles.execute("RESET ROLE")
    articles.execute((refused.value.diag.message_primary or "").partition(": ")[2])
    works_as(articles, role)


def works_as(sql: Sql, role: str) -> None:
    sql.execute(f"SET ROLE {role}")
    sql.execute(ATTACH)
    sql.execute("INSERT INTO shop.articles (id, body) VALUES (7, 'seven')")
    sql.execute("UPDATE shop.articles SET body = 'changed' WHERE id = 1")
    sql.execute("DELETE FROM shop.articles WHERE id = 2")
    sql.execute("TRUNCATE shop.articles")


def test_a_right_to_the_chunks_that_is_revoked_later_does_not_fail_the_user(
    attaching: Collection, articles: Sql, role: str, model_db: Database
) -> None:
    articles.execute(f"SET ROLE {role}")
    articles.execute(ATTACH)
    articles.execute("RESET ROLE")
    handbook = model_db.collection("handbook")
    handbook.work()
    articles.execute(f"REVOKE SELECT, DELETE ON semsearch.{attaching._space.table_name} FROM {role}")
    articles.execute("DELETE FROM shop.articles WHERE id = 1")
    handbook.work()
    assert searchable(handbook) == {"2": ["the second"]}
    articles.execute("TRUNCATE shop.articles")
    handbook.work()
    assert searchable(handbook) == {}


def test_whoever_attached_and_loses_his_rights_fails_no_user(
    attaching: Collection, articles: Sql, other_sql: Sql, role: str, model_db: Database
) -> None:
    articles.execute(f"SET ROLE {role}")
    articles.execute(ATTACH)
    articles.execute("RESET ROLE")
    articles.execute("UPDATE shop.articles SET views = views + 1")  # this session has its plans now
    handbook = model_db.collection("handbook")
    handbook.work()
    lost = f"ALL ON SCHEMA semsearch, semsearch_attached FROM {role}; REVOKE ALL ON semsearch.tasks FROM {role}"
    articles.execute(f"REVOKE {lost}")
    for sql in (articles, other_sql):
        sql.execute("INSERT INTO shop.articles (id, body) VALUES (7, 'seven')")
        sql.execute("UPDATE shop.articles SET body = 'changed' WHERE id = 7")
        sql.execute("UPDATE shop.articles SET id = 8 WHERE id = 1")
        sql.execute("DELETE FROM shop.articles WHERE id = 2")
        sql.execute("TRUNCATE shop.articles")
    said = f"role {role}, which attached shop.articles and as which its triggers run, lacks rights: GRANT"
    assert (handbook.verify().blocked or "").startswith(said)
    run(model_db)
    assert (handbook.status().reason or "").startswith(said)
    articles.execute((handbook.status().reason or "").partition(": ")[2])
    run(model_db)
    assert (handbook.status().state, searchable(handbook)) == ("active", {})


@pytest.mark.parametrize(
    "right",
    [
        "EXECUTE ON FUNCTION semsearch.remove_truncated(integer,text)",
        "SELECT ON semsearch.spaces",
        "USAGE ON SCHEMA semsearch_attached",
        "UPDATE ON shop.articles",
        "SELECT (id) ON shop.articles",
        "USAGE ON SCHEMA shop",
    ],
)
def test_one_right_that_is_lost_later_loses_no_change(
    attaching: Collection, articles: Sql, role: str, model_db: Database, right: str
) -> None:
    articles.execute(f"SET ROLE {role}")
    articles.execute(ATTACH)
    articles.execute("RESET ROLE")
    handbook = model_db.collection("handbook")
    handbook.work()
    articles.execute("ALTER TABLE shop.articles OWNER TO current_user")
    articles.execute(f"GRANT SELECT, UPDATE ON shop.articles TO {role}; GRANT USAGE ON SCHEMA shop TO {role}")
    articles.execute(f"REVOKE {right.replace(' (id)', '')} FROM {role}")
    articles.execute("UPDATE shop.articles SET id = 8 WHERE id = 1")
    articles.execute("DELETE FROM shop.articles WHERE id = 2")
    assert {"1", "2", "8"} <= {row[0] for row in articles.execute("SELECT document_id FROM semsearch.tasks").fetchall()}
    articles.execute("TRUNCATE shop.articles")
    run(model_db)
    assert handbook.status().reason == (
        f"role {role}, which attached shop.articles and as which its triggers run, lacks rights: "
        f"GRANT {right} TO {role}"
    )
    articles.execute(f"GRANT {right} TO {role}")
    run(model_db)
    assert (handbook.status().state, searchable(handbook)) == ("active", {})


def test_a_schema_that_may_not_be_used_is_not_taken_for_a_wrong_name(
    model_db: Database, articles: Sql, role: str, module_database_url: str
) -> None:
    articles.execute(f"REVOKE USAGE ON SCHEMA shop FROM {role}")
    denied = pytest.raises(DatabaseUnavailable, match="permission denied for schema shop")
    with as_role(model_db, module_database_url, role) as theirs, denied:
        attach(theirs)
