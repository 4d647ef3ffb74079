"""Triggers that do not fire and indexes that are invalid: named with what heals them, and healed where that is safe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from semsearch.collection import Collection
from tests.integration.hands import kinds
from tests.integration.verifying import chunks, filled, repaired

__all__ = ["chunks", "filled"]

Sql = psycopg.Connection[Any]

TRIGGERS = (
    *("documents_enqueue_insert", "documents_enqueue_update", "documents_enqueue_delete"),
    "documents_enqueue_truncate",
)


# Triggers


@pytest.fixture
def enabled(sql: Sql) -> Iterator[None]:
    """Whatever a test does to the triggers, those after it find them as they were."""
    definitions = sql.execute("SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = ANY(%s)", (list(TRIGGERS),))
    statements = [definition for (definition,) in definitions.fetchall()]
    yield
    for name in TRIGGERS:
        sql.execute(f"DROP TRIGGER IF EXISTS {name} ON semsearch.documents")
    for statement in statements:
        sql.execute(statement)


@pytest.mark.parametrize("how", ["DISABLE", "ENABLE REPLICA"])
def test_a_trigger_that_does_not_fire_is_named_with_the_command_that_heals_it(
    filled: Collection, sql: Sql, enabled: None, how: str
) -> None:
    sql.execute(f"ALTER TABLE semsearch.documents {how} TRIGGER documents_enqueue_update")
    sql.execute("UPDATE semsearch.documents SET text = 'other' WHERE id = 'd1'")
    done = filled.verify(repair=True)
    assert kinds(done) == {"stale": (1, ["d1"])}
    assert not done.healed
    (trigger,) = done.triggers
    assert (trigger.name, trigger.state) == ("documents_enqueue_update", "disabled")
    sql.execute(trigger.command)
    repaired(filled, sql)


def test_what_was_restored_with_all_triggers_disabled_is_found(filled: Collection, sql: Sql, enabled: None) -> None:
    """As `pg_restore --data-only --disable-triggers` does it."""
    sql.execute("ALTER TABLE semsearch.documents DISABLE TRIGGER ALL")
    sql.execute("DELETE FROM semsearch.documents WHERE id = 'd1'")
    sql.execute(
        "INSERT INTO semsearch.documents (collection_id, id, text) SELECT collection_id, 'r', 'restored' FROM "
        "semsearch.documents WHERE id = 'd2'"
    )
    sql.execute("ALTER TABLE semsearch.documents ENABLE TRIGGER ALL")
    assert kinds(filled.verify()) == {"missing": (1, ["r"]), "orphaned": (1, ["d1"])}
    repaired(filled, sql)


def test_a_trigger_that_is_gone_is_named(filled: Collection, sql: Sql, enabled: None) -> None:
    sql.execute("DROP TRIGGER documents_enqueue_insert ON semsearch.documents")
    (trigger,) = filled.verify().triggers
    assert (trigger.name, trigger.state, trigger.command) == (
        "documents_enqueue_insert",
        "missing",
        "semsearch migrate",
    )


# Indexes


def test_an_invalid_index_is_dropped_and_built_again_as_it_was(filled: Collection, sql: Sql, chunks: str) -> None:
    filled.create_index("hnsw", m=8, ef_construction=20)
    (index,) = filled.indexes()
    sql.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", (f"semsearch.{index.name}",))
    found = filled.verify()
    assert found.indexes == [index.name]
    assert not found.clean
    done = filled.verify(repair=True)
    assert done.rebuilt == [index.name]
    assert done.healed
    assert [(each.valid, each.definition) for each in filled.indexes()] == [(True, index.definition)]
    assert filled.verify().clean


def test_what_a_killed_reindex_leaves_beside_a_valid_index_is_dropped(
    filled: Collection, sql: Sql, chunks: str
) -> None:
    filled.create_index()
    (index,) = filled.indexes()
    left = f"{index.name}_ccnew"
    sql.execute(f"CREATE INDEX {left} ON {chunks} USING hnsw (embedding vector_cosine_ops)")
    sql.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", (f"semsearch.{left}",))
    assert filled.verify(repair=True).rebuilt == [left]
    assert [each.name for each in filled.indexes()] == [index.name]
