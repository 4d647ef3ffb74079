"""What psql's \\d+ and \\df+ show: every object described, every signature as it is written down in golden/.

WRITE_GOLDEN=1 pytest tests/integration/test_sql_catalogue.py writes the signatures down anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from psycopg import errors

import semsearch
from semsearch.collection import Collection
from semsearch.config import Settings
from semsearch.database import Database
from semsearch.store import migrate
from semsearch.store.connection import Address
from tests.integration.attaching import attach
from tests.integration.hands import MODEL
from tests.integration.test_migrations import run

Sql = psycopg.Connection[Any]

GOLDEN = Path(__file__).parent / "golden" / "signatures.txt"
OURS = "('semsearch'::regnamespace, 'semsearch_attached'::regnamespace, 'collections'::regnamespace)"
BARE = {
    "relations": f"""
        SELECT c.oid::regclass::text FROM pg_class c
        WHERE c.relnamespace IN {OURS} AND c.relkind NOT IN ('i', 'I', 't', 'c')
          AND obj_description(c.oid, 'pg_class') IS NULL
    """,
    "columns": f"""
        SELECT c.oid::regclass || '.' || a.attname
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace IN {OURS} AND c.relkind NOT IN ('i', 'I', 't', 'S')
          AND col_description(c.oid, a.attnum) IS NULL
    """,
    "routines": f"""
        SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace IN {OURS} AND obj_description(p.oid, 'pg_proc') IS NULL
    """,
    "types": f"""
        SELECT t.oid::regtype::text FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
        WHERE t.typnamespace IN {OURS} AND obj_description(t.oid, 'pg_type') IS NULL
    """,
    "schemas": f"SELECT nspname FROM pg_namespace WHERE oid IN {OURS} AND obj_description(oid, 'pg_namespace') IS NULL",
}
# What attach makes for a table is called after the collection's number.
SIGNATURES = """
SELECT format('%s %s(%s)%s', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.proname,
              pg_get_function_arguments(p.oid), ' RETURNS ' || pg_get_function_result(p.oid))
