"""What the doctor finds in tables with vectors: ours, and those that anybody made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine

from semsearch.cli import contents
from semsearch.cli.checks import Check
from semsearch.database import Database
from semsearch.store import indexes, inspection
from semsearch.store.server_memory import Server
from tests.integration.indexing import filled

Sql = psycopg.Connection[Any]


@pytest.fixture
def items(sql: Sql, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A table of somebody's own, with twenty vectors, which count as many."""
    monkeypatch.setattr(indexes, "AUTOMATIC_FROM", 20)
    sql.execute("CREATE SCHEMA shop; CREATE TABLE shop.items (id int PRIMARY KEY, embedding vector(3))")
    sql.execute("INSERT INTO shop.items SELECT n, ARRAY[n, 1, 1]::vector FROM generate_series(1, 20) n")
    sql.execute("ANALYZE shop.items")
    yield "shop.items"
    sql.execute("DROP SCHEMA shop CASCADE")


def checks(db: Database, topic: str | None = None) -> list[Check]:
    with db._pools.writing.connect() as connection:
        return [check for check in contents.vectors(connection) if topic in (None, check.name)]


def only(db: Database, topic: str) -> Check:
    (check,) = checks(db, topic)
    return check


def test_a_sound_database_gets_one_line_for_each_topic(model_db: Database, items: str, sql: Sql) -> None:
    sql.execute(f"CREATE INDEX ON {items} USING hnsw (embedding vector_cosine_ops)")
    assert [(check.name, check.state) for check in checks(model_db)] == [
        ("tables", "ok"),
        ("ANN indexes", "ok"),
        ("memory", "ok"),
        ("statements", "ok"),
    ]
    assert only(model_db, "ANN indexes").found == "answer shop.items_embedding_idx <=>"


def test_a_large_table_without_an_index_is_told_the_statement(model_db: Database, items: str, sql: Sql) -> None:
    check = only(model_db, "tables")
    assert (check.state, check.found) == ("warn", "shop.items.embedding has 20 rows and no ANN index")
    assert check.advice == "CREATE INDEX CONCURRENTLY ON shop.items USING hnsw (embedding vector_cosine_ops);"
    sql.execute(check.advice)
    assert only(model_db, "tables").state == "ok"


def test_the_index_that_is_advised_is_for_the_operator_that_is_used(model_db: Database, items: str, sql: Sql) -> None:
    sql.execute(f"CREATE VIEW shop.near AS SELECT id FROM {items} ORDER BY embedding <-> '[1,2,3]' LIMIT 5")
    assert "vector_l2_ops" in only(model_db, "tables").advice


@pytest.mark.parametrize(
    ("type_", "held"),
    [
        ("vector(2001)", "((embedding::halfvec(2001)) halfvec_cosine_ops)"),
        ("halfvec(4001)", "((binary_quantize(embedding)::bit(4001)) bit_hamming_ops)"),
        ("sparsevec(9)", "(embedding sparsevec_cosine_ops)"),
    ],
)
def test_the_index_that_is_advised_can_be_built(
    model_db: Database, items: str, sql: Sql, type_: str, held: str
) -> None:
    sql.execute(f"TRUNCATE {items}; ALTER TABLE {items} ALTER COLUMN embedding TYPE {type_} USING NULL")
    sql.execute(f"INSERT INTO {items} SELECT n FROM generate_series(1, 20) n")
    sql.execute(f"ANALYZE {items}")
    (check,) = checks(model_db, "tables")
    assert held in check.advice
    sql.execute(check.advice)


def test_a_column_of_any_length_cannot_be_indexed(model_db: Database, items: str, sql: Sql) -> None:
    sql.execute(f"ALTER TABLE {items} ALTER COLUMN embedding TYPE vector")
    assert "no index can be built" in only(model_db, "tables").found


