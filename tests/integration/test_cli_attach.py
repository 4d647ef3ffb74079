"""`semsearch attach` and `semsearch detach`, as they are typed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.integration.attaching import ARTICLES
from tests.integration.command_line import Cli, answer
from tests.integration.hands import MODEL
from tests.provider import Provider

Sql = psycopg.Connection[Any]


@pytest.fixture
def table(environment: None, database_url: str, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sql]:
    """A user's connection to the database of the commands, with a table shop.articles of one row."""
    monkeypatch.setenv("SEMSEARCH_OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("SEMSEARCH_OPENAI_BASE_URL", provider.url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(ARTICLES)
        connection.execute("INSERT INTO shop.articles (id, title, body, author) VALUES (1, 'One', 'the first', 'ann')")
        yield connection


def test_a_table_is_searchable_after_one_command(cli: Cli, table: Sql) -> None:
    printed = cli(
        *("attach", "handbook", "shop.articles", "--id", "id", "--text", "title", "--text", "body"),
        *("--metadata", "author", "--metadata", "published_at", "--model", MODEL, "--wait"),
    )
    assert printed.out == "handbook: attached to shop.articles, 1 documents\n"
    assert "the first" in cli("search", "handbook", "the first", "--filter", '{"author": "ann"}').out
    table.execute("UPDATE shop.articles SET body = 'changed'")
    cli("worker", "--until-idle")
    assert "changed" in cli("get", "handbook", "1").out
    assert "changed" in cli("search", "handbook", "anything").out


def test_without_waiting_the_rows_are_left_to_workers(cli: Cli, table: Sql) -> None:
    printed = cli("attach", "handbook", "shop.articles", "--text", "body", "--model", MODEL)
    assert printed.out.splitlines()[-1] == "Next: semsearch worker"
    cli("worker", "--until-idle")
    assert answer(cli("status", "handbook", "--json"))["chunks"] == 1


def test_a_collection_that_exists_is_attached_without_settings(cli: Cli, table: Sql) -> None:
    cli("create", "handbook", "--model", MODEL)
    cli("attach", "handbook", "shop.articles", "--text", "body")
    cli("attach", "handbook", "shop.articles", "--text", "body", "--chunk-size", "7", code=4)


def test_detaching_asks_and_leaves_the_table_as_it_was(cli: Cli, table: Sql) -> None:
    cli("attach", "handbook", "shop.articles", "--text", "body", "--model", MODEL, "--wait")
    cli("detach", "handbook", code=2)
    assert cli("detach", "handbook", "--yes").out == "handbook: detached, and empty\n"
    assert table.execute(
        "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = 'shop.articles'::regclass"
    ).fetchone() == (0,)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["shop.nothing", "--text", "body"], 3, "table 'shop.nothing' does not exist"),
        (["shop.articles", "--text", "nope"], 2, "shop.articles has no column nope: it has id, title"),
        (["shop.articles"], 2, "Missing option '--text'"),
        (["shop.articles", "--text", "body", "--id", "views"], 2, "is not unique"),
    ],
)
def test_a_failure_has_its_exit_code_and_a_sentence(
    cli: Cli, table: Sql, arguments: list[str], code: int, said: str
) -> None:
    assert said in cli("attach", "handbook", *arguments, "--model", MODEL, code=code).err
    assert "handbook" not in cli("collections").out


def test_documents_of_an_attached_table_are_changed_there(cli: Cli, table: Sql) -> None:
    cli("attach", "handbook", "shop.articles", "--text", "body", "--model", MODEL)
    for command in (["delete", "handbook", "1"], ["ingest", "handbook", "."]):
        assert "come from shop.articles: change them there" in cli(*command, code=2).err