FROM pg_proc p
WHERE p.pronamespace = 'semsearch'::regnamespace AND p.proname !~ '_[0-9]+$'
ORDER BY p.proname COLLATE "C"
"""
FOR_PEOPLE = ("attach", "detach", "search", "similar", "put", "delete", "embed", "retry", "purge_failures")


def signatures(sql: Sql) -> list[str]:
    return [line for (line,) in sql.execute(SIGNATURES)]


def bare(sql: Sql) -> dict[str, list[str]]:
    found = {kind: [name for (name,) in sql.execute(query)] for kind, query in BARE.items()}
    return {kind: names for kind, names in found.items() if names}


def test_every_object_and_every_column_is_described(model_db: Database, articles: Sql) -> None:
    fields = {"year": "integer", "customer": "text"}
    attach(model_db, fields=fields, metadata=["views"], wait=False)
    tickets = model_db.create_collection("tickets", model=MODEL, fields=fields, tenant="customer")
    name = f"described_{os.getpid()}"
    articles.execute(f"CREATE ROLE {name}")
    try:
        tickets.grant_tenant("ann", name)
        tickets.add_field("later", "date")
        tickets.drop_field("year")
        tickets.set_language("german")
        assert bare(articles) == {}
        view = "SELECT col_description('collections.tickets'::regclass, attnum) FROM pg_attribute "
        later = articles.execute(
            f"{view} WHERE attrelid = 'collections.tickets'::regclass AND attname = 'later'"
        ).fetchone()
        assert later == ("The declared field later, from the metadata.",)
    finally:
        articles.execute(f"DROP OWNED BY {name}")
        articles.execute(f"DROP ROLE {name}")


def test_a_table_that_is_being_indexed_is_waited_for_once(notes: Collection, sql: Sql, other_sql: Sql) -> None:
    table = notes.space.table_name
    sql.execute(f"COMMENT ON TABLE semsearch.{table} IS NULL; COMMENT ON COLUMN semsearch.{table}.text IS NULL")
    sql.execute(f"COMMENT ON COLUMN semsearch.{table}.hash IS NULL; COMMENT ON VIEW collections.notes IS NULL")
    describe = "SELECT semsearch.describe_collection(id) FROM semsearch.collections WHERE name = 'notes'"
    described = (
        "SELECT obj_description('collections.notes'::regclass) IS NOT NULL, "
        f"obj_description('semsearch.{table}'::regclass) IS NOT NULL"
    )
    other_sql.execute("BEGIN")
    with sql.transaction():
        sql.execute(f"LOCK TABLE semsearch.{table} IN SHARE MODE")  # as CREATE INDEX takes
        other_sql.execute(describe)
    other_sql.execute(describe)  # it was given up for this transaction
    assert other_sql.execute(described).fetchone() == (True, False)
    other_sql.execute("COMMIT")
    other_sql.execute(describe)
    assert other_sql.execute(described).fetchone() == (True, True)
    other_sql.execute("SELECT semsearch.describe_collection(NULL), semsearch.describe_collection(0)")


def test_what_people_call_is_described_as_in_a_manual(model_db: Database, sql: Sql) -> None:
    for name in FOR_PEOPLE:
        row = sql.execute(
            "SELECT obj_description(oid, 'pg_proc'), proargnames, pronargs FROM pg_proc "
            "WHERE pronamespace = 'semsearch'::regnamespace AND proname = %s",
            (name,),
        ).fetchone()
        assert row is not None
        said, arguments, count = row
        assert "Example: " in said, name
        assert [argument for argument in arguments[:count] if argument not in said] == [], name


def test_signatures_are_those_that_are_written_down(model_db: Database, sql: Sql) -> None:
    if os.environ.get("WRITE_GOLDEN"):
        GOLDEN.write_text("\n".join(signatures(sql)) + "\n")
    assert signatures(sql) == GOLDEN.read_text().splitlines()
    names = [line.partition("(")[0] for line in signatures(sql)]
    assert len(set(names)) == len(names)  # so that no call can mean two


def test_a_call_with_any_documented_arguments_means_one_function(model_db: Database, sql: Sql) -> None:
    """Planned only, with text literals as people type them: none is ambiguous or unknown."""
    for call in (
        "SELECT * FROM semsearch.search('c', 'q')",
        "SELECT * FROM semsearch.search('c', 'q', 5, '$.year > 2020')",
        "SELECT * FROM semsearch.search('c', embedding => '[1]', top_k => 5, filter => '$.year > 2020')",
        "SELECT * FROM semsearch.similar('c', 'a', 5, '$.year > 2020')",
        "SELECT * FROM semsearch.similar(collection => 'c', document_id => 'a')",
        "SELECT semsearch.put('c', 'a', 'text')",
        "SELECT semsearch.put('c', 'a', 'text', '{}', 'title')",
        "SELECT semsearch.put('c', 'a', 'text', title => 'title')",
        "SELECT semsearch.delete('c', 'a')",
        "SELECT semsearch.retry('c')",
        "SELECT semsearch.purge_failures('c', since => now())",
        "SELECT semsearch.attach('c', 'pg_class', '{relname}')",
        "SELECT semsearch.detach('c')",
    ):
        sql.execute(f"EXPLAIN {call}")
    for call in ("CALL semsearch.embed('c', 'q')", "CALL semsearch.embed('c', 'q', timeout => '1 s')"):
        with pytest.raises(errors.NoDataFound, match="'c' does not exist"):
            sql.execute(call)


def test_an_upgrade_from_before_leaves_exactly_these(settings: Settings, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as sql:
        now = signatures(sql)
        with semsearch.connect(settings=settings) as db:
            db.create_collection("filled", dimensions=2)
        run(settings, command.downgrade, "0003")
        before = signatures(sql)
        later = {"search", "similar", "put", "delete", "embed", "find_space", "describe", "request_embedding"}
        assert not {line.split("(")[0].split()[1] for line in before} & later
        assert sql.execute(
            "SELECT to_regclass('semsearch.collection_spaces'), to_regtype('semsearch.hit')"
        ).fetchone() == (
            None,
            None,
        )
        with Address(settings) as address:
            migrate.upgrade(address)
        assert signatures(sql) == now
        assert bare(sql) == {}


def test_who_may_call_what_crosses_a_role(model_db: Database, sql: Sql) -> None:
    """Functions of the owner's have a fixed search_path, and are not everybody's."""
    loose = sql.execute(
        "SELECT p.oid::regprocedure::text, p.proconfig FROM pg_proc p "
        "WHERE p.pronamespace = 'semsearch'::regnamespace AND p.prosecdef AND ("
        "  NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)"
        "  OR has_function_privilege('public', p.oid, 'EXECUTE'))"
    ).fetchall()
    assert loose == []
    views = sql.execute(
        f"SELECT oid::regclass::text FROM pg_class WHERE relkind = 'v' AND relnamespace IN {OURS} "
        "AND NOT coalesce('security_invoker=true' = ANY (reloptions), false)"
    ).fetchall()
    assert views == []


def test_spaces_are_shown_with_their_index(model_db: Database, sql: Sql) -> None:
    given = model_db.create_collection("given", dimensions=2)
    given.put([{"id": str(number), "text": "x", "embedding": [1, number]} for number in range(50)])
    sql.execute(f"ANALYZE semsearch.{given.space.table_name}")
    seen = "SELECT state, model, dimensions, distance, vector_type, index, index_is_valid, chunks, bytes > 0 "
    query = f"{seen} FROM semsearch.collection_spaces WHERE collection = 'given'"
    assert sql.execute(query).fetchone() == ("live", None, 2, "cosine", "vector", None, None, 50, True)
    given.create_index()
    row = sql.execute(query).fetchone()
    assert row is not None
    assert row[5:7] == ("hnsw", True)