def test_vectors_out_of_their_rows_are_noticed(model_db: Database, items: str, sql: Sql) -> None:
    sql.execute(f"TRUNCATE {items}; ALTER TABLE {items} ALTER COLUMN embedding TYPE vector(768) USING NULL")
    sql.execute(f"INSERT INTO {items} SELECT n FROM generate_series(1, 20) n")
    sql.execute(f"CREATE INDEX ON {items} USING hnsw (embedding vector_cosine_ops); ANALYZE {items}")
    check = only(model_db, "tables")
    assert "TOAST" in check.found
    sql.execute(check.advice.partition(";")[0])
    assert only(model_db, "tables").state == "ok"


def test_dead_rows_and_missing_statistics_are_noticed(
    model_db: Database, items: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "DEAD_ROWS", 5)
    monkeypatch.setattr(inspection, "LARGE_TABLE", 1)
    sql.execute(f"ALTER TABLE {items} SET (autovacuum_enabled = off)")
    sql.execute(f"CREATE INDEX by_hand ON {items} USING hnsw (embedding vector_cosine_ops)")
    sql.execute(f"DELETE FROM {items} WHERE id > 10")
    sql.execute("SELECT pg_stat_force_next_flush()")
    sql.execute("CREATE TABLE shop.fresh AS SELECT * FROM shop.items")
    found = {check.found: check.advice for check in checks(model_db, "tables")}
    assert found == {
        "shop.fresh has no statistics, so plans are guesses": "ANALYZE shop.fresh;",
        "shop.items has 10 dead rows, which searches walk through": (
            "REINDEX INDEX CONCURRENTLY shop.by_hand; VACUUM shop.items;"
        ),
    }


@pytest.mark.parametrize(("name", "verb"), [("by_hand", "REINDEX"), ("by_hand_ccnew", "DROP")])
def test_an_invalid_index_is_noticed(model_db: Database, items: str, sql: Sql, name: str, verb: str) -> None:
    sql.execute(f"CREATE INDEX {name} ON {items} USING hnsw (embedding vector_cosine_ops)")
    sql.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", (f"shop.{name}",))
    check = only(model_db, "ANN indexes")
    assert check.found == f"shop.{name} is invalid: its build was cut off"
    assert check.advice == f"{verb} INDEX CONCURRENTLY shop.{name};"
    sql.execute(check.advice)
    assert only(model_db, "ANN indexes").state == "ok"


def test_indexes_that_have_outgrown_the_memory_are_noticed(model_db: Database, items: str, sql: Sql) -> None:
    sql.execute(f"CREATE INDEX by_hand ON {items} USING hnsw (embedding vector_cosine_ops)")
    with model_db._pools.writing.connect() as connection:
        found = inspection.ann_indexes(connection)
    small = Server(shared_buffers=8192, maintenance_work_mem=2**20, effective_cache_size=2**30, processes=2)
    said = [finding.found for finding in inspection.of_memory(found, small)]
    assert said == [
        "shop.by_hand is larger than shared_buffers (1MB)",
        "the graph of shop.by_hand no longer fits maintenance_work_mem, so that to build it anew is slow",
    ]
    tiny = small._replace(effective_cache_size=8192, maintenance_work_mem=2**30)
    (finding,) = inspection.of_memory(found, tiny)
    assert "larger than effective_cache_size" in finding.found


def test_little_memory_for_iterative_scans_is_noticed(model_db: Database, sql: Sql) -> None:
    with model_db._pools.writing.connect() as connection, connection.begin():
        connection.exec_driver_sql("SET LOCAL work_mem = '1MB'")
        (finding,) = inspection.of_scans(connection)
    assert finding.found == "an iterative scan has memory for 5,242 of 20,000 nodes"
    assert finding.advice == "ALTER ROLE CURRENT_USER SET work_mem = '4MB';"


# Statements


