"""semsearch.search and semsearch.similar: the hits that Python finds, complete whatever the filter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import conninfo, errors

import semsearch
from semsearch import Document
from semsearch.collection import Collection
from semsearch.config import Settings
from semsearch.database import Database
from semsearch.records import Hit
from semsearch.store import indexes, migrate
from semsearch.store.connection import Address, driver
from semsearch.store.index_statements import embedding_index, wished
from tests.provider import vector

Sql = psycopg.Connection[Any]

NUMBER = 1500
SETTINGS = ("hnsw.iterative_scan", "hnsw.ef_search", "hnsw.max_scan_tuples", "ivfflat.probes")
KINDS: dict[str, dict[str, Any]] = {
    "cosine": {},
    "l2": {"distance": "l2", "vector_type": "halfvec"},
    "inner_product": {"distance": "inner_product", "quantization": "halfvec"},
    "l1": {"distance": "l1"},
    "lists": {"index": "ivfflat"},
    "signs": {"quantization": "binary"},
    "prefix": {"index_dimensions": 4},
}


def metadata(number: int) -> dict[str, Any]:
    """`mixed` is a number in every hundredth only; `day` a date, a moment of a zone, or neither."""
    day = f"2024-01-{1 + number % 28:02}"
    days = (day, f"{day}T12:00:00+00:00", 7, "no day")
    return {
        "number": number,
        "odd": number % 2 == 1,
        "mixed": number if number % 100 == 0 else "text",
        "day": days[number % 4],
    }


def documents() -> list[Document]:
    drawn = np.random.default_rng(7).normal(size=(NUMBER, 8)).astype(np.float32)
    drawn[40:45] = drawn[40]  # five that are as far as one another from everything
    return [
        Document(f"d{number}", f"text {number}", metadata(number), embedding=drawn[number]) for number in range(NUMBER)
    ]


def index(collection: Collection) -> None:
    """As the collection wishes it, but nothing of it is measured, which takes a while."""
    space = collection.space
    made = embedding_index(space, wished(space), indexes.name(space), NUMBER, concurrently=False)
    with collection._pools.writing.begin() as connection:
        driver(connection).execute(made)


@pytest.fixture(scope="module")
def found_in(module_db: Database) -> Iterator[dict[str, Collection]]:
    """A collection of each kind, with an index."""
    made = {}
    for name, how in KINDS.items():
        made[name] = module_db.create_collection(f"kind_{name}", dimensions=8, **how)
        made[name].put(documents())
        index(made[name])
    yield made
    for collection in made.values():
        module_db.drop_collection(collection.name)


@pytest.fixture
def user(found_in: dict[str, Collection], module_database_url: str) -> Iterator[Sql]:
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        yield connection


def search(user: Sql, collection: Collection, asked: Any, top_k: int = 10, filter: str | None = None) -> list[Hit]:
    rows = user.execute(
        "SELECT distance, document_id, ordinal, text, metadata, heading "
        "FROM semsearch.search(%s, top_k => %s, filter => %s, embedding => %s::vector)",
        (collection.name, top_k, filter, str(np.asarray(asked).tolist())),
    )
    return [Hit(*row, 0, 0) for row in rows]


def keys(hits: Any) -> list[tuple[Any, ...]]:
    return [(hit.distance, hit.document_id, hit.ordinal, hit.text, hit.metadata) for hit in hits]


@pytest.mark.parametrize("kind", KINDS)
def test_the_hits_are_pythons(found_in: dict[str, Collection], user: Sql, kind: str) -> None:
    collection = found_in[kind]
    for number in range(3):
        asked = vector(f"q{number}")
        assert keys(search(user, collection, asked)) == keys(collection.search(embedding=asked))
        # exact plans of both; in every answer those that are equally far in the order of their ids
        few = collection.search(embedding=asked, filter={"number": {"$lt": 60}}, top_k=60)
        assert keys(search(user, collection, asked, 60, "$.number < 60")) == keys(few)
        many = collection.search(embedding=asked, filter={"odd": True}, plan="exact")
        there = {hit.document_id for hit in search(user, collection, asked, 10, "$.odd == true")}
        assert len(there) == 10
        assert len(there & {hit.document_id for hit in many}) >= 9
    similar = user.execute("SELECT document_id FROM semsearch.similar(%s, 'd40', 4)", (collection.name,)).fetchall()
    assert similar == [(hit.document_id,) for hit in collection.search(document_id="d40", top_k=4, plan="exact")]


@pytest.mark.parametrize("kind", ["cosine", "lists", "signs"])
@pytest.mark.parametrize("matching", [NUMBER, 700, 100, 9, 0])
def test_answers_are_complete(found_in: dict[str, Collection], user: Sql, kind: str, matching: int) -> None:
    user.execute("SET enable_seqscan = off")
    user.execute("SET hnsw.ef_search = 10")  # a user's own setting is no matter
    for filter in (f"$.number < {matching}", f"$.number >= {NUMBER - matching}"):
        for top_k in (1, 10, 1000):
            hits = search(user, found_in[kind], vector("anything"), top_k, filter)
            assert len({hit.document_id for hit in hits}) == min(top_k, matching)
            assert hits == sorted(hits, key=lambda hit: (hit.distance, hit.document_id, hit.ordinal))


def test_the_index_is_walked_and_settings_are_as_before(found_in: dict[str, Collection], user: Sql) -> None:
    user.execute("SELECT '[1]'::vector; SET enable_seqscan = off; SET hnsw.ef_search = 33")
    space = found_in["cosine"].space
    # Those of this transaction: others' walks are told of by the server when it likes.
    scans = "SELECT pg_stat_get_xact_numscans(%s::regclass)"

    def walks() -> int:
        row = user.execute(scans, (f"semsearch.chunks_{space.id}_embedding",)).fetchone()
        assert row is not None
        return int(row[0])

    user.execute("BEGIN")
    before = walks()
    # True of few and false of none: of most it is neither, which a mean would leave out.
    assert len(search(user, found_in["cosine"], vector("x"), 1, "$.mixed >= 0")) == 1
    assert walks() == before
    were = [user.execute(f"SHOW {name}").fetchone() for name in SETTINGS]
    for filter in (None, "$.odd == true"):
        assert len(search(user, found_in["cosine"], vector("x"), 10, filter)) == 10
    assert [user.execute(f"SHOW {name}").fetchone() for name in SETTINGS] == were
    assert walks() >= before + 1
    user.execute("COMMIT")


@pytest.mark.parametrize(
    ("arguments", "state", "words"),
    [
        ("'kind_cosin', 'x'", "P0002", ("'kind_cosin' does not exist", "Did you mean 'kind_cosine'?")),
        ("NULL, 'x'", "P0002", ("NULL does not exist", "SELECT name FROM semsearch.status")),
        ("'zzz', 'x'", "P0002", ("'zzz' does not exist", "SELECT name FROM semsearch.status")),
        ("'kind_cosine', 'x'", "22023", ("has no model",)),
        ("'kind_cosine'", "22023", ("a query or an embedding",)),
        ("'kind_cosine', 'x', embedding => '[1]'", "22023", ("a query or an embedding",)),
        ("'kind_cosine', embedding => '[1]'", "22023", ("has 1 dimensions", "has 8")),
        ("'kind_cosine', embedding => '[0,0,0,0,0,0,0,0]'", "22023", ("zero",)),
        ("'kind_cosine', top_k => 0, embedding => '[1,1,1,1,1,1,1,1]'", "22023", ("from 1 to 1000; got 0",)),
        ("'kind_cosine', top_k => NULL, embedding => '[1,1,1,1,1,1,1,1]'", "22023", ("got NULL",)),
        ("'kind_cosine', top_k => 1001, embedding => '[1,1,1,1,1,1,1,1]'", "22023", ("got 1001",)),
        (
            "'kind_cosine', filter => '$ ? (@.number > 1)', embedding => '[1,1,1,1,1,1,1,1]'",
            "22023",
            ("should say yes or no", "$.year >= 2020"),
        ),
        (
            "'kind_cosine', filter => ('$.a == \"' || repeat('x', 20000) || '\"')::jsonpath, "
            "embedding => '[1,1,1,1,1,1,1,1]'",
            "22023",
            ("longer than 16 kB",),
        ),
    ],
)
def test_what_makes_no_sense_is_said(user: Sql, arguments: str, state: str, words: tuple[str, ...]) -> None:
    with pytest.raises(psycopg.Error) as raised:
        user.execute(f"SELECT * FROM semsearch.search({arguments})")
    assert raised.value.sqlstate == state
    said = f"{raised.value.diag.message_primary} {raised.value.diag.message_hint}"
    assert all(word in said for word in words), said
    assert len(said) < 400


@pytest.mark.parametrize(
    "filter",
    [
        '$.day.datetime() >= "2024-01-20".datetime()',
        '$.day.datetime() >= "2024-01-20T00:00:00Z".datetime()',
        '$.day.timestamp_tz() >= "2024-01-20".timestamp_tz()',
    ],
)
def test_dates_are_compared_with_moments_in_the_zone_of_the_session(
    found_in: dict[str, Collection], user: Sql, filter: str
) -> None:
    user.execute("SET timezone = 'UTC'")
    for kind in ("cosine", "lists"):
        hits = search(user, found_in[kind], vector("x"), 1000, filter)
        wanted = {f"d{number}" for number in range(NUMBER) if number % 4 < 2 and number % 28 >= 19}
        assert {hit.document_id for hit in hits} == wanted


def test_a_path_that_is_no_predicate_matches_what_is_true(found_in: dict[str, Collection], user: Sql) -> None:
    hits = search(user, found_in["cosine"], vector("x"), 1000, "$.odd")
    assert len(hits) == NUMBER // 2
    assert search(user, found_in["cosine"], vector("x"), 10, "$.number") == []


def test_an_embedding_that_is_stored_at_half_the_size_is_cast(found_in: dict[str, Collection], user: Sql) -> None:
    search = "SELECT document_id FROM semsearch.search('kind_l2', top_k => 1, embedding => (SELECT embedding{} FROM "
    search += "collections.kind_l2 WHERE document_id = 'd7'))"
    assert user.execute(search.format("::vector")).fetchall() == [("d7",)]
    with pytest.raises(errors.UndefinedFunction):
        user.execute(search.format(""))


def test_a_collection_that_is_dropped_meanwhile_is_not_there(model_db: Database, sql: Sql) -> None:
    short = model_db.create_collection("short", dimensions=2)
    short.put([Document("a", "a", embedding=[1, 2])])
    sql.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    sql.execute("SELECT FROM semsearch.collections")  # which it will still see
    model_db.drop_collection("short")
    for call in ("search('short', embedding => '[1,2]')", "similar('short', 'a')"):
        sql.execute("SAVEPOINT before")
        with pytest.raises(errors.NoDataFound, match="collection 'short' was dropped meanwhile"):
            sql.execute(f"SELECT * FROM semsearch.{call}")
        sql.execute("ROLLBACK TO before")
    sql.execute("ROLLBACK")


def test_a_text_without_an_embedding_says_what_to_call(notes: Collection, sql: Sql) -> None:
    with pytest.raises(psycopg.Error, match="'it''s new' has no embedding yet") as raised:
        sql.execute("SELECT * FROM semsearch.search('notes', 'it''s new')")
    assert raised.value.sqlstate == "SEM01"
    assert raised.value.diag.message_hint == "CALL semsearch.embed('notes', 'it''s new')"
    with pytest.raises(errors.NoDataFound, match="'gone' has no embedding in collection 'notes'"):
        sql.execute("SELECT * FROM semsearch.similar('notes', 'gone')")


def test_one_statement_joins_hits_with_tables_and_finds_what_is_asked_for_each_row(notes: Collection, sql: Sql) -> None:
    notes.put([Document("a", "red"), Document("b", "blue"), Document("c", "green")])
    for text in ("red", "blue"):
        notes.search(text)
    rows = sql.execute(
        "SELECT t.text, h.document_id FROM (VALUES ('red'), ('blue')) t (text), "
        "LATERAL semsearch.search('notes', t.text, 1) h ORDER BY 1"
    ).fetchall()
    assert rows == [("blue", "b"), ("red", "a")]


def test_a_role_finds_the_chunks_of_its_tenant_only(model_db: Database, sql: Sql, module_database_url: str) -> None:
    """With an index that a walk of would meet mostly others' chunks."""
    name = f"tenant_{os.getpid()}"
    tickets = model_db.create_collection("tickets", dimensions=8, fields={"customer": "text"}, tenant="customer")
    drawn = np.random.default_rng(3).normal(size=(1500, 8)).astype(np.float32)
    tickets.put(
        [
            Document(f"t{number}", "text", {"customer": "ann" if number % 100 == 0 else "bob"}, embedding=drawn[number])
            for number in range(1500)
        ]
    )
    index(tickets)
    sql.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' IN ROLE semsearch_reader")
    try:
        tickets.grant_tenant("ann", name)
        url = conninfo.make_conninfo(module_database_url, user=name, password="secret", requirepeer="")
        with psycopg.connect(url, autocommit=True) as connection:
            for asked in ("one", "two"):
                hits = search(connection, tickets, vector(asked), 1000)
                assert len(hits) == 15
                assert {hit.metadata["customer"] for hit in hits} == {"ann"}
                assert keys(hits) == keys(tickets.search(embedding=vector(asked), top_k=100, tenant="ann"))
            similar = connection.execute("SELECT document_id FROM semsearch.similar('tickets', 't0', 100)").fetchall()
            assert len(similar) == 14
            with pytest.raises(errors.NoDataFound, match="'t1' has no embedding"):
                connection.execute("SELECT * FROM semsearch.similar('tickets', 't1')")
        assert len(search(sql, tickets, vector("one"), 1000)) == 1000  # its owner's
    finally:
        sql.execute(f"DROP OWNED BY {name}")
        sql.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize("schema", ["public", "My extensions"])
