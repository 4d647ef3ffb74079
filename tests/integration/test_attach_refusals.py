"""Attached tables: what cannot be attached is refused in one sentence that says what to do, and leaves nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from semsearch import Document
from semsearch.database import Database
from semsearch.errors import Conflict, InvalidInput, NotFound
from tests.integration.attaching import attach
from tests.integration.hands import MODEL

Sql = psycopg.Connection[Any]

CASES = [
    ("CREATE VIEW shop.x AS SELECT 1 AS id, 'a' AS body", r"shop\.x is a view, .*: attach the table behind it\.$"),
    ("CREATE MATERIALIZED VIEW shop.x AS SELECT 1 AS id, 'a' AS body", r"is a view"),
    ("CREATE SEQUENCE shop.x", r"shop\.x is not a table\.$"),
    ("CREATE TABLE shop.x (body text)", r"shop\.x has no primary key: add one, or name the columns of a unique key\.$"),
    ("CREATE TABLE shop.x (id int PRIMARY KEY, txt text)", r"shop\.x has no column body: it has id, txt\.$"),
    (
        "CREATE TABLE shop.x (id numeric PRIMARY KEY, body text)",
        r"column id of shop\.x cannot identify documents: that tak",
    ),
    ("CREATE TABLE shop.x (id char(4) PRIMARY KEY, body text)", r"cannot identify documents"),
    ("CREATE TABLE shop.x (id date PRIMARY KEY, body text)", r"cannot identify documents"),
    (
        "CREATE TABLE shop.x (id int PRIMARY KEY, body text); CREATE TABLE shop.y () INHERITS (shop.x)",
        r"by inheritance",
    ),
    (
        "CREATE EXTENSION IF NOT EXISTS file_fdw; CREATE SERVER IF NOT EXISTS files FOREIGN DATA WRAPPER file_fdw;"
        "CREATE FOREIGN TABLE shop.x (id int, body text) SERVER files OPTIONS (filename '/dev/null')",
        r"shop\.x is a foreign table",
    ),
]


@pytest.mark.parametrize(("statement", "said"), CASES)
def test_what_is_no_source_is_refused_in_a_sentence(model_db: Database, shop: Sql, statement: str, said: str) -> None:
    try:
        shop.execute(statement)
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server has no foreign data wrapper")
    with pytest.raises(InvalidInput, match=said):
        attach(model_db, "shop.x")
    assert model_db.names() == []


def test_a_temporary_table_is_refused(model_db: Database, shop: Sql) -> None:
    shop.execute("CREATE TEMPORARY TABLE short (id int PRIMARY KEY, body text)")
    found = shop.execute("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()").fetchone()
    assert found is not None
    with pytest.raises(InvalidInput, match="short is a temporary table, which no worker can see"):
        attach(model_db, f"{found[0]}.short")


@pytest.mark.parametrize("table", ["pg_catalog.pg_class", "semsearch.tasks"])
def test_tables_of_the_system_are_refused(model_db: Database, table: str) -> None:
    with pytest.raises(InvalidInput, match="is a table of the system"):
        attach(model_db, table)


@pytest.mark.parametrize("name", ["shop.nothing", "nothing", "a.b.c.d", "", "shop."])
def test_a_table_that_does_not_exist_is_not_found(model_db: Database, shop: Sql, name: str) -> None:
    with pytest.raises((NotFound, InvalidInput)):
        attach(model_db, name)
    assert model_db.names() == []


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["views"], r"shop\.articles \(views\) is not unique, .*: in this order there are \(id\)\.$"),
        (["title"], r"column title of shop\.articles may be null"),
        (["views", "id"], r"\(views, id\) is not unique, .*: in this order there are \(id\), \(id, views\)\.$"),
        ([], r"is not unique"),
        (["nope"], r"has no column nope: it has id, title, body"),
    ],
)
def test_a_key_must_be_unique_and_never_null(model_db: Database, articles: Sql, ids: list[str], said: str) -> None:
    if "id" in ids:
        articles.execute("CREATE UNIQUE INDEX ON shop.articles (id, views)")
    articles.execute("CREATE UNIQUE INDEX ON shop.articles (views) WHERE views > 0")
    with pytest.raises(InvalidInput, match=said):
        attach(model_db, id=ids)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "text => ARRAY['title', NULL, 'body']",
            "a name of a column is NULL: name columns of shop.articles, which has id",
        ),
        ("text => '{body}', metadata => ARRAY['author', NULL]", "a name of a column is NULL"),
        ("text => '{body}', id => ARRAY['id', NULL]", "a name of a column is NULL"),
        ("text => '{title,title}'", "column title is named twice: name it once"),
        ("text => '{body}', metadata => '{author,author}'", "column author is named twice"),
        ("text => ARRAY[['title', 'body'], ['author', 'body']]", "columns are named in lists of one dimension"),
        ("text => '{body}', metadata => ARRAY[['title', 'author']]", "columns are named in lists of one dimension"),
        ("text => '{body}', id => ARRAY[['id']]", "columns are named in lists of one dimension"),
    ],
)
def test_columns_are_named_once_and_never_by_null(model_db: Database, articles: Sql, arguments: str, said: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
        articles.execute(f"SELECT semsearch.check_source('shop.articles', {arguments})")
    assert (refused.value.diag.message_primary or "").startswith(said)


def test_a_table_must_be_named(model_db: Database) -> None:
    with model_db.pools.writing.connect() as connection, pytest.raises(DBAPIError, match="name the table to attach"):
        connection.exec_driver_sql("SELECT semsearch.check_source(NULL, '{body}')")


def test_text_must_be_named_and_metadata_is_at_most_fifty_columns(model_db: Database, articles: Sql) -> None:
    with pytest.raises(InvalidInput, match="name at least one column of text"):
        attach(model_db, text=[])
    with pytest.raises(InvalidInput, match="at most 50 columns"):
        attach(model_db, metadata=["author"] * 51)


def test_a_collection_that_is_not_empty_or_has_no_model_takes_no_table(model_db: Database, articles: Sql) -> None:
    model_db.create_collection("full", model=MODEL).put([Document("a", "one")])
    model_db.create_collection("given", dimensions=2)
    with pytest.raises(Conflict, match="collection 'full' has documents of its own: attach a new one"):
        model_db.attach("full", "shop.articles", text="body")
    with pytest.raises(Conflict, match="collection 'given' has no model"):
        model_db.attach("given", "shop.articles", text="body")
    with pytest.raises(Conflict, match="collection 'full' exists already: attach it without settings"):
        model_db.attach("full", "shop.articles", text="body", model=MODEL)


def test_a_collection_with_tenants_must_learn_whose_a_row_is(model_db: Database, articles: Sql) -> None:
    model_db.create_collection("handbook", model=MODEL, fields={"author": "text"}, tenant="author")
    attaching = "SELECT semsearch.attach('handbook', 'shop.articles', '{body}'"
    with pytest.raises(psycopg.Error, match="'handbook' has tenants: name the column 'author' among the metadata"):
        articles.execute(f"{attaching}, metadata => '{{title}}')")
    articles.execute(f"{attaching}, metadata => '{{title,author}}')")


def test_a_collection_has_one_table(model_db: Database, articles: Sql) -> None:
    attach(model_db)
    articles.execute("CREATE TABLE shop.other (LIKE shop.articles INCLUDING ALL)")
    with pytest.raises(Conflict, match=r"'handbook' is attached to shop\.articles .*: detach it first"):
        model_db.attach("handbook", "shop.other", text="body")


def test_detaching_what_is_not_attached_is_refused(model_db: Database) -> None:
    model_db.create_collection("plain", dimensions=2)
    with pytest.raises(InvalidInput, match="'plain' is not attached to a table"):
        model_db.detach("plain")
    with pytest.raises(NotFound, match="does not exist"):
        model_db.detach("nobody")


def test_a_table_in_use_by_a_transaction_that_does_not_end_is_a_conflict(
    model_db: Database, articles: Sql, other_sql: Sql
) -> None:
    model_db.create_collection("handbook", model=MODEL)
    with other_sql.transaction():
        other_sql.execute("UPDATE shop.articles SET views = 1")
        with pytest.raises(Conflict, match=r"shop\.articles is in use by a transaction that does not end"):
            model_db.attach("handbook", "shop.articles", text="body")
    assert model_db.attach("handbook", "shop.articles", text="body").status().documents == 3


# Roles


@pytest.fixture
def stranger(model_db: Database, articles: Sql) -> Iterator[str]:
    """One that may attach tables and owns none. Its name is this process's own: roles belong to the server."""
    name = f"stranger_{os.getpid()}"
    articles.execute(f"CREATE ROLE {name} IN ROLE semsearch_admin")
    articles.execute(f"GRANT USAGE ON SCHEMA shop TO {name}")
    yield name
    articles.execute(f"DROP OWNED BY {name}")
    articles.execute(f"DROP ROLE {name}")


