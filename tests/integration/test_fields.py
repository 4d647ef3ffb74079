"""Fields of a collection that is in use: one added later answers every filter as one that was declared at creation."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import psycopg
import pytest
from sqlalchemy import select

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import CollectionChanged, Conflict, InvalidInput, NotFound
from semsearch.fields import FieldType
from semsearch.store import field_changes, index_build
from semsearch.store.explaining import Explain
from semsearch.store.spaces import queried
from tests.integration.attaching import attach
from tests.integration.command_line import Cli, answer

Sql = psycopg.Connection[Any]

# Each value stands in the metadata of a document, under every field: most fit some types only.
VALUES: list[Any] = [
    *("a", "b", "", "ä", "a" * 1024, "a" * 1025, "true", "2020"),
    *(0, 1, -1, 2020, 2020.0, 2020.5, 2**63 - 1, 2**63, -(2**63), -1e-300, 1.7e308),
    *(True, False, None, [], ["a"], {"a": 1}),
    *(
        "2024-05-01",
        "2024-02-30",
        "0001-01-01",
        "2024-05-01T09:30:00Z",
        "2024-05-01 11:30+02:00",
        "9999-12-31T23:59:59Z",
    ),
]
TYPES: dict[str, FieldType] = {
    "t": "text",
    "i": "integer",
    "f": "float",
    "b": "boolean",
    "d": "date",
    "m": "timestamp",
}
OPERANDS: dict[str, list[Any]] = {
    "t": ["a", "b", "", "ä", "true"],
    "i": [0, 1, 2020, -1, -(2**63)],
    "f": [0, 1.5, 2020.5, -1e-300],
    "b": [True, False],
    "d": ["2024-05-01", "0001-01-01"],
    "m": ["2024-05-01T09:30:00Z", "2024-05-01", "0001-01-01T00:00:00Z"],
}


def fill(collection: Collection) -> None:
    """By hand where values do not fit, as they come to be there before a field is declared."""
    fitting = [Document(f"d{number:02}", "", {}, embedding=[1, number]) for number in range(len(VALUES))]
    collection.put(fitting)
    with collection._pools.writing.begin() as connection:
        for number, value in enumerate(VALUES):
            metadata = json.dumps(dict.fromkeys(TYPES, value))
            for table, column in ((collection.space.table_name, "document_id"), ("documents", "id")):
                connection.exec_driver_sql(
                    f"UPDATE semsearch.{table} SET metadata = %s::jsonb WHERE {column} = %s",
                    (metadata, f"d{number:02}"),
                )
        connection.exec_driver_sql("DELETE FROM semsearch.tasks")


def found(collection: Collection, filter: dict[str, Any]) -> list[str]:
    hits = collection.search(embedding=[1, 0], top_k=100, filter=filter)
    return sorted(hit.document_id for hit in hits)


@pytest.fixture
def pair(model_db: Database) -> tuple[Collection, Collection]:
    """The same documents in a collection that declares its fields, and in one to which they are added."""
    declared = model_db.create_collection("declared", dimensions=2, fields=TYPES)
    added = model_db.create_collection("added", dimensions=2)
    for collection in (declared, added):
        fill(collection)
    for name, type_ in TYPES.items():
        added.add_field(name, type_)
    return declared, added


@pytest.fixture
def papers(model_db: Database) -> Collection:
    collection = model_db.create_collection("papers", dimensions=2, fields={"lang": "text"})
    collection.put(
        Document(f"d{number}", "", {"year": 1900 + number % 100, "lang": "en"}, embedding=[1, number])
        for number in range(1000)
    )
    return collection


def explained(sql: Sql, query: str, *values: Any) -> str:
    return "\n".join(line for (line,) in sql.execute(f"EXPLAIN {query}", values).fetchall())


# Equal answers


@pytest.mark.parametrize("name", TYPES)
def test_every_filter_is_answered_as_by_a_field_declared_at_creation(
    pair: tuple[Collection, Collection], name: str
) -> None:
    declared, added = pair
    orders = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")
    operators = orders if name != "b" else ("$eq", "$ne")
    filters: list[dict[str, Any]] = [
        *({name: {operator: operand}} for operator in operators for operand in OPERANDS[name]),
        {name: {"$in": OPERANDS[name][:2]}},
        {name: {"$nin": OPERANDS[name][:2]}},
        {name: {"$exists": True}},
        {name: {"$exists": False}},
        {name: None},
        {"$not": {name: OPERANDS[name][0]}},
        {"$or": [{name: OPERANDS[name][0]}, {name: OPERANDS[name][1]}]},
    ]
    answers = [(filter, found(declared, filter), found(added, filter)) for filter in filters]
    assert [(filter, a) for filter, a, _ in answers] == [(filter, b) for filter, _, b in answers]
    assert any(a for _, a, _ in answers)
    assert any(len(a) < len(VALUES) for _, a, _ in answers)


def test_the_view_shows_the_same_values(pair: tuple[Collection, Collection], sql: Sql) -> None:
    sql.execute("SET TimeZone = 'UTC'")
    names = ", ".join(f"{name}::text" for name in TYPES)
    shown = [
        sql.execute(f"SELECT document_id, {names} FROM collections.{collection.name} ORDER BY 1").fetchall()
        for collection in pair
    ]
    assert shown[0] == shown[1]
    assert len({row[1] for row in shown[0]}) > 3


def test_a_filter_on_an_added_field_uses_its_index(papers: Collection, sql: Sql) -> None:
    papers.add_field("year", "integer")
    index = f"{papers.space.table_name}_field_2"
    sql.execute("SET enable_seqscan = off")
    assert index in explained(sql, "SELECT document_id FROM collections.papers WHERE year = 1950")
    assert "Index" not in explained(sql, "SELECT document_id FROM collections.papers WHERE metadata ->> 'year' = '1'")
    condition = papers._searcher.condition({"year": {"$gte": 1999}})
    assert condition is not None
    asked = Explain(select(queried(papers.space).c.document_id).where(condition), "COSTS OFF")
    with papers._pools.searching.connect() as connection:
        assert index in "\n".join(connection.execute(asked).scalars())
    assert len(papers.search(embedding=[1, 0], top_k=100, filter={"year": 1950})) == 10


def test_postgresql_knows_how_many_rows_an_added_field_keeps(papers: Collection, sql: Sql) -> None:
    def rows() -> int:
        ((plan,),) = sql.execute("EXPLAIN (FORMAT JSON) SELECT FROM collections.papers WHERE year >= 1990").fetchall()
        return int(plan[0]["Plan"]["Plan Rows"])

    papers.add_field("year", "integer")
    assert 60 <= rows() <= 140


def test_documents_are_checked_from_then_on(papers: Collection) -> None:
    papers.add_field("year", "integer")
    with pytest.raises(InvalidInput, match="document 'x': field 'year' is an integer; got the text 'soon'"):
        papers.put([Document("x", "", {"year": "soon"}, embedding=[1, 1])])


def test_facets_and_boosts_know_an_added_field(papers: Collection) -> None:
    papers.add_field("year", "integer")
    assert papers.fields == {"lang": "text", "year": "integer"}
    assert papers.facets(["year"], limit=1)["year"].distinct == 100


# Other handles, and repetition


def test_another_handle_learns_of_it_when_it_is_opened_again(model_db: Database, papers: Collection, sql: Sql) -> None:
    before = model_db.collection("papers")
    papers.add_field("year", "integer")
    assert before.fields == {"lang": "text"}
    assert len(before.search(embedding=[1, 0], top_k=100, filter={"year": 1950})) == 10
    before.put([Document("x", "", {"year": "soon"}, embedding=[1, 1])])  # counts as missing
    after = model_db.collection("papers")
    assert after.fields == {"lang": "text", "year": "integer"}
    assert sql.execute("SELECT year FROM collections.papers WHERE document_id = 'x'").fetchall() == [(None,)]


def test_a_handle_that_asks_for_a_dropped_column_is_told_to_open_the_collection_again(
    model_db: Database, papers: Collection
) -> None:
    before = model_db.collection("papers")
    assert len(before.search(embedding=[1, 0], filter={"lang": "en"})) == 10
    papers.drop_field("lang")
    with pytest.raises(CollectionChanged, match="open it again"):
        before.search(embedding=[1, 0], filter={"lang": "en"})
    assert len(before.search(embedding=[1, 0])) == 10
    before.put([Document("x", "", {"lang": "en"}, embedding=[1, 1])])
    assert len(papers.search(embedding=[1, 0], filter={"lang": "en"})) == 10  # as any other key of the metadata


def test_a_handle_that_asks_for_an_added_field_that_was_dropped_is_still_right(
    model_db: Database, papers: Collection
) -> None:
    papers.add_field("year", "integer")
    before = model_db.collection("papers")
    papers.drop_field("year")
    assert len(before.search(embedding=[1, 0], top_k=100, filter={"year": 1950})) == 10


def test_the_number_of_a_dropped_field_is_never_used_again(papers: Collection) -> None:
    papers.add_field("year", "integer")
    papers.drop_field("year")
    papers.drop_field("lang")
    papers.add_field("lang", "text")
    assert [(field.number, field.name) for field in papers.space.fields] == [(3, "lang")]


def test_a_field_that_is_there_is_a_conflict(papers: Collection) -> None:
    papers.add_field("year", "integer")
    for name, type_ in (("lang", "text"), ("year", "integer"), ("year", "text")):
        with pytest.raises(Conflict, match=f"collection 'papers' has the field '{name}' of type"):
            papers.add_field(name, type_)


@pytest.mark.parametrize(
    ("name", "type_", "said"),
    [("embedding", "text", "is taken"), ("1", "text", "will not do"), ("year", "int", "did you mean 'integer'")],
)
def test_a_field_that_cannot_be_is_refused(papers: Collection, name: str, type_: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        papers.add_field(name, type_)


def test_a_field_that_is_not_there_cannot_be_dropped(papers: Collection) -> None:
    with pytest.raises(NotFound, match="has no field 'year'; its fields: lang"):
        papers.drop_field("year")


def test_no_more_fields_than_a_collection_may_have(model_db: Database) -> None:
    full = model_db.create_collection("full", dimensions=2, fields={f"f{number}": "text" for number in range(64)})
    with pytest.raises(InvalidInput, match="at most 64 fields"):
        full.add_field("one_more", "text")


# Interruptions and locks


def test_an_interrupted_addition_is_right_at_once_and_finished_by_the_next_call(
    papers: Collection, monkeypatch: pytest.MonkeyPatch, sql: Sql, model_db: Database
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(field_changes, "_build", interrupt)
        with pytest.raises(KeyboardInterrupt):
            papers.add_field("year", "integer")
    assert len(found(model_db.collection("papers"), {"year": 1950})) == 10
    papers.add_field("year", "integer")
    index = f"semsearch.{papers.space.table_name}_field_2"
    assert sql.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", [index]).fetchall() == [
        (True,)
    ]


def test_an_invalid_index_that_a_build_left_is_built_anew(papers: Collection, sql: Sql) -> None:
    papers.add_field("year", "integer")
    index = f"semsearch.{papers.space.table_name}_field_2"
    sql.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [index])
    papers.add_field("year", "integer")
    assert sql.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", [index]).fetchall() == [
        (True,)
    ]


def test_nothing_is_declared_while_an_index_is_being_built(papers: Collection) -> None:
    with index_build.alone(papers._pools.address, papers.space), pytest.raises(Conflict, match="just being built"):
        papers.add_field("year", "integer")
    assert papers.fields == {"lang": "text"}


def test_searches_and_puts_go_on_while_a_field_is_added(papers: Collection, sql: Sql) -> None:
    """An open transaction that has read the chunks holds up the index only, until it ends."""
    sql.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    sql.execute(f"SELECT count(*) FROM semsearch.{papers.space.table_name}")
    adding = threading.Thread(target=papers.add_field, args=("year", "integer"))
    adding.start()
    try:
        for number in range(20):
            papers.put([Document(f"n{number}", "", {"year": 1950, "lang": "en"}, embedding=[1, number])])
            assert len(papers.search(embedding=[1, 0], filter={"lang": "en"})) == 10
        assert adding.is_alive()
    finally:
        sql.execute("COMMIT")
        adding.join()
    assert len(papers.search(embedding=[1, 0], top_k=100, filter={"year": 1950})) == 30


def test_a_field_is_dropped_after_a_reader_that_ends_in_time(papers: Collection, sql: Sql) -> None:
    sql.execute("BEGIN")
    sql.execute("SELECT count(*) FROM collections.papers")
    ending = threading.Timer(0.5, sql.execute, ["COMMIT"])
    ending.start()
    papers.drop_field("lang")
    ending.join()
    assert papers.fields == {}


def test_a_view_of_ones_own_keeps_a_field_from_being_dropped(papers: Collection, sql: Sql) -> None:
    sql.execute("CREATE VIEW collections.mine AS SELECT lang FROM collections.papers")
    papers.add_field("year", "integer")
    with pytest.raises(Conflict, match="depend on it; drop what depends on it first"):
        papers.drop_field("year")
    assert papers.fields == {"lang": "text", "year": "integer"}
    sql.execute("DROP VIEW collections.mine")


def test_rights_on_the_view_stay(papers: Collection, sql: Sql) -> None:
    sql.execute("GRANT SELECT ON collections.papers TO PUBLIC")
    sql.execute("GRANT SELECT ON collections.papers TO pg_monitor WITH GRANT OPTION")

    def rights() -> Any:
        return sql.execute("SELECT relacl::text FROM pg_class WHERE oid = 'collections.papers'::regclass").fetchall()

    before = rights()
    papers.add_field("year", "integer")
    papers.drop_field("lang")
    assert rights() == before


def test_owner_comment_and_rights_to_columns_of_the_view_stay(papers: Collection, sql: Sql) -> None:
    sql.execute("GRANT SELECT (document_id, lang), UPDATE (text) ON collections.papers TO pg_monitor")
    sql.execute("COMMENT ON VIEW collections.papers IS 'What we publish'")
    sql.execute("ALTER VIEW collections.papers OWNER TO pg_database_owner")
    papers.add_field("year", "integer")
    papers.drop_field("lang")
    granted = """
        SELECT attname, a.privilege_type FROM pg_attribute CROSS JOIN aclexplode(attacl) a
        WHERE attrelid = 'collections.papers'::regclass AND a.grantee = 'pg_monitor'::regrole ORDER BY 1
    """
    assert sql.execute(granted).fetchall() == [("document_id", "SELECT"), ("text", "UPDATE")]
    held = (
        "SELECT relowner::regrole::text, obj_description(oid) FROM pg_class WHERE oid = 'collections.papers'::regclass"
    )
    assert sql.execute(held).fetchall() == [("pg_database_owner", "What we publish")]


# Attached tables, and the command line


def test_a_field_is_added_to_an_attached_collection(model_db: Database, articles: Sql) -> None:
    handbook = attach(model_db, metadata=["author", "views"])
    handbook.add_field("views", "integer")
    assert len(handbook.search("first", filter={"views": {"$gte": 0}})) == 2
    articles.execute("UPDATE shop.articles SET views = 7 WHERE id = 2")
    handbook.work()
    assert [hit.document_id for hit in handbook.search("first", filter={"views": 7})] == ["2"]
    handbook.drop_field("views")
    assert [hit.document_id for hit in handbook.search("first", filter={"views": 7})] == ["2"]
    model_db.drop_collection("handbook")


def test_the_command_line_lists_adds_and_drops_fields(cli: Cli) -> None:
    cli("create", "papers", "--dimensions", "2")
    assert cli("fields", "list", "papers").out == "papers: no fields\n"
    assert cli("fields", "add", "papers", "year:integer").out == "papers: field year of type integer is added\n"
    assert answer(cli("fields", "list", "papers", "--json")) == {"fields": {"year": "integer"}, "tenant": None}
    assert cli("fields", "list", "papers").out.split() == ["name", "type", "tenant", "year", "integer", "-"]
    cli("fields", "add", "papers", "year:integer", code=4)
    cli("fields", "add", "papers", "year", code=2)
    cli("fields", "drop", "papers", "year", code=2)  # nobody is here to answer
    assert cli("fields", "drop", "papers", "year", "--yes").out == "papers: field year is dropped\n"
    assert "has no field 'year'" in cli("fields", "drop", "papers", "year", "--yes", code=3).err


def test_the_ann_index_serves_after_fields_have_changed(model_db: Database) -> None:
    collection = model_db.create_collection("grown", dimensions=3, fields={"lang": "text"})
    embeddings = np.random.default_rng(1).standard_normal((500, 3)).astype(np.float32)
    collection.put(Document(f"d{n}", "", {"n": n, "lang": "en"}, embedding=row) for n, row in enumerate(embeddings))
    collection.create_index()
    collection.add_field("n", "integer")
    collection.drop_field("lang")
    assert collection.search(embedding=[1, 0, 0]).plan == "ann"
    assert collection.indexes()[0].valid


def test_one_build_may_follow_another_at_once(model_db: Database, sql: Sql) -> None:
    made = model_db.create_collection("made", dimensions=2)
    for _ in range(20):
        with index_build.alone(made._pools.address, made.space):
            pass
        free = "SELECT pg_try_advisory_lock(%s, %s), pg_advisory_unlock_all()"
        assert sql.execute(free, (index_build.BUILD_LOCK, made.space.id)).fetchone() == (True, "")
