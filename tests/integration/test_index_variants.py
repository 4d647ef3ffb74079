"""Indexes that hold half precision, signs or a prefix; partial ones; ones made by hand: built, understood, used."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sqlalchemy import literal
from sqlalchemy.dialects import postgresql

from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import Conflict, InvalidInput
from semsearch.store import index_build, indexes, nearest
from semsearch.store.index_statements import Options, options_of
from tests.integration.indexing import clustered, filled

Sql = psycopg.Connection[Any]

VARIANTS = [
    ("none", None, "(embedding vector_cosine_ops)"),
    ("halfvec", None, "(((embedding)::halfvec(16)) halfvec_cosine_ops)"),
    ("binary", None, "(((binary_quantize(embedding))::bit(16)) bit_hamming_ops)"),
    ("none", 8, "(((subvector(embedding, 1, 8))::vector(8)) vector_cosine_ops)"),
    ("halfvec", 8, "(((subvector(embedding, 1, 8))::halfvec(8)) halfvec_cosine_ops)"),
    ("binary", 8, "(((binary_quantize(subvector(embedding, 1, 8)))::bit(8)) bit_hamming_ops)"),
]


@pytest.fixture
def small(model_db: Database) -> Collection:
    return filled(model_db, "small", 60, 16, fields={"owner": "text"}, tenant="owner")


def plan_of(sql: Sql, collection: Collection) -> str:
    """The plan of the nearest ten by the collection's index."""
    (index,) = collection.indexes()
    scan = nearest.Scan("ann", index, 20)
    asked = nearest.leg(collection.space, scan, None, literal(10))
    compiled = asked.compile(dialect=postgresql.psycopg.dialect())  # type: ignore[no-untyped-call]
    values = compiled.params | nearest.parameters(collection.space, scan, clustered(1, 16)[0], 10)
    values["query"] = str(values["query"].tolist())
    with sql.transaction():
        sql.execute("SET LOCAL enable_seqscan = off")
        sql.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        statement = compiled.string.replace("%(query)s", f"'{values['query']}'::vector")
        return "\n".join(row[0] for row in sql.execute(f"EXPLAIN {statement}", values))


@pytest.mark.parametrize("kind", ["hnsw", "ivfflat"])
@pytest.mark.parametrize(("quantization", "dimensions", "definition"), VARIANTS)
def test_every_variant_is_built_understood_and_used_by_searches(
    small: Collection, sql: Sql, kind: str, quantization: str, dimensions: int | None, definition: str
) -> None:
    options = Options(kind, quantization=quantization, dimensions=dimensions)  # type: ignore[arg-type]
    index_build.build(small._pools.address, small._pools.writing, small.space, options)
    (index,) = small.indexes()
    assert definition in index.definition
    assert (index.kind, index.quantization, index.dimensions) == (kind, quantization, dimensions or 16)
    assert (index.serves, index.predicate) == (True, None)
    built = options_of(index, small.space)
    assert (built.quantization, built.dimensions) == (quantization, dimensions)
    assert f"Index Scan using {index.name}" in plan_of(sql, small)


@pytest.mark.parametrize(
    ("made", "serves", "quantization"),
    [
        ("hnsw ((embedding::halfvec(16)) halfvec_cosine_ops)", True, "halfvec"),
        ("ivfflat (embedding vector_cosine_ops) WITH (lists = 3)", True, "none"),
        ("hnsw (embedding vector_l2_ops)", False, "none"),
        ("hnsw ((l2_normalize(embedding)::vector(16)) vector_cosine_ops)", False, "none"),
        ("hnsw ((subvector(embedding, 3, 8)::vector(8)) vector_cosine_ops)", False, "none"),
    ],
)
def test_an_index_made_by_hand_serves_where_searches_can_use_it(
    small: Collection, sql: Sql, made: str, serves: bool, quantization: str
) -> None:
    sql.execute(f"CREATE INDEX by_hand ON semsearch.{small.space.table_name} USING {made}")
    (index,) = small.indexes()
    assert (index.name, index.serves, index.quantization) == ("by_hand", serves, quantization)
    assert (indexes.main([index]) is None) == (not serves)


def test_an_index_of_another_distance_does_not_keep_the_right_one_from_being_built(small: Collection, sql: Sql) -> None:
    sql.execute(f"CREATE INDEX by_hand ON semsearch.{small.space.table_name} USING hnsw (embedding vector_l2_ops)")
    index_build.build(small._pools.address, small._pools.writing, small.space, Options())
    assert {index.name: index.serves for index in small.indexes()} == {
        "by_hand": False,
        f"{small.space.table_name}_embedding": True,
    }


def test_a_tenant_can_have_an_index_of_his_own(small: Collection, sql: Sql) -> None:
    tenant = "o'1%\\"
    for name in (tenant, "o2"):
        index_build.build(small._pools.address, small._pools.writing, small.space, Options(tenant=name))
    found = {index.name: index for index in small.indexes()}
    assert set(found) == {indexes.name(small.space, tenant), indexes.name(small.space, "o2")}
    index = found[indexes.name(small.space, tenant)]
    assert index.predicate is not None
    assert index.serves
    assert indexes.main(list(found.values())) is None  # of nobody else's chunks
    with sql.transaction():
        sql.execute("SET LOCAL enable_seqscan = off")
        query = f"SELECT ordinal FROM semsearch.{small.space.table_name} WHERE field_1 = %s ORDER BY embedding <=> %s"
        plan = sql.execute(f"EXPLAIN {query} LIMIT 3", (tenant, str([1.0] * 16))).fetchall()
    assert any(index.name in line for (line,) in plan)
    with pytest.raises(Conflict, match="drop it first"):
        index_build.build(small._pools.address, small._pools.writing, small.space, Options(tenant="o2"))
    index_build.build(small._pools.address, small._pools.writing, small.space, Options())
    assert len(small.indexes()) == 3


def test_words_get_an_index_where_there_is_full_text(model_db: Database, sql: Sql) -> None:
    for name, language in (("english", "english"), ("none", None)):
        collection = filled(model_db, name, 20, 4, language=language)
        index_build.build(collection._pools.address, collection._pools.writing, collection.space, Options())
        table = collection.space.table_name
        found = sql.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", (f"{table}_terms",)).fetchall()
        assert bool(found) == (language is not None)
        assert all("USING gin (terms)" in definition for (definition,) in found)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"quantization": "none"}, "an index on vector takes at most 2000 dimensions, not 2500"),
        ({"kind": "ivfflat"}, "no operator class for l1"),
    ],
)
def test_what_pgvector_cannot_build_is_refused(model_db: Database, options: dict[str, Any], problem: str) -> None:
    wide = model_db.create_collection("wide", dimensions=2500, vector_type="vector", distance="l1")
    with pytest.raises(InvalidInput, match=problem):
        index_build.build(wide._pools.address, wide._pools.writing, wide.space, Options(**options))


def test_half_precision_of_half_precision_is_refused(model_db: Database) -> None:
    half = model_db.create_collection("half", dimensions=4, vector_type="halfvec")
    with pytest.raises(InvalidInput, match="halfvec already"):
        index_build.build(half._pools.address, half._pools.writing, half.space, Options(quantization="halfvec"))