def told(sql: Sql, role: str) -> str:
    """What a role hears that would attach shop.articles."""
    with sql.transaction(force_rollback=True):
        sql.execute(f"SET LOCAL ROLE {role}")
        try:
            sql.execute("SELECT semsearch.check_source('shop.articles', '{body}')")
        except psycopg.Error as error:
            return error.diag.message_primary or ""
    return "nothing"


def test_a_role_is_told_which_rights_it_lacks(articles: Sql, stranger: str) -> None:
    grant = f"GRANT SELECT ON shop.articles TO {stranger}"
    assert told(articles, stranger) == f"role {stranger} may not read shop.articles: {grant}"
    articles.execute(grant)
    grant = f"GRANT SELECT, UPDATE, TRIGGER ON shop.articles TO {stranger}"
    assert told(articles, stranger).endswith(grant)
    articles.execute(grant)
    assert told(articles, stranger) == "nothing"


def test_row_level_security_that_would_hide_rows_is_told(model_db: Database, articles: Sql, stranger: str) -> None:
    articles.execute(f"GRANT SELECT, UPDATE, TRIGGER ON shop.articles TO {stranger}")
    articles.execute("ALTER TABLE shop.articles ENABLE ROW LEVEL SECURITY")
    said = f"row-level security of shop.articles hides rows from role {stranger}: use its owner"
    assert told(articles, stranger).startswith(said)
    assert told(articles, articles.info.user) == "nothing"  # the owner sees them all


def test_errors_of_the_sql_function_have_states_of_their_own(model_db: Database, articles: Sql) -> None:
    def state(arguments: str) -> str | None:
        with pytest.raises(psycopg.Error) as caught:
            articles.execute(f"SELECT semsearch.attach({arguments})")
        return caught.value.sqlstate

    model_db.create_collection("given", dimensions=2)
    assert state("'nobody', 'shop.articles', '{body}'") == "P0002"
    assert state("'given', 'shop.articles', '{nope}'") == "22023"
    assert state("'given', 'shop.articles', '{body}'") == "55000"
    assert state("'given', 'shop.nothing', '{body}'") == "42P01"