@pytest.mark.parametrize(
    ("made", "problem", "advice"),
    [
        (
            "VIEW shop.near AS SELECT id, 1 - (embedding <=> '[1,2,3]') AS similarity FROM shop.items"
            " ORDER BY similarity DESC LIMIT 5",
            "view shop.near orders in descending order",
            r"^ORDER BY (items\.)?embedding <=> \$1::vector LIMIT 10, ",
        ),
        (
            "VIEW shop.near AS SELECT id FROM shop.items ORDER BY embedding <-> '[1,2,3]' LIMIT 5",
            r"view shop.near orders shop.items by (items\.)?embedding <->",
            r"^Write ORDER BY embedding <=> \$1,",
        ),
        (
            "FUNCTION shop.near(query vector) RETURNS SETOF int LANGUAGE sql AS"
            " 'SELECT id FROM shop.items ORDER BY 1 - (embedding <=> query) LIMIT 5'",
            r"function shop.near\(vector\) orders by an expression",
            "^ORDER BY embedding <=> query LIMIT 10, ",
        ),
    ],
)
def test_orderings_that_no_index_answers_are_noticed(
    model_db: Database, items: str, sql: Sql, made: str, problem: str, advice: str
) -> None:
    sql.execute(f"CREATE INDEX ON {items} USING hnsw (embedding vector_cosine_ops)")
    sql.execute(f"CREATE {made}")
    check = only(model_db, "statements")
    assert re.search(problem, check.found)
    assert re.search(advice, check.advice)


def test_an_index_on_a_cast_is_not_used_without_the_cast(model_db: Database, items: str, sql: Sql) -> None:
    sql.execute(f"CREATE INDEX ON {items} USING hnsw ((embedding::halfvec(3)) halfvec_cosine_ops)")
    sql.execute(f"CREATE VIEW shop.cast AS SELECT id FROM {items} ORDER BY embedding::halfvec(3) <=> '[1,2,3]' LIMIT 5")
    assert only(model_db, "statements").state == "ok"
    sql.execute(f"CREATE VIEW shop.bare AS SELECT id FROM {items} ORDER BY embedding <=> '[1,2,3]' LIMIT 5")
    check = only(model_db, "statements")
    assert re.search(r"view shop.bare orders shop.items by (items\.)?embedding <=>", check.found)
    assert "halfvec(3)" in check.advice


def test_statements_that_ran_are_looked_at(model_db: Database, items: str, sql: Sql) -> None:
    """The embedded server does not load pg_stat_statements: a view of its shape stands in."""
    sql.execute(f"CREATE INDEX ON {items} USING hnsw (embedding vector_cosine_ops)")
    sql.execute(
        "CREATE VIEW shop.pg_stat_statements AS SELECT 5::bigint AS calls,"
        " 'SELECT id, $1 - (embedding <=> $2) AS s FROM shop.items ORDER BY s DESC LIMIT $3'::text AS query"
    )
    found = [check.found for check in checks(model_db, "statements") if "a statement" in check.found]
    assert found == [
        "a statement orders in descending order, which no index answers: "
        "SELECT id, $1 - (embedding <=> $2) AS s FROM shop.items ORDER BY s DESC LIMIT $3"
    ]


def test_a_role_that_may_read_nothing_is_told_as_much(
    model_db: Database, items: str, sql: Sql, module_database_url: str
) -> None:
    sql.execute("CREATE ROLE nobody_much LOGIN PASSWORD 'secret'")
    url = psycopg.conninfo.make_conninfo(module_database_url, user="nobody_much", password="secret")
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    try:
        with engine.connect() as connection:
            found = {check.name: check.state for check in contents.vectors(connection)}
        assert found["tables"] == "warn"
    finally:
        engine.dispose()
        sql.execute("DROP ROLE nobody_much")


# Our own


def test_a_collection_that_needs_an_index_is_told_the_command(
    model_db: Database, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = filled(model_db, "grown", 30, 4)
    monkeypatch.setattr(indexes, "AUTOMATIC_FROM", 20)
    sql.execute("UPDATE semsearch.spaces SET index_kind = 'auto' WHERE id = %s", (collection.space.id,))
    space = model_db.collection("grown").space
    with model_db._pools.writing.connect() as connection:
        check = contents.indexes(connection, [space])
        assert (check.state, check.advice) == ("warn", "Run `semsearch index create grown`.")
    sql.execute(f"CREATE INDEX by_hand ON semsearch.{space.table_name} USING hnsw (embedding vector_l1_ops)")
    with model_db._pools.writing.connect() as connection:
        check = contents.indexes(connection, [space])
    assert check.found == "not of the collection's distance: by_hand"
    assert check.advice == "Run `semsearch index rebuild grown`."
