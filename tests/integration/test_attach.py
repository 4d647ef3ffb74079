"""Attached tables: which rows are which documents, for every kind of key and column."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from semsearch import cleaning
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import InvalidInput, NotFound
from semsearch.store import source
from tests.integration.attaching import attach, tasks
from tests.integration.hands import MODEL, inputs, searchable
from tests.integration.working import run
from tests.provider import Provider

Sql = psycopg.Connection[Any]


def test_the_rows_of_a_table_become_searchable(model_db: Database, articles: Sql) -> None:
    handbook = attach(model_db)
    # A row without text is a document without chunks.
    assert searchable(handbook) == {"1": ["the first"], "2": ["the second"]}
    assert (handbook.status().documents, handbook.status().backlog) == (3, 0)
    assert handbook.search("the first", top_k=1)[0].document_id == "1"


def test_a_document_is_read_from_the_table_as_it_is_now(model_db: Database, articles: Sql) -> None:
    handbook = attach(model_db, title="title", metadata=["author", "published_at"])
    articles.execute("UPDATE shop.articles SET body = 'changed' WHERE id = 1")
    document = handbook.get("1")
    assert (document.text, document.title) == ("changed", "One")
    # In UTC, whatever the time zone of the session that wrote it or of the one that reads it.
    assert document.metadata == {"author": "ann", "published_at": "2024-05-01T10:00:00+00:00"}
    for nobody in ("4", "01", "1 ", "one", "99999999999999999999", ""):
        with pytest.raises(NotFound):
            handbook.get(nobody)


def test_columns_of_text_are_joined_by_a_blank_line_without_those_that_are_null(
    model_db: Database, articles: Sql, provider: Provider
) -> None:
    handbook = attach(model_db, text=["title", "body"])
    assert searchable(handbook) == {"1": ["One\n\nthe first"], "2": ["Two\n\nthe second"], "3": ["Three"]}
    articles.execute("UPDATE shop.articles SET title = ''")
    handbook.work()
    assert searchable(handbook) == {"1": ["the first"], "2": ["the second"]}


def test_the_title_is_embedded_in_front_of_every_chunk(model_db: Database, articles: Sql, provider: Provider) -> None:
    handbook = attach(model_db, title="title")
    assert "One\nthe first" in inputs(provider)
    articles.execute("UPDATE shop.articles SET title = repeat('T', 1001) WHERE id = 1")
    assert handbook.get("1").title == "T" * 1000


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("smallint", ["-32768", "0", "7"]),
        ("integer", ["-1", "2147483647"]),
        ("bigint", ["-9223372036854775808", "9223372036854775807"]),
        ("uuid", ["0e37df36-f698-11e6-8dd4-cb9ced3df976", "00000000-0000-0000-0000-000000000000"]),
        ("text", ["a", "007", "ünï/ço:dé %s \"'\\", "[1]", " "]),
        ("varchar(20)", ["a", "B", '["a"]']),
        ('text COLLATE "C"', ["b", "a"]),
    ],
)
def test_a_key_of_every_type_is_a_document_id_and_leads_back_to_its_row(
    model_db: Database, shop: Sql, kind: str, keys: list[str]
) -> None:
    shop.execute(f"CREATE TABLE shop.t (k {kind} PRIMARY KEY, body text)")
    for key in keys:
        shop.execute("INSERT INTO shop.t VALUES (%s, %s)", (key, f"the {key} text"))
    handbook = attach(model_db, "shop.t")
    assert searchable(handbook) == {key: [f"the {key} text"] for key in sorted(keys)}
    assert [handbook.get(key).text for key in keys] == [f"the {key} text" for key in keys]
    shop.execute("UPDATE shop.t SET body = 'new'")
    handbook.work()
    assert searchable(handbook) == {key: ["new"] for key in sorted(keys)}
    shop.execute("DELETE FROM shop.t")
    assert searchable(handbook) == {}
    handbook.work()


def test_a_key_of_several_columns_is_a_json_array(model_db: Database, shop: Sql) -> None:
    shop.execute("CREATE TABLE shop.t (tenant integer, slug text, body text, PRIMARY KEY (tenant, slug))")
    slugs = ["plain", 'quo"te', "back\\slash", "tab\t and ü", "[]"]
    for slug in slugs:
        shop.execute("INSERT INTO shop.t VALUES (7, %s, %s)", (slug, f"text of {slug}"))
    handbook = attach(model_db, "shop.t")
    found = searchable(handbook)
    assert '["7", "plain"]' in found
    assert sorted(texts[0] for texts in found.values()) == sorted(f"text of {slug}" for slug in slugs)
    for id, texts in found.items():
        assert handbook.get(id).text == texts[0]
    for nobody in ('["7","plain"]', '["8", "plain"]', '["7"]', '["7", "plain", "x"]', '["x", "plain"]', "[7]", "7"):
        with pytest.raises(NotFound):
            handbook.get(nobody)


def test_any_unique_key_will_do(model_db: Database, articles: Sql) -> None:
    articles.execute("ALTER TABLE shop.articles ALTER title SET NOT NULL")
    articles.execute("CREATE UNIQUE INDEX ON shop.articles (title)")
    handbook = attach(model_db, id="title")
    assert list(searchable(handbook)) == ["One", "Two"]


def test_a_key_that_sees_no_difference_between_cases_still_names_one_row(model_db: Database, shop: Sql) -> None:
    try:
        shop.execute("CREATE COLLATION shop.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server was built without ICU")
    shop.execute("CREATE TABLE shop.t (k text COLLATE shop.loose PRIMARY KEY, body text)")
    shop.execute("INSERT INTO shop.t VALUES ('Key', 'one')")
    handbook = attach(model_db, "shop.t")
    with pytest.raises(NotFound):
        handbook.get("KEY")
    shop.execute("UPDATE shop.t SET k = 'KEY'")
    handbook.work()
    assert searchable(handbook) == {"KEY": ["one"]}


def test_a_row_whose_key_is_too_long_or_empty_is_no_document(model_db: Database, shop: Sql) -> None:
    shop.execute("CREATE TABLE shop.t (k text PRIMARY KEY, body text)")
    shop.execute("INSERT INTO shop.t VALUES (repeat('x', 1024), 'fits'), (repeat('x', 1025), 'does not'), ('', 'nor')")
    handbook = attach(model_db, "shop.t")
    shop.execute("INSERT INTO shop.t VALUES (repeat('y', 8000), 'does not')")
    shop.execute("UPDATE shop.t SET body = body || '!'")
    handbook.work()
    assert searchable(handbook) == {"x" * 1024: ["fits!"]}
    assert (handbook.status().documents, tasks(shop)) == (1, [])


def test_a_text_that_is_too_long_is_given_up_unread(
    model_db: Database, articles: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (source.MAX_TEXT_BYTES, source.MAX_ID_BYTES) == (cleaning.MAX_TEXT_BYTES, cleaning.MAX_ID_BYTES)
    monkeypatch.setattr(source, "MAX_TEXT_BYTES", 2**20)
    handbook = attach(model_db)
    articles.execute("UPDATE shop.articles SET body = repeat('x', 1048577) WHERE id = 1")
    handbook.work()
    assert list(searchable(handbook)) == ["2"]
    assert [(failure.document_id, failure.reason) for failure in handbook.failures()] == [
        ("1", "its text is longer than 1 MB")
    ]


def test_columns_of_any_type_are_text_or_metadata(model_db: Database, shop: Sql) -> None:
    shop.execute("CREATE DOMAIN shop.word AS text")
    shop.execute(
        "CREATE TABLE shop.t (id int PRIMARY KEY, content jsonb, first text, last shop.word, tags text[],"
        " price numeric, raw json, ratio float8, day date, at interval,"
        " full_name text GENERATED ALWAYS AS (first || ' ' || last) STORED)"
    )
    shop.execute(
        "INSERT INTO shop.t VALUES (1, '{\"a\": [1, 2]}', 'Ada', 'Lovelace', '{x,y}', 1.50, '{\"b\": 1}', 0.5,"
        " '2024-02-29', '1 day')"
    )
    handbook = attach(
        model_db,
        "shop.t",
        text=["full_name", "content"],
        metadata=["tags", "price", "raw", "ratio", "day", "at", "last", "content"],
    )
    assert searchable(handbook) == {"1": ['Ada Lovelace\n\n{"a": [1, 2]}']}
    assert handbook.get("1").metadata == {
        "tags": ["x", "y"],
        "price": 1.5,
        "raw": {"b": 1},
        "ratio": 0.5,
        "day": "2024-02-29",
        "at": "1 day",
        "last": "Lovelace",
        "content": {"a": [1, 2]},
    }
    for change in ("first = 'A.'", "content = '1'", "raw = '{}'", "price = 1.500", "tags = NULL", "ratio = '-0'"):
        shop.execute(f"UPDATE shop.t SET {change}")
        assert tasks(shop) == ["1"], change
        handbook.work()
        shop.execute("UPDATE shop.t SET id = id")
        assert tasks(shop) == []


def test_a_virtual_column_is_text_too(model_db: Database, shop: Sql) -> None:
    if shop.info.server_version < 180000:
        pytest.skip("virtual columns came with PostgreSQL 18")
    shop.execute("CREATE TABLE shop.t (id int PRIMARY KEY, name text, shout text GENERATED ALWAYS AS (upper(name)))")
    shop.execute("INSERT INTO shop.t VALUES (1, 'quiet')")
    handbook = attach(model_db, "shop.t", text="shout")
    shop.execute("UPDATE shop.t SET name = 'loud'")
    handbook.work()
    assert searchable(handbook) == {"1": ["LOUD"]}


def test_a_row_that_cannot_be_read_holds_up_no_other(model_db: Database, shop: Sql) -> None:
    if shop.info.server_version < 180000:
        pytest.skip("virtual columns came with PostgreSQL 18")
    shop.execute(
        "CREATE TABLE shop.t (id int PRIMARY KEY, body text, v text GENERATED ALWAYS AS ((10 / (id - 3))::text))"
    )
    shop.execute("INSERT INTO shop.t SELECT n, 'row ' || n FROM generate_series(1, 6) n")
    handbook = attach(model_db, "shop.t", text=["body", "v"], wait=False)
    run(model_db)
    assert list(searchable(handbook)) == ["1", "2", "4", "5", "6"]
    assert [(failure.document_id, failure.reason) for failure in handbook.failures()] == [
        ("3", "its row cannot be read: division by zero")
    ]
    with pytest.raises(InvalidInput, match="document '3' cannot be read: its row cannot be read: division by zero"):
        handbook.get("3")
    verified = handbook.verify()
    assert (verified.clean, verified.documents) == (True, 6)
    assert [(one.id, one.text) for one in handbook.documents(limit=3)] == [
        ("1", "row 1\n\n-5"),
        ("2", "row 2\n\n-10"),
        ("3", ""),
    ]
    assert [one.id for one in handbook.documents(after="2")] == ["3", "4", "5", "6"]
    shop.execute("UPDATE shop.t SET id = 7 WHERE id = 3")
    handbook.work()
    assert (searchable(handbook)["7"], handbook.status().failed) == (["row 3\n\n2"], 0)


def test_a_row_that_cannot_be_read_is_no_tenants(model_db: Database, shop: Sql) -> None:
    if shop.info.server_version < 180000:
        pytest.skip("virtual columns came with PostgreSQL 18")
    shop.execute(
        "CREATE TABLE shop.t (id int PRIMARY KEY, body text, owner text GENERATED ALWAYS AS ((10 / (id - 3))::text))"
    )
    shop.execute("INSERT INTO shop.t SELECT n, 'row' FROM generate_series(1, 6) n; ANALYZE shop.t")
    handbook = model_db.create_collection("handbook", model=MODEL, fields={"owner": "text"}, tenant="owner")
    shop.execute("SELECT semsearch.attach('handbook', 'shop.t', '{body}', metadata => '{owner}')")
    handbook = model_db.collection("handbook")
    assert [one.id for one in handbook.documents(tenant="10", limit=1)] == ["4"]
    assert handbook.owned(["3", "4", "5"], tenant="10") == {"4"}


@pytest.mark.parametrize("schema", ["Sales", "order"])
def test_a_schema_whose_name_needs_quotes(model_db: Database, articles: Sql, schema: str) -> None:
    articles.execute(f'CREATE SCHEMA "{schema}"; CREATE TABLE "{schema}".articles (LIKE shop.articles INCLUDING ALL)')
    try:
        articles.execute(f"INSERT INTO \"{schema}\".articles (id, body) VALUES (1, 'one')")
        handbook = attach(model_db, f'"{schema}".articles')
        assert searchable(handbook) == {"1": ["one"]}
        with model_db.pools.writing.connect() as connection:
            assert source.check(connection, handbook.space) is None
    finally:
        articles.execute(f'DROP SCHEMA "{schema}" CASCADE')


def test_names_that_need_quoting_do_no_harm(model_db: Database, shop: Sql) -> None:
    shop.execute('CREATE TABLE shop."My %s :Table" ("Id ""x" int PRIMARY KEY, "b:o%s\'dy $body$" text, "select" int)')
    shop.execute("INSERT INTO shop.\"My %s :Table\" VALUES (1, 'one', 7)".replace("%", "%%"), ())
    handbook = attach(model_db, 'shop."My %s :Table"', text="b:o%s'dy $body$", metadata="select")
    assert handbook.get("1").metadata == {"select": 7}
    shop.execute('UPDATE shop."My %s :Table" SET "select" = 8'.replace("%", "%%"), ())
    handbook.work()
    assert searchable(handbook) == {"1": ["one"]}


def test_rows_are_the_only_way_to_change_documents(model_db: Database, articles: Sql) -> None:
    handbook = attach(model_db)
    ways: list[Any] = [
        lambda c: c.put([{"id": "1", "text": "mine"}]),
        lambda c: c.put([]),
        lambda c: c.delete(["1"]),
        lambda c: c.delete_all(),
        lambda c: c.ingest("tests"),
    ]
    for way in ways:
        with pytest.raises(InvalidInput, match=r"handbook' come from shop\.articles: change them there\.$"):
            way(handbook)
    assert list(searchable(handbook)) == ["1", "2"]


def test_a_collection_opened_before_it_was_attached_takes_no_documents_either(
    model_db: Database, articles: Sql
) -> None:
    before = model_db.create_collection("handbook", model=MODEL)
    model_db.attach("handbook", "shop.articles", text="body")
    with pytest.raises(InvalidInput, match="change them there"):
        before.put([{"id": "1", "text": "mine"}])
    with pytest.raises(InvalidInput, match="change them there"):
        before.delete(["1"])


def test_two_collections_of_one_table_do_not_know_each_other(model_db: Database, articles: Sql) -> None:
    handbook = attach(model_db)
    titles = model_db.attach("titles", "shop.articles", text="title", model=MODEL, wait=True)
    articles.execute("UPDATE shop.articles SET title = 'I' WHERE id = 1")
    assert (handbook.status().backlog, titles.status().backlog) == (0, 1)
    model_db.drop_collection("titles")
    articles.execute("UPDATE shop.articles SET body = 'I' WHERE id = 1")
    handbook.work()
    assert searchable(handbook)["1"] == ["I"]


def other_columns(db: Database) -> Collection:
    return db.attach("handbook", "shop.articles", text=["title", "body"], metadata="author", wait=True)


def test_attached_again_with_other_columns_embeds_only_what_differs(
    model_db: Database, articles: Sql, provider: Provider
) -> None:
    attach(model_db)
    articles.execute("UPDATE shop.articles SET title = NULL WHERE id = 1")
    provider.reset()
    handbook = other_columns(model_db)
    assert searchable(handbook) == {"1": ["the first"], "2": ["Two\n\nthe second"], "3": ["Three"]}
    assert sorted(inputs(provider)) == ["Three", "Two\n\nthe second"]
    assert handbook.get("1").metadata == {"author": "ann"}
    articles.execute("UPDATE shop.articles SET author = 'eve'")
    assert sorted(tasks(articles)) == ["1", "2", "3"]


def test_the_same_from_sql(model_db: Database, articles: Sql) -> None:
    model_db.create_collection("handbook", model=MODEL, chunk_size=0)
    articles.execute("SET search_path = shop")
    articles.execute("SELECT semsearch.attach('handbook', 'articles', text => '{body}', metadata => '{author}')")
    handbook = model_db.collection("handbook")
    handbook.work()
    assert list(searchable(handbook)) == ["1", "2"]
    articles.execute("SELECT semsearch.detach('handbook')")
    assert searchable(handbook) == {}
