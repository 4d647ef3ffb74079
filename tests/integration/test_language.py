"""The language of a collection that is in use: full text added, changed and dropped, with everything else kept."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import CollectionChanged, Conflict, InvalidInput
from semsearch.store import indexes, language_changes, tenant_indexes
from tests.integration.attaching import attach
from tests.integration.command_line import Cli

Sql = psycopg.Connection[Any]

TEXTS = ("Ich lief durch die Straßen", "she runs through the streets", "nothing to be found", "")


@pytest.fixture
def texts(model_db: Database) -> Collection:
    """200 chunks without full text, and an index of its own kind."""
    collection = model_db.create_collection("texts", dimensions=3, language=None, fields={"lang": "text"})
    embeddings = np.random.default_rng(1).standard_normal((200, 3)).astype(np.float32)
    collection.put(
        Document(f"d{number:03}", TEXTS[number % 4], {"lang": "de", "n": number}, embedding=embedding)
        for number, embedding in enumerate(embeddings)
    )
    collection.create_index(m=8, ef_construction=32)
    return collection


def matching(sql: Sql, words: str, language: str = "english") -> list[str]:
    rows = sql.execute(
        "SELECT DISTINCT text FROM collections.texts WHERE terms @@ websearch_to_tsquery(%s::regconfig, %s)",
        [language, words],
    )
    return sorted(text for (text,) in rows)


def index_names(sql: Sql, collection: Collection) -> set[str]:
    found = sql.execute("SELECT indexname FROM pg_indexes WHERE tablename = %s", [collection.space.table_name])
    return {name.removeprefix(collection.space.table_name) for (name,) in found}


def test_full_text_is_added_changed_and_dropped(texts: Collection, sql: Sql, model_db: Database) -> None:
    before = {hit.document_id: hit.metadata for hit in texts.search(embedding=[1, 0, 0], top_k=200, plan="exact")}
    texts.set_language("english")
    assert matching(sql, "run") == ["she runs through the streets"]
    texts.set_language("german")
    assert matching(sql, "laufen Straße", "german") == []
    assert matching(sql, "Straße", "german") == ["Ich lief durch die Straßen"]
    assert model_db.collection("texts").space.language == "german"
    texts.set_language(None)
    assert model_db.collection("texts").space == texts.space
    with pytest.raises(psycopg.errors.UndefinedColumn):
        sql.execute("SELECT terms FROM collections.texts")
    after = {hit.document_id: hit.metadata for hit in texts.search(embedding=[1, 0, 0], top_k=200, plan="exact")}
    assert after == before


def test_searches_for_words_follow_the_language(texts: Collection) -> None:
    with pytest.raises(InvalidInput, match="no full text"):
        texts.search("runs", mode="text")
    texts.set_language("english")
    assert {hit.text for hit in texts.search("run", mode="text", top_k=100)} == {"she runs through the streets"}
    assert len(texts.search(embedding=[1, 0, 0], top_k=100, filter={"$text": {"$match": "run"}})) == 50


def test_what_is_put_later_has_full_text_too(texts: Collection, sql: Sql) -> None:
    texts.set_language("english")
    texts.put([Document("new", "she was running", {"lang": "en"}, embedding=[1, 2, 3])])
    assert matching(sql, "run") == ["she runs through the streets", "she was running"]


def test_the_indexes_come_again_as_they_were(texts: Collection, sql: Sql) -> None:
    before = index_names(sql, texts)
    texts.set_language("english")
    assert index_names(sql, texts) == before | {"_terms"}
    (index,) = texts.indexes()
    assert (index.serves, index.settings) == (True, {"m": 8, "ef_construction": 32})
    assert texts.search(embedding=[1, 0, 0]).plan == "ann"
    texts.set_language(None)
    assert index_names(sql, texts) == before


def test_the_index_of_a_tenant_comes_again_too(model_db: Database, monkeypatch: pytest.MonkeyPatch, sql: Sql) -> None:
    monkeypatch.setattr(tenant_indexes, "LEAST", 10)
    collection = model_db.create_collection("texts", dimensions=2, fields={"owner": "text"}, tenant="owner")
    collection.put(
        Document(f"d{number}", "", {"owner": "a" if number % 5 else "b"}, embedding=[1, number])
        for number in range(100)
    )
    with collection._pools.writing.connect() as connection:
        indexes.analyze_roughly(connection, collection.space)
        connection.commit()
    collection.create_index()
    collection.set_language("german")
    found = {index.name: index.predicate for index in collection.indexes()}
    assert set(found) == {indexes.name(collection.space), indexes.name(collection.space, "b")}


def test_a_collection_without_an_index_gets_none(model_db: Database) -> None:
    collection = model_db.create_collection("texts", dimensions=2, language=None)
    collection.put([Document("a", "one", embedding=[1, 2])])
    collection.set_language("english")
    assert collection.indexes() == []


def test_the_same_language_writes_nothing(texts: Collection, sql: Sql) -> None:
    texts.set_language("english")

    def file() -> Any:
        name = f"semsearch.{texts.space.table_name}"
        return sql.execute("SELECT pg_relation_filenode(%s::regclass)", [name]).fetchone()

    before = file()
    texts.set_language("english")
    assert file() == before
    texts.set_language("simple")
    assert file() != before


def test_an_unknown_language_is_refused_before_anything_is_touched(texts: Collection) -> None:
    with pytest.raises(InvalidInput, match="did you mean 'german'"):
        texts.set_language("germn")
    with pytest.raises(InvalidInput, match="is no text search configuration"):
        texts.predict_language("klingon")
    assert len(texts.indexes()) == 1


def test_the_prediction_tells_what_there_is(texts: Collection, model_db: Database) -> None:
    predicted = texts.predict_language("english")
    assert predicted.chunks == 200
    assert predicted.bytes > 0
    assert predicted.seconds > 0
    assert texts.predict_language(None).seconds == 0
    empty = model_db.create_collection("empty", dimensions=2)
    assert empty.predict_language("german").seconds == 0


def test_a_handle_opened_before_is_told_to_open_the_collection_again(texts: Collection, model_db: Database) -> None:
    texts.set_language("english")
    before = model_db.collection("texts")
    texts.set_language(None)
    with pytest.raises(CollectionChanged, match="open it again"):
        before.search("run", mode="text")
    assert len(before.search(embedding=[1, 0, 0])) == 10
    before.put([Document("x", "she runs", embedding=[1, 1, 1])])


def test_what_was_interrupted_is_finished_by_the_next_call(
    texts: Collection, monkeypatch: pytest.MonkeyPatch, sql: Sql, model_db: Database
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(language_changes, "_restore", interrupt)
        with pytest.raises(KeyboardInterrupt):
            texts.set_language("english")
    assert matching(sql, "run") == ["she runs through the streets"]
    again = model_db.collection("texts")
    assert (again.space.language, again.indexes()) == ("english", [])
    monkeypatch.setattr(indexes, "AUTOMATIC_FROM", 100)
    again.set_language("english")
    assert again.indexes()[0].serves
    assert "_terms" in index_names(sql, texts)


def test_it_waits_for_a_reader_and_gives_up_when_he_stays(texts: Collection, sql: Sql, other_sql: Sql) -> None:
    sql.execute("BEGIN")
    sql.execute("SELECT count(*) FROM collections.texts")
    ending = threading.Timer(1, sql.execute, ["COMMIT"])
    ending.start()
    texts.set_language("english")
    ending.join()
    sql.execute("BEGIN")
    sql.execute("SELECT count(*) FROM collections.texts")
    with pytest.raises(Conflict, match="in use by a transaction that does not end"):
        texts.set_language("german")
    assert texts.indexes()[0].serves
    sql.execute("COMMIT")
    assert matching(other_sql, "run") == ["she runs through the streets"]


def test_rights_on_the_view_and_added_fields_stay(texts: Collection, sql: Sql) -> None:
    texts.add_field("n", "integer")
    sql.execute("GRANT SELECT ON collections.texts TO PUBLIC")
    texts.set_language("english")
    assert sql.execute("SELECT has_table_privilege('pg_monitor', 'collections.texts', 'SELECT')").fetchone() == (True,)
    assert sql.execute("SELECT n FROM collections.texts WHERE document_id = 'd007'").fetchone() == (7,)


def test_an_attached_table_goes_on(model_db: Database, articles: Sql) -> None:
    handbook = attach(model_db, language=None)
    handbook.set_language("english")
    articles.execute("UPDATE shop.articles SET body = 'the firsts' WHERE id = 2")
    handbook.work()
    assert {hit.document_id for hit in handbook.search("first", mode="text")} == {"1", "2"}
    model_db.drop_collection("handbook")


def test_the_command_line_asks_before_it_rewrites(cli: Cli) -> None:
    cli("create", "texts", "--dimensions", "2", "--language", "none")
    refused = cli("language", "texts", "english", code=2).err
    assert "rewrite" in refused
    assert "Searches and writes will wait for about 1 s" in refused
    assert cli("language", "texts", "english", "--yes").out == "texts: full text in english\n"
    assert cli("language", "texts", "english").out == "texts: full text in english\n"
    assert cli("language", "texts", "none", "--yes").out == "texts: no full text\n"
    assert "did you mean 'english'" in cli("language", "texts", "englis", "--yes", code=2).err
    assert "is no text search configuration" in cli("create", "x", "--dimensions", "2", "--language", "q", code=2).err
