"""Collections: made, found, listed, dropped; and the view that people query."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from pydantic import SecretStr

import semsearch
from semsearch import Document
from semsearch.collection import Collection
from semsearch.config import Settings
from semsearch.database import Database
from semsearch.errors import Conflict, DatabaseUnavailable, InvalidInput, ModelUnavailable, NotFound
from tests.integration.hands import MODEL
from tests.provider import Provider

Sql = psycopg.Connection[Any]


def test_a_collection_is_found_again_as_it_was_made(model_db: Database) -> None:
    made = model_db.create_collection(
        "handbook",
        model=MODEL,
        distance="inner_product",
        vector_type="halfvec",
        fields={"year": "integer", "lang": "text"},
        chunk_size=100,
        chunk_overlap=10,
    )
    found = model_db.collection("handbook")
    for collection in (made, found):
        assert (collection.name, collection.model, collection.dimensions) == ("handbook", MODEL, 8)
        assert (collection.distance, collection.vector_type) == ("inner_product", "halfvec")
        assert collection.fields == {"year": "integer", "lang": "text"}
        assert (collection.chunk_size, collection.chunk_overlap) == (100, 10)


def test_defaults_are_filled_in(model_db: Database) -> None:
    collection = model_db.create_collection("plain", model=MODEL)
    # 512 tokens, and an eighth of it as overlap
    assert (collection.distance, collection.vector_type, collection.fields) == ("cosine", "vector", {})
    assert (collection.chunk_size, collection.chunk_overlap) == (512, 64)
    assert model_db.create_collection("half", dimensions=768).vector_type == "halfvec"
    assert model_db.create_collection("full", dimensions=767).vector_type == "vector"


def test_collections_are_listed_by_name_with_their_counts(model_db: Database) -> None:
    model_db.create_collection("b", dimensions=2)
    a = model_db.create_collection("a", dimensions=2)
    a.put([Document("x", "text", embedding=[1, 2])])
    first, second = model_db.collections()
    assert (first.name, first.documents, first.chunks, first.backlog, first.failed) == ("a", 1, 1, 0, 0)
    assert (first.model, first.index, first.state, first.reason) == (None, None, "active", None)
    assert first.bytes > second.bytes > 0
    assert second.name == "b"


def test_an_existing_name_is_a_conflict_and_nothing_is_changed(model_db: Database) -> None:
    model_db.create_collection("a", dimensions=2)
    with pytest.raises(Conflict, match="'a' exists already"):
        model_db.create_collection("a", dimensions=3)
    assert model_db.collection("a").dimensions == 2


def test_a_name_that_is_not_there_suggests_the_near_one(model_db: Database) -> None:
    model_db.create_collection("handbook", dimensions=2)
    with pytest.raises(NotFound, match="Did you mean 'handbook'"):
        model_db.collection("handbok")
    with pytest.raises(NotFound, match="semsearch create zzz"):
        model_db.drop_collection("zzz")


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", "", "x" * 2000, "a; rm -r b", 7, None])
def test_an_impossible_name_is_not_found(model_db: Database, name: Any) -> None:
    with pytest.raises(NotFound) as raised:
        model_db.collection(name)
    assert "semsearch create" not in str(raised.value)  # it would be copied into a shell


@pytest.mark.parametrize("name", ["", "Handbook", "1st", "with space", 'quo"te', "x" * 49, "ä", "a\n", 7, None])
def test_a_name_must_do_for_a_view(model_db: Database, name: Any) -> None:
    with pytest.raises(InvalidInput, match="collection name"):
        model_db.create_collection(name, dimensions=2)


@pytest.mark.parametrize("name", ["select", "user", "x" * 48, "order"])
def test_names_that_are_words_of_sql_do(model_db: Database, name: str) -> None:
    collection = model_db.create_collection(name, dimensions=2)
    collection.put([Document("a", "x", embedding=[1, 2])])
    assert len(collection.search(embedding=[1, 2])) == 1
    model_db.drop_collection(name)
    assert model_db.collections() == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dimensions": 0},
        {"dimensions": 16001},
        {"dimensions": 2.5},
        {"dimensions": "2"},
        {"dimensions": True},
        {"dimensions": 2, "distance": "cosinus"},
        {"dimensions": 2, "vector_type": "bit"},
        {"dimensions": 2, "index": "diskann"},
        {"dimensions": 2, "index": "ivfflat", "distance": "l1"},
        {"dimensions": 8, "quantization": "bits"},
        {"dimensions": 8, "index_dimensions": 9},
        {"dimensions": 2, "fields": {"year": "int"}},
        {"dimensions": 2, "fields": {"embedding": "text"}},
        {"model": "test-model"},
        {"model": MODEL, "dimensions": 9},
        {"model": MODEL, "chunk_size": -1},
        {"model": MODEL, "chunk_size": 10, "chunk_overlap": 10},
        {"model": MODEL, "chunk_size": 100000},
        {"model": MODEL, "chunk_size": "many"},
    ],
)
def test_settings_that_make_no_sense_are_refused(model_db: Database, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        model_db.create_collection("a", **options)
    assert model_db.collections() == []


def test_a_model_that_cannot_be_called_is_known_at_once(model_db: Database, provider: Provider) -> None:
    provider.script({"fault": "status", "status": 401})
    with pytest.raises(ModelUnavailable):
        model_db.create_collection("a", model="openai:refused-model")  # no other test's: probed once in a process
    assert model_db.collections() == []


def test_a_dropped_collection_leaves_nothing(model_db: Database, sql: Sql) -> None:
    before = objects(sql)
    collection = model_db.create_collection("a", model=MODEL, fields={"year": "integer"})
    collection.put([Document("x", "text")])
    collection.put([Document("y", "text")], wait=False)
    model_db.drop_collection("a")
    assert objects(sql) == before
    for table in ("collections", "spaces", "documents", "tasks", "leases", "failures"):
        assert sql.execute(f"SELECT count(*) FROM semsearch.{table}").fetchone() == (0,), table


def objects(sql: Sql) -> list[Any]:
    return sql.execute(
        "SELECT relname, relkind FROM pg_class WHERE relnamespace IN ('semsearch'::regnamespace, "
        "'collections'::regnamespace) ORDER BY 1"
    ).fetchall()


def test_a_name_may_be_used_again(model_db: Database) -> None:
    old = model_db.create_collection("a", dimensions=2)
    old.put([Document("x", "old", embedding=[1, 2])])
    model_db.drop_collection("a")
    new = model_db.create_collection("a", dimensions=3)
    with pytest.raises(NotFound, match="has been dropped"):
        old.put([Document("x", "old", embedding=[1, 2])])
    assert new.status().documents == 0


@pytest.mark.parametrize(
    "use",
    [
        lambda old: old.search("x", mode="text"),
        lambda old: old.search(embedding=[1, 2]),
        lambda old: old.documents(),
        lambda old: old.failures(),
        lambda old: old.indexes(),
        lambda old: old.rebuild_index(),
        lambda old: old.drop_index(),
        lambda old: old.tune(),
    ],
    ids=["words", "search", "documents", "failures", "indexes", "rebuild", "drop", "tune"],
)
def test_a_dropped_collection_is_said_to_be(model_db: Database, use: Callable[[Collection], object]) -> None:
    old = model_db.create_collection("a", dimensions=2)
    model_db.drop_collection("a")
    model_db.create_collection("a", dimensions=2)
    with pytest.raises(NotFound, match="has been dropped"):
        use(old)


def test_what_depends_on_the_view_keeps_the_collection(model_db: Database, sql: Sql) -> None:
    model_db.create_collection("a", dimensions=2)
    sql.execute("CREATE VIEW public.mine AS SELECT text FROM collections.a")
    try:
        with pytest.raises(Conflict, match="depend"):
            model_db.drop_collection("a")
        assert model_db.collection("a").name == "a"
    finally:
        sql.execute("DROP VIEW public.mine")


def test_dropping_waits_for_whoever_is_just_putting(model_db: Database, sql: Sql) -> None:
    from semsearch.store import creation, guards

    collection = model_db.create_collection("a", dimensions=2)
    with model_db._pools.writing.begin() as putting, model_db._pools.writing.connect() as dropping:
        guards.hold(putting, collection._space)
        dropping.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        with pytest.raises(Exception, match="lock timeout"):
            creation.drop(dropping, collection._space)


# The view


@pytest.fixture
def handbook(model_db: Database) -> Any:
    collection = model_db.create_collection(
        "handbook", dimensions=2, distance="l2", fields={"year": "integer", "Select": "text"}
    )
    collection.put(
        [
            Document("a", "nearest", {"lang": "en", "year": 2020, "Select": "x"}, title="T", embedding=[1, 0]),
            Document("b", "nearer", {"lang": "de", "year": 2021}, embedding=[2, 0]),
            Document("c", "near", {"lang": "en"}, embedding=[3, 0]),
        ]
    )
    return collection


def test_the_view_answers_as_the_readme_says(handbook: Any, sql: Sql) -> None:
    found = sql.execute(
        """
        SELECT document_id, text FROM collections.handbook
        WHERE metadata @> '{"lang": "en"}' ORDER BY embedding <-> '[0,0]' LIMIT 5
        """
    ).fetchall()
    assert found == [("a", "nearest"), ("c", "near")]


def test_the_view_has_the_declared_fields_under_their_names(handbook: Any, sql: Sql) -> None:
    cursor = sql.execute('SELECT * FROM collections.handbook WHERE year >= 2020 AND "Select" IS NOT NULL')
    assert [column.name for column in cursor.description or ()] == [
        *(
            "document_id",
            "ordinal",
            "heading",
            "text",
            "metadata",
            "year",
            "Select",
            "embedding",
            "start",
            "end",
            "terms",
        )
    ]
    assert [row[0] for row in cursor] == ["a"]


def test_the_view_runs_with_the_rights_of_whoever_asks(handbook: Any, sql: Sql) -> None:
    (options,) = (
        sql.execute("SELECT reloptions FROM pg_class WHERE oid = 'collections.handbook'::regclass").fetchone() or ()
    )
    assert options == ["security_invoker=true"]
    sql.execute("CREATE ROLE view_reader")
    try:
        sql.execute("GRANT USAGE ON SCHEMA collections TO view_reader")
        sql.execute("GRANT SELECT ON collections.handbook TO view_reader")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), sql.transaction():
            sql.execute("SET LOCAL ROLE view_reader")
            sql.execute("SELECT * FROM collections.handbook")
    finally:
        sql.execute("DROP OWNED BY view_reader")
        sql.execute("DROP ROLE view_reader")


def test_the_view_uses_the_index(handbook: Any, sql: Sql) -> None:
    handbook.create_index()
    with sql.transaction():
        sql.execute("SET LOCAL enable_seqscan = off")
        sql.execute("SET LOCAL enable_sort = off")
        plan = sql.execute(
            "EXPLAIN SELECT document_id FROM collections.handbook ORDER BY embedding <-> '[0,0]' LIMIT 1"
        ).fetchall()
    assert f"{handbook._space.table_name}_embedding" in str(plan)


def test_small_vectors_are_kept_plain_and_large_ones_where_they_fit(model_db: Database, sql: Sql) -> None:
    def storage(dimensions: int, vector_type: str) -> Any:
        name = f"d{dimensions}_{vector_type}"
        space = model_db.create_collection(name, dimensions=dimensions, vector_type=vector_type)._space
        query = "SELECT attstorage FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'embedding'"
        return (sql.execute(query, (f"semsearch.{space.table_name}",)).fetchone() or (None,))[0]

    # A page of 8 kB has room for 1,888 floats (8,160 - 600 - 8 bytes, 4 each) or twice as many halves.
    assert [storage(1888, "vector"), storage(1889, "vector")] == ["p", "e"]
    assert [storage(3776, "halfvec"), storage(3777, "halfvec")] == ["p", "e"]


@pytest.mark.parametrize(("dimensions", "vector_type"), [(1888, "vector"), (3776, "halfvec"), (16000, "vector")])
def test_the_largest_of_each_kind_can_be_stored(model_db: Database, dimensions: int, vector_type: str) -> None:
    collection = model_db.create_collection("large", dimensions=dimensions, vector_type=vector_type)
    embedding = np.random.default_rng(1).standard_normal(dimensions)
    collection.put([Document("x" * 500, "text " * 10_000, {"key": "v" * 20_000}, embedding=embedding)])
    assert collection.search(embedding=embedding)[0].distance == pytest.approx(0, abs=1e-3)


# The door itself


def test_a_server_that_is_not_there_is_named_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="semsearch doctor") as raised:
        semsearch.connect("postgresql://anna:secret-word@127.0.0.1:1/texts", settings=Settings(home=tmp_path / "h"))
    assert "secret-word" not in str(raised.value)
    assert "dbname=texts" in str(raised.value)


def test_connect_takes_a_url_before_the_settings(database_url: str, tmp_path: Path) -> None:
    settings = Settings(database_url="postgresql://127.0.0.1:1/x", home=tmp_path / "h", openai_api_key=SecretStr("k"))
    with semsearch.connect(database_url, settings=settings) as db:
        assert db.collections() == []
        assert db.settings.openai_api_key == settings.openai_api_key


def test_errors_of_the_server_arrive_as_ours(model_db: Database, sql: Sql) -> None:
    collection = model_db.create_collection("a", dimensions=2)
    collection.put([Document("x", "text", embedding=[1, 2])])
    sql.execute("REVOKE ALL ON semsearch.documents FROM CURRENT_USER")
    sql.execute(f"ALTER DATABASE {sql.info.dbname} SET default_transaction_read_only = on")
    model_db._pools.writing.dispose()
    model_db._pools.searching.dispose()
    try:
        with pytest.raises(DatabaseUnavailable, match="read-only"):
            collection.put([Document("y", "text", embedding=[1, 2])])
        assert len(collection.search(embedding=[1, 2])) == 1
    finally:
        sql.execute("SET default_transaction_read_only = off")
        sql.execute(f"ALTER DATABASE {sql.info.dbname} RESET default_transaction_read_only")
        sql.execute("GRANT ALL ON semsearch.documents TO CURRENT_USER")
        model_db._pools.writing.dispose()