def test_pgvector_may_be_in_any_schema(empty_database_url: str, tmp_path: Path, schema: str) -> None:
    quoted = f'"{schema}"'
    with psycopg.connect(empty_database_url, autocommit=True) as user:
        user.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted}")
        user.execute(f"CREATE EXTENSION vector SCHEMA {quoted}")
        user.execute(f'ALTER DATABASE "{user.info.dbname}" SET search_path = public, {quoted}')
    settings = Settings(database_url=empty_database_url, home=tmp_path / "unused")
    with Address(settings) as address:
        migrate.upgrade(address)
    with semsearch.connect(settings=settings) as db:
        for name, how in {"plain": {}, "half": {"vector_type": "halfvec"}, "signs": {"quantization": "binary"}}.items():
            collection = db.create_collection(name, dimensions=8, **how)
            collection.put(documents()[:300])
            index(collection)
            with psycopg.connect(empty_database_url, autocommit=True) as user:
                user.execute("SET search_path = ''")
                user.execute("SET enable_seqscan = off")
                hits = user.execute(
                    f"SELECT document_id FROM semsearch.search(%s, embedding => %s::{quoted}.vector, top_k => 3)",
                    (name, str(vector("x").tolist())),
                ).fetchall()
            assert hits == [(hit.document_id,) for hit in collection.search(embedding=vector("x"), top_k=3)]
