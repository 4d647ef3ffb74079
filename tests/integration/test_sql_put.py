"""semsearch.put and semsearch.delete: by whoever may, in the user's transaction, under the rules of Python's put."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, errors
from psycopg.types.json import Jsonb

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import InvalidInput
from semsearch.store import creation
from tests.integration.attaching import attach
from tests.integration.hands import MODEL, searchable
from tests.integration.working import until
from tests.provider import Provider

Sql = psycopg.Connection[Any]

CANARIES = ("'); DROP SCHEMA collections CASCADE; --", "$$", '"', "\\", "%s %1$I", "{}", "a' OR 'b", "😀\u2028")


def put(sql: Sql, id: Any, text: Any = "some text", metadata: Any = None, collection: str = "notes") -> None:
    given = Jsonb({} if metadata is None else metadata)
    sql.execute("SELECT semsearch.put(%s, %s, %s, %s)", (collection, id, text, given))


def delete(sql: Sql, id: str, collection: str = "notes") -> bool:
    row = sql.execute("SELECT semsearch.delete(%s, %s)", (collection, id)).fetchone()
    assert row is not None
    return bool(row[0])


@contextmanager
def role(sql: Sql, url: str, name: str, *, of: str = "semsearch_writer") -> Iterator[Sql]:
    """A connection of somebody who may do no more than a writer may."""
    name = f"{name}_{os.getpid()}"
    sql.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' IN ROLE {of}")
    try:
        own = conninfo.make_conninfo(url, user=name, password="secret", requirepeer="")
        with psycopg.connect(own, autocommit=True) as connection:
            yield connection
    finally:
        sql.execute(f"DROP OWNED BY {name}")
        sql.execute(f"DROP ROLE {name}")


@pytest.fixture
def fielded(model_db: Database) -> Collection:
    fields = {"day": "date", "at": "timestamp", "n": "integer", "f": "float", "b": "boolean", "t": "text"}
    return model_db.create_collection("fielded", model=MODEL, fields=fields)


@pytest.fixture
def tickets(model_db: Database) -> Collection:
    return model_db.create_collection("tickets", model=MODEL, fields={"customer": "text"}, tenant="customer")


def test_documents_come_change_and_go_with_the_transaction(
    notes: Collection, sql: Sql, module_database_url: str
) -> None:
    with role(sql, module_database_url, "writing") as writer:
        put(writer, "a", "one", {"year": 2024})
        writer.execute("SELECT semsearch.put('notes', 'b', 'two', title => 'Two')")
        writer.execute("BEGIN")
        put(writer, "c", "three")
        writer.execute("ROLLBACK")
        notes.work()
        assert searchable(notes) == {"a": ["one"], "b": ["two"]}
        assert notes.get("b") == Document("b", "two", {}, "Two")
        put(writer, "a", "one", {"year": 2024})  # the same
        assert sql.execute("SELECT count(*) FROM semsearch.tasks").fetchone() == (0,)
        put(writer, "a", "one and a half")
        notes.work()
        assert searchable(notes)["a"] == ["one and a half"]
        put(writer, "a", "never embedded")
        writer.execute("BEGIN")
        assert delete(writer, "a") is True
        assert delete(writer, "a") is False
        writer.execute("SELECT 1 WHERE current_setting('semsearch.bulk', true) = 'on'")
        assert writer.execute("SELECT current_setting('semsearch.bulk', true)").fetchone() in [(None,), ("",)]
        writer.execute("COMMIT")
        assert searchable(notes) == {"b": ["two"]}  # at once
        assert sql.execute("SELECT count(*) FROM semsearch.tasks").fetchone() == (0,)
        for forbidden in ("DELETE FROM semsearch.documents", "INSERT INTO semsearch.tasks DEFAULT VALUES"):
            with pytest.raises(errors.InsufficientPrivilege):
                writer.execute(forbidden)
    with role(sql, module_database_url, "reading", of="semsearch_reader") as reader:
        for call in ("semsearch.put('notes', 'x', 'y')", "semsearch.delete('notes', 'b')"):
            with pytest.raises(errors.InsufficientPrivilege):
                reader.execute(f"SELECT {call}")


def test_no_string_becomes_sql(notes: Collection, sql: Sql) -> None:
    for canary in CANARIES:
        put(sql, canary, canary, {canary: canary})
        assert notes.get(canary) == Document(canary, canary, {canary: canary})
        for statement in ("SELECT semsearch.put(%s, 'a', 'b')", "SELECT semsearch.delete(%s, 'a')"):
            with pytest.raises(errors.NoDataFound):
                sql.execute(statement, (canary,))
        assert delete(sql, canary)


def nested(depth: int) -> Any:
    return {"a": nested(depth - 1)} if depth > 1 else {}


REFUSED: list[tuple[Any, Any, Any]] = [
    ("", "x", {}),
    ("i" * 1025, "x", {}),
    ("é" * 513, "x", {}),
    (None, "x", {}),
    ("a", None, {}),
    ("a", "x" * (20 * 2**20 + 1), {}),
    ("a", "x", [1]),
    ("a", "x", {"k": "x" * 65_536}),
    ("a", "x", {"k": "ж" * 10_930}),
    ("a", "x", {"k": "😀" * 5_500}),
    ("a", "x", nested(18)),
    ("a", "x", {"k": nested(17)}),
    ("a", "x", {"day": "2024-02-30"}),
    ("a", "x", {"at": "yesterday"}),
    ("a", "x", {"n": 1.5}),
    ("a", "x", {"n": 2**63}),
    ("a", "x", {"n": True}),
    ("a", "x", {"f": "1"}),
    ("a", "x", {"b": 1}),
    ("a", "x", {"t": "x" * 1025}),
]
TAKEN: list[tuple[Any, Any, Any]] = [
    ("i" * 1024, "", {}),
    ("a", " ", nested(16)),
    ("a", "x", nested(17)),
    ("a", "x", {"k": "x" * 65_000}),
    ("a", "x", {"k": "ж" * 10_900}),
    ("a", "x", {"k": "😀" * 5_400, "l": "\x7f" * 100}),
    ("a", "x", {"day": "2024-02-29", "at": "2024-05-01T09:30:00Z", "n": 2.0, "f": 1, "b": False, "t": "x" * 1024}),
    ("a", "x", {"day": None, "n": -(2**63), "f": 1e22}),
]


@pytest.mark.parametrize("given", [*REFUSED, *TAKEN], ids=lambda given: str(given)[:30])
def test_it_takes_what_python_takes(fielded: Collection, sql: Sql, given: tuple[Any, Any, Any]) -> None:
    try:
        fielded.put([Document(*given)], wait=False)
        taken = True
    except InvalidInput:
        taken = False
    assert taken == (given in TAKEN)
    fielded.delete_all()
    if taken:
        put(sql, *given, collection="fielded")
        assert fielded.get(given[0]).metadata == json.loads(json.dumps(given[2]))
        return
    with pytest.raises(errors.InvalidParameterValue) as raised:
        put(sql, *given, collection="fielded")
    assert len(str(raised.value)) < 600
    assert sql.execute("SELECT count(*) FROM semsearch.documents").fetchone() == (0,)


def test_a_title_is_not_longer_than_a_thousand_characters(notes: Collection, sql: Sql) -> None:
    sql.execute("SELECT semsearch.put('notes', 'a', 'x', title => repeat('é', 1000))")
    said = "document 'b': its title is longer than 1,000 characters: shorten it"
    with pytest.raises(errors.InvalidParameterValue, match=said):
        sql.execute("SELECT semsearch.put('notes', 'b', 'x', title => repeat('x', 1001))")
    assert sql.execute("SELECT id FROM semsearch.documents").fetchall() == [("a",)]


def test_where_there_is_nothing_to_put_into_it_is_said(model_db: Database, articles: Sql) -> None:
    attach(model_db, wait=False)
    model_db.create_collection("given", dimensions=2)
    for call, words in {
        "semsearch.put('handbook', 'x', 'y')": "come from shop.articles: change them there",
        "semsearch.delete('handbook', '1')": "come from shop.articles: change them there",
        "semsearch.put('given', 'x', 'y')": "every document must bring its embedding",
        "semsearch.put('handbok', 'x', 'y')": "'handbok' does not exist",
    }.items():
        with pytest.raises((errors.InvalidParameterValue, errors.NoDataFound), match=words):
            articles.execute(f"SELECT {call}")


def test_a_writer_reaches_only_the_tenants_he_was_granted(
    tickets: Collection, sql: Sql, module_database_url: str
) -> None:
    ann, bob = {"customer": "ann"}, {"customer": "bob"}
    tickets.put([Document("b1", "bob's", bob)])
    with (
        role(sql, module_database_url, "ann") as of_ann,
        role(sql, module_database_url, "bob") as of_bob,
        role(sql, module_database_url, "none") as of_nobody,
    ):
        names = {name: f"{name}_{os.getpid()}" for name in ("ann", "bob", "none")}
        tickets.grant_tenant("ann", names["ann"])
        tickets.grant_tenant("bob", names["bob"])
        put(of_ann, "a1", "ann's", ann, "tickets")
        for writer, metadata in ((of_ann, bob), (of_nobody, ann), (of_nobody, bob), (of_bob, ann)):
            with pytest.raises(errors.InsufficientPrivilege, match="not granted the tenant"):
                put(writer, "x", "x", metadata, "tickets")
        for metadata in ({}, {"customer": ""}, {"customer": None}):
            with pytest.raises(errors.InvalidParameterValue, match="does not say whose it is"):
                put(of_ann, "x", "x", metadata, "tickets")
        with pytest.raises(errors.ObjectNotInPrerequisiteState, match="'b1' is another tenant's"):
            put(of_ann, "b1", "mine now", ann, "tickets")
        assert delete(of_ann, "b1", "tickets") is False
        assert tickets.get("b1", tenant="bob").text == "bob's"
        # whoever somebody has become by SET ROLE counts, and not who he was or whose the function is
        sql.execute(f"GRANT {names['bob']} TO {names['none']} WITH INHERIT FALSE, SET TRUE")
        with pytest.raises(errors.InsufficientPrivilege):
            put(of_nobody, "x", "x", bob, "tickets")
        of_nobody.execute(f"SET ROLE {names['bob']}")
        put(of_nobody, "b2", "bob's", bob, "tickets")
        with pytest.raises(errors.InsufficientPrivilege):
            put(of_nobody, "x", "x", ann, "tickets")
        assert delete(of_nobody, "a1", "tickets") is False
        of_nobody.execute("RESET ROLE")
        assert delete(of_nobody, "b2", "tickets") is False
        sql.execute(f"SET ROLE {names['ann']}")  # the owner, as somebody else
        with pytest.raises(errors.InsufficientPrivilege):
            put(sql, "x", "x", bob, "tickets")
        sql.execute("RESET ROLE")
        # nothing that can be set makes one somebody else
        for setting in ("SET semsearch.tenant = 'bob'", "SET ROLE postgres", "SET SESSION AUTHORIZATION semsearch"):
            with pytest.raises(psycopg.Error):
                of_ann.execute(f"{setting}; SELECT semsearch.put('tickets', 'x', 'x', '{{\"customer\": \"bob\"}}')")
        put(sql, "b3", "by the owner", bob, "tickets")
        assert delete(of_bob, "b3", "tickets") is True
        tickets.revoke_tenant("ann", names["ann"])
        with pytest.raises(errors.InsufficientPrivilege):
            put(of_ann, "a2", "x", ann, "tickets")


def test_a_worker_that_stores_meanwhile_leaves_nothing_behind(
    notes: Collection, sql: Sql, other_sql: Sql, hands: Any, provider: Provider
) -> None:
    put(sql, "a", "one")
    one = hands(notes)
    assert one.claim() == ["a"]
    one.prepare()
    assert delete(sql, "a") is True
    assert one.finish() == []
    assert searchable(notes) == {}


def test_a_collection_that_is_dropped_meanwhile_is_not_there(
    notes: Collection, model_db: Database, sql: Sql, other_sql: Sql
) -> None:
    put(sql, "a", "one")
    process = other_sql.info.backend_pid
    with ThreadPoolExecutor(1) as pool:
        with model_db.pools.writing.begin() as dropping:
            creation.drop(dropping, notes.space)
            waiting = pool.submit(put, other_sql, "b", "two")
            blocked = "SELECT cardinality(pg_blocking_pids(%s))"
            until(lambda: sql.execute(blocked, (process,)).fetchone() == (1,))
        with pytest.raises(errors.NoDataFound, match="collection 'notes' was dropped meanwhile"):
            waiting.result(60)


FAILED = """
INSERT INTO semsearch.failures (collection_id, document_id, reason, attempts)
SELECT id, %s, %s, 1 FROM semsearch.collections WHERE name = 'tickets'
"""


def test_a_writer_learns_nothing_of_the_failures_and_sizes_of_other_tenants(
    tickets: Collection, sql: Sql, module_database_url: str
) -> None:
    for id, tenant, reason in (("a1", "ann", "a timeout"), ("b1", "bob", "begins with canary")):
        put(sql, id, "text", {"customer": tenant}, "tickets")
        sql.execute(FAILED, (id, reason))
    sql.execute(FAILED, ("gone", "begins with canary too"))
    sql.execute("DELETE FROM semsearch.tasks")
    retried = "SELECT semsearch.retry('tickets', document_id => %s, reason => %s)"
    sizes = (
        "SELECT s.bytes, c.bytes, c.chunks FROM semsearch.status s "
        "JOIN semsearch.collection_spaces c ON c.collection = s.name WHERE s.name = 'tickets'"
    )
    with role(sql, module_database_url, "ann") as of_ann, role(sql, module_database_url, "none") as of_nobody:
        tickets.grant_tenant("ann", f"ann_{os.getpid()}")
        for writer in (of_ann, of_nobody):
            assert writer.execute(sizes).fetchone() == (None, None, None)
            for id, reason in ((None, "begins with canary"), ("b1", None), ("gone", None)):
                assert writer.execute(retried, (id, reason)).fetchone() == (0,)
        assert of_nobody.execute(retried, (None, None)).fetchone() == (0,)
        assert of_ann.execute(retried, (None, None)).fetchone() == (1,)
        assert sql.execute("SELECT document_id FROM semsearch.tasks").fetchall() == [("a1",)]
    row = sql.execute(sizes).fetchone()
    assert row is not None
    assert None not in row
    assert sql.execute(retried, (None, "canary")).fetchone() == (2,)
