"""Rebuilding: the same index anew, or one with other options, beside the old one until it is done."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import InvalidInput, NotFound
from semsearch.store import index_build, index_rebuild, indexes
from semsearch.store.index_statements import Options
from tests.integration.indexing import filled

Sql = psycopg.Connection[Any]


@pytest.fixture
def built(model_db: Database) -> Collection:
    collection = filled(model_db, "built", 60, 8)
    index_build.build(collection._pools.address, collection._pools.writing, collection.space, Options())
    return collection


def rebuild(collection: Collection, options: Options | None = None, on_tuples: Any = None) -> list[str]:
    return index_rebuild.rebuild(
        collection._pools.address, collection._pools.writing, collection.space, options, on_tuples
    )


def file_of(sql: Sql, name: str) -> Any:
    return sql.execute("SELECT pg_relation_filenode(%s::regclass)", (f"semsearch.{name}",)).fetchone()


def test_the_same_index_is_built_anew_and_dead_rows_are_removed(built: Collection, sql: Sql) -> None:
    table = built.space.table_name
    name = indexes.name(built.space)
    before = file_of(sql, name)
    sql.execute(f"ALTER TABLE semsearch.{table} SET (autovacuum_enabled = off)")
    built.delete([f"d{at}" for at in range(30)])
    assert rebuild(built) == [name]
    assert file_of(sql, name) != before
    clean = "SELECT relpages > 0 AND relallvisible = relpages FROM pg_class WHERE oid = %s::regclass"
    assert sql.execute(clean, (f"semsearch.{table}",)).fetchone() == (True,)


def test_other_options_make_another_index_under_the_same_name(built: Collection) -> None:
    assert rebuild(built, Options(m=8, quantization="halfvec")) == [indexes.name(built.space)]
    (index,) = built.indexes()
    assert (index.quantization, index.settings["m"], index.serves) == ("halfvec", 8, True)


def test_options_are_for_the_index_of_the_whole_collection(model_db: Database) -> None:
    shared = model_db.create_collection("shared", dimensions=2, fields={"who": "text"}, tenant="who")
    shared.put(Document(f"d{at}", "", {"who": "a"}, embedding=[1, at]) for at in range(9))
    whole, own = indexes.name(shared.space), indexes.name(shared.space, "a")
    for tenant in (None, "a"):
        index_build.build(shared._pools.address, shared._pools.writing, shared.space, Options(tenant=tenant))
    with pytest.raises(InvalidInput, match="create it anew"):
        shared.rebuild_index(tenant="a", m=8)
    assert shared.rebuild_index(quantization="halfvec") == [whole]
    assert {index.name: index.quantization for index in shared.indexes()} == {whole: "halfvec", own: "none"}
    assert set(shared.rebuild_index()) == {whole, own}


def test_the_old_index_is_there_until_the_new_one_is_valid(
    built: Collection, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[list[str]] = []
    real = index_build.drop_one

    def spy(*arguments: Any) -> None:
        there.append([index.name for index in built.indexes() if index.valid])
        real(*arguments)

    monkeypatch.setattr(index_build, "drop_one", spy)
    rebuild(built, Options("ivfflat"))
    name = indexes.name(built.space)
    assert there == [[name, f"{name}_new"]]


@pytest.mark.parametrize("after", ["drop", "create"])
def test_a_rebuild_that_was_cut_off_is_finished_by_the_next(
    built: Collection, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    real = index_build.drop_one
    name = indexes.name(built.space)

    def cut_off(connection: Any, dropped: str) -> None:
        if after == "drop":
            real(connection, dropped)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(index_build, "drop_one", cut_off)
        with pytest.raises(KeyboardInterrupt):
            rebuild(built, Options(m=8))
    assert f"{name}_new" in {index.name for index in built.indexes() if index.serves}
    rebuild(built, Options(m=8))
    (index,) = built.indexes()
    assert (index.settings["m"], index.serves) == (8, True)
    rebuild(built, Options(m=12))
    assert [(index.name, index.settings["m"]) for index in built.indexes()] == [(name, 12)]


def test_what_reindex_left_is_dropped_first(built: Collection, sql: Sql) -> None:
    name = indexes.name(built.space)
    sql.execute(f"CREATE INDEX {name}_ccnew ON semsearch.{built.space.table_name} USING hnsw (embedding vector_l2_ops)")
    left = f"semsearch.{name}_ccnew"
    sql.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", (left,))
    assert rebuild(built) == [name]


def test_a_collection_without_an_index_has_nothing_to_rebuild(built: Collection) -> None:
    built.drop_index()
    with pytest.raises(NotFound, match="no index"):
        rebuild(built)


def test_options_are_checked_before_anything_is_done(built: Collection) -> None:
    with pytest.raises(InvalidInput, match="at least twice m"):
        rebuild(built, Options(m=60))
    assert [index.valid for index in built.indexes()] == [True]
