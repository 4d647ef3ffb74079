"""Tenants: what is put for one is never found, read, changed or deleted for another, by any door of Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from sqlalchemy import select

from semsearch import Document
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import Conflict, InvalidInput, NotFound, SemsearchError
from semsearch.store import index_build, indexes, tenant_indexes, tenants
from semsearch.store.explaining import Explain
from semsearch.store.index_statements import Options
from semsearch.store.spaces import queried
from tests.integration.attaching import attach
from tests.integration.command_line import Cli, answer
from tests.integration.hands import MODEL

Sql = psycopg.Connection[Any]

CANARY = "xylophone"  # stands in whatever is tenant b's, and nowhere else


@pytest.fixture
def tickets(model_db: Database) -> Collection:
    """Two documents of tenant a, and three of b, which hold the canary in every part."""
    collection = model_db.create_collection(
        "tickets", model=MODEL, chunk_size=0, fields={"customer": "text", "topic": "text"}, tenant="customer"
    )
    collection.put([Document("a1", "the printer burns", {"topic": "fire"}), Document("a2", "no paper")], tenant="a")
    collection.put(
        [
            Document(f"b{number}", f"{CANARY} {number}", {"topic": CANARY, "customer": "b", CANARY: 1}, title=CANARY)
            for number in range(3)
        ]
    )
    return collection


def ids(hits: Any) -> list[str]:
    return sorted({hit.document_id for hit in hits})


# What every door says for a


SEARCHES: dict[str, Callable[[Collection], Any]] = {
    "text": lambda c: c.search(CANARY, top_k=100, tenant="a"),
    "exact": lambda c: c.search(CANARY, top_k=100, tenant="a", plan="exact"),
    "words": lambda c: c.search(CANARY, top_k=100, tenant="a", mode="text"),
    "hybrid": lambda c: c.search(CANARY, top_k=100, tenant="a", mode="hybrid"),
    "embedding": lambda c: c.search(embedding=[1.0] * 8, top_k=100, tenant="a"),
    "filter": lambda c: c.search("printer", top_k=100, tenant="a", filter={"customer": "b"}),
    "or": lambda c: c.search("printer", top_k=100, tenant="a", filter={"$or": [{"customer": "b"}, {"topic": "fire"}]}),
    "not": lambda c: c.search("printer", top_k=100, tenant="a", filter={"$not": {"customer": "a"}}),
    "own document": lambda c: c.search(document_id="a1", top_k=100, tenant="a"),
    "recommend": lambda c: c.recommend(["a1"], top_k=100, tenant="a"),
    "many": lambda c: c.search_many(["printer", CANARY.upper()], top_k=100, tenant="a"),
    "neighbours": lambda c: c.search("printer", top_k=100, tenant="a", neighbours=2, highlight=True),
    "facets": lambda c: c.facets(["topic", "customer"], tenant="a"),
    "get": lambda c: c.get("a1", tenant="a"),
}


@pytest.mark.parametrize("door", SEARCHES)
def test_no_answer_for_a_tenant_holds_what_is_anothers(tickets: Collection, door: str) -> None:
    said = SEARCHES[door](tickets)
    hits = said if not isinstance(said, list) else [hit for hits in said for hit in hits]
    assert CANARY not in repr(
        [getattr(hit, "text", "") for hit in hits] if door != "facets" and door != "get" else said
    )
    if door not in ("facets", "get"):
        assert set(ids(hits)) <= {"a1", "a2"}
        assert CANARY not in repr([(hit.metadata, hit.heading) for hit in hits])


def test_a_filter_that_names_another_tenant_finds_nothing(tickets: Collection) -> None:
    assert ids(tickets.search("printer", tenant="a", filter={"customer": "b"})) == []
    assert ids(tickets.search("printer", tenant="a")) == ["a1", "a2"]
    assert ids(tickets.search("printer", tenant="b")) == ["b0", "b1", "b2"]
    assert ids(tickets.search("printer", tenant="nobody")) == []


def test_facets_count_the_tenants_own(tickets: Collection) -> None:
    assert tickets.facets(["topic"], tenant="a")["topic"].values == (("fire", 1),)


ANOTHERS: dict[str, Callable[[Collection, str], Any]] = {
    "get": lambda c, id: c.get(id, tenant="a"),
    "near": lambda c, id: c.search(document_id=id, tenant="a"),
    "like": lambda c, id: c.recommend([id], tenant="a"),
    "unlike": lambda c, id: c.recommend(["a1"], [id], tenant="a"),
}


@pytest.mark.parametrize("door", ANOTHERS)
def test_anothers_document_is_as_if_it_were_not_there(tickets: Collection, door: str) -> None:
    said = []
    for id in ("b1", "b9"):
        with pytest.raises(NotFound) as refused:
            ANOTHERS[door](tickets, id)
        said.append(str(refused.value).replace(id, "?"))
    assert said[0] == said[1]
    assert CANARY not in said[0]


def test_deleting_for_a_tenant_leaves_anothers(tickets: Collection) -> None:
    assert tickets.delete(["a1", "b1"], tenant="a") == 1
    assert ids(tickets.search("printer", tenant="b")) == ["b0", "b1", "b2"]
    assert tickets.delete(["b1"]) == 1  # whoever writes without a tenant writes for all


@pytest.mark.parametrize("tenant", [None, "", 1, "\0", "\ud800", "x" * 1025, ["a"]])
@pytest.mark.parametrize("door", ["search", "facets", "get"])
def test_who_does_not_say_for_whom_gets_nothing(tickets: Collection, door: str, tenant: Any) -> None:
    doors: dict[str, Callable[[], Any]] = {
        "search": lambda: tickets.search("printer", tenant=tenant),
        "facets": lambda: tickets.facets(["topic"], tenant=tenant),
        "get": lambda: tickets.get("a1", tenant=tenant),
    }
    with pytest.raises(InvalidInput, match="tenant"):
        doors[door]()


def test_a_collection_without_tenants_is_asked_without_one(model_db: Database) -> None:
    plain = model_db.create_collection("plain", dimensions=2)
    calls: list[Callable[[], Any]] = [
        lambda: plain.search(embedding=[1, 2], tenant="a"),
        lambda: plain.get("x", tenant="a"),
        lambda: plain.delete(["x"], tenant="a"),
        lambda: plain.put([Document("x", "", embedding=[1, 2])], tenant="a"),
        lambda: plain.grant_tenant("a", "pg_monitor"),
    ]
    for call in calls:
        with pytest.raises(InvalidInput, match="has no tenants"):
            call()
    assert plain.tenants() == []


# Putting


def test_every_document_says_whose_it_is(tickets: Collection) -> None:
    for metadata in ({}, {"customer": None}, {"customer": ""}):
        with pytest.raises(InvalidInput, match="document 'x': it does not say whose it is"):
            tickets.put([Document("x", "text", metadata)])
    with pytest.raises(InvalidInput, match="document 'x': field 'customer' is a text"):
        tickets.put([Document("x", "text", {"customer": 1})])


@pytest.mark.parametrize(
    "item", [Document("x", "t", {"customer": "b"}), {"id": "x", "text": "t", "metadata": {"customer": "b"}}]
)
def test_a_put_for_a_tenant_takes_no_document_that_names_another(tickets: Collection, item: Any) -> None:
    with pytest.raises(InvalidInput, match="document 'x': its metadata names another tenant than 'a'"):
        tickets.put([item], tenant="a")
    assert ids(tickets.search("t", tenant="b")) == ["b0", "b1", "b2"]


def test_a_put_for_a_tenant_marks_documents_and_mappings(tickets: Collection) -> None:
    tickets.put(
        [Document("x", "t"), {"id": "y", "text": "t"}, {"id": "z", "text": "t", "metadata": {"n": 1}}], tenant="c"
    )
    assert ids(tickets.search("t", tenant="c")) == ["x", "y", "z"]
    assert tickets.get("z", tenant="c").metadata == {"n": 1, "customer": "c"}
    for broken in ({"text": "t"}, 7, {"id": "x", "text": "t", "metadata": 7}):
        with pytest.raises(InvalidInput):
            tickets.put([broken], tenant="c")  # type: ignore[list-item]


def test_a_put_never_takes_a_document_from_its_tenant(tickets: Collection) -> None:
    with pytest.raises(Conflict, match="document 'b1' is another tenant's") as refused:
        tickets.put([Document("new", "mine"), Document("b1", "mine now")], tenant="a")
    assert CANARY not in str(refused.value)
    assert tickets.get("b1", tenant="b").text == f"{CANARY} 1"
    assert ids(tickets.search("mine", tenant="a")) == ["a1", "a2"]
    tickets.delete(["b1"], tenant="b")
    tickets.put([Document("b1", "mine now")], tenant="a")
    assert tickets.get("b1", tenant="a").text == "mine now"


def test_a_put_with_embeddings_never_takes_one_either(model_db: Database) -> None:
    given = model_db.create_collection("given", dimensions=2, fields={"customer": "text"}, tenant="customer")
    given.put([Document("x", CANARY, embedding=[1, 2])], tenant="b")
    with pytest.raises(Conflict, match="document 'x' is another tenant's"):
        given.put([Document("x", "mine", embedding=[1, 2])], tenant="a")
    assert [hit.text for hit in given.search(embedding=[1, 2], tenant="b")] == [CANARY]
    given.put([Document("x", "changed", embedding=[2, 1])], tenant="b")
    assert [hit.text for hit in given.search(embedding=[1, 2], tenant="b")] == ["changed"]


def test_pruning_for_a_tenant_leaves_anothers_documents_of_the_same_source(tickets: Collection, tmp_path: Path) -> None:
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text(name)
    tickets.ingest(tmp_path, tenant="c")
    for tenant, code in (("c", 0), ("d", 1)):
        (tmp_path / f"{tenant}.txt").write_text(tenant)
        if code:
            for name in ("one.txt", "two.txt", "c.txt"):
                (tmp_path / name).unlink()
        tickets.ingest(tmp_path, tenant=tenant, prune=True)
    names = {
        tenant: [id.rpartition("/")[2] for id in ids(tickets.search("one", tenant=tenant))] for tenant in ("c", "d")
    }
    assert names == {"c": ["c.txt", "one.txt", "two.txt"], "d": ["d.txt"]}


# Declaring


@pytest.mark.parametrize(
    ("fields", "said"),
    [({}, "'customer' is not declared"), ({"customer": "integer"}, "'customer' is of type integer")],
)
def test_the_field_of_the_tenants_is_declared_as_text(model_db: Database, fields: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        model_db.create_collection("x", dimensions=2, fields=fields, tenant="customer")
    assert "x" not in model_db.names()


def test_the_field_of_the_tenants_stays(tickets: Collection) -> None:
    with pytest.raises(InvalidInput, match="field 'customer' says whose"):
        tickets.drop_field("customer")
    tickets.drop_field("topic")
    assert ids(tickets.search("printer", tenant="a")) == ["a1", "a2"]


def test_rows_of_an_attached_table_that_are_nobodys_are_found_by_no_tenant(model_db: Database, articles: Sql) -> None:
    articles.execute("UPDATE shop.articles SET body = 'nobody wrote this', author = NULL WHERE id = 2")
    wish: dict[str, Any] = {"fields": {"author": "text"}, "tenant": "author"}
    with pytest.raises(InvalidInput, match="name the column 'author' among the metadata"):
        attach(model_db, **wish)
    assert "handbook" not in model_db.names()
    handbook = attach(model_db, metadata=["author"], **wish)
    assert ids(handbook.search("first", tenant="ann")) == ["1"]
    assert [(tenant.name, tenant.chunks) for tenant in handbook.tenants()] == [("ann", 1), (None, 1)]
    assert handbook.get("1", tenant="ann").text == "the first"
    with pytest.raises(NotFound):
        handbook.get("2", tenant="ann")
    articles.execute("UPDATE shop.articles SET author = 'bob' WHERE id = 1")
    handbook.work()
    assert (ids(handbook.search("first", tenant="ann")), ids(handbook.search("first", tenant="bob"))) == ([], ["1"])
    model_db.drop_collection("handbook")


# Indexes of their own


@pytest.fixture
def mixed(model_db: Database, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """600 chunks: 60 % of tenant large, 20 % of middle, 10 % of each of two more, of which one is too small."""
    monkeypatch.setattr(tenant_indexes, "LEAST", 60)
    collection = model_db.create_collection("mixed", dimensions=8, fields={"customer": "text"}, tenant="customer")
    owners = ["large"] * 6 + ["middle"] * 2 + ['it\'s "quoted" %s', "small"]
    embeddings = np.random.default_rng(1).standard_normal((600, 8)).astype(np.float32)
    collection.put(
        Document(f"d{number}", "", {"customer": owners[number % 10] if number > 10 else "large"}, embedding=embedding)
        for number, embedding in enumerate(embeddings)
    )
    collection.put([Document("one more", "", {"customer": owners[8]}, embedding=[1] * 8)])
    with collection._pools.writing.begin() as connection:
        indexes.analyze_roughly(connection, collection.space)
    return collection


def due(collection: Collection) -> list[str]:
    with collection._pools.writing.connect() as connection:
        return tenant_indexes.due(connection, collection.space)


def build(collection: Collection, tenant: str) -> None:
    index_build.build(collection._pools.address, collection._pools.writing, collection.space, Options(tenant=tenant))


def test_tenants_of_a_middle_size_deserve_an_index(mixed: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    assert due(mixed) == ["middle", 'it\'s "quoted" %s']
    monkeypatch.setattr(tenant_indexes, "MOST", 1)
    assert due(mixed) == ["middle"]
    build(mixed, "middle")
    assert due(mixed) == []
    monkeypatch.setattr(tenant_indexes, "MOST", 2)
    assert due(mixed) == ['it\'s "quoted" %s']
    monkeypatch.setattr(tenant_indexes, "LEAST", 300)
    assert due(mixed) == []


@pytest.mark.parametrize("tenant", ["middle", 'it\'s "quoted" %s'])
def test_a_search_for_a_tenant_uses_the_index_of_its_own(mixed: Collection, tenant: str) -> None:
    build(mixed, tenant)
    name = indexes.name(mixed.space, tenant)
    assert {one.name: one.index for one in mixed.tenants()}[tenant] == name
    chunks = queried(mixed.space)
    nearest = select(chunks.c.document_id).order_by(chunks.c.embedding.cosine_distance([1] * 8)).limit(5)
    with mixed._pools.searching.connect() as connection:
        assert connection.exec_driver_sql("SHOW plan_cache_mode").scalar() == "force_custom_plan"
        connection.exec_driver_sql("SET enable_seqscan = off")
        connection.exec_driver_sql("SET enable_sort = off")
        plans = {}
        for one in (tenant, "small"):
            asked = Explain(nearest.where(*tenants.condition(mixed.space, one)), "COSTS OFF")
            plans[one] = "\n".join(connection.execute(asked).scalars())
        connection.exec_driver_sql("RESET enable_seqscan")
        connection.exec_driver_sql("RESET enable_sort")
    assert name in plans[tenant]
    assert name not in plans["small"]


def test_a_load_builds_the_indexes_of_tenants(model_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_indexes, "LEAST", 60)
    monkeypatch.setattr(indexes, "AUTOMATIC_FROM", 500)
    made = model_db.create_collection("mixed", dimensions=8, fields={"customer": "text"}, tenant="customer")
    embeddings = np.random.default_rng(1).standard_normal((1600, 8)).astype(np.float32)
    owners = ["large"] * 8 + ["middle"] * 2
    documents = [
        Document(f"d{number}", "", {"customer": owners[number % 10]}, embedding=embedding)
        for number, embedding in enumerate(embeddings)
    ]
    made.put(documents[:600])
    assert {one.name: one.index for one in made.tenants()} == {
        "large": None,
        "middle": indexes.name(made.space, "middle"),
    }
    made.put([Document("x" + one.id, "", {"customer": "later"}, embedding=one.embedding) for one in documents[:250]])
    assert {one.name for one in made.tenants() if one.index} == {"middle"}  # not so many that it would be looked after
    monkeypatch.setattr(tenant_indexes, "MOST_SHARE", 0.9)
    made.put(documents[600:])
    assert {one.name for one in made.tenants() if one.index} == {"large", "middle", "later"}
    assert made.drop_index()
    assert [one.index for one in made.tenants()] == [None] * 3


def test_a_tenant_with_an_index_is_planned_for_as_a_collection_of_its_size(
    mixed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed.create_index()
    build(mixed, "middle")
    mixed._searcher.forget()
    whole, own = mixed._searcher.state("small"), mixed._searcher.state("middle")
    assert whole.index is not None
    assert own.index is not None
    assert (whole.index.predicate, whole.rows) == (None, 601)
    assert (own.index.name, own.rows) == (indexes.name(mixed.space, "middle"), 118)
    assert own.share == pytest.approx(118 / 601)
    explained = mixed.search(embedding=[1] * 8, tenant="middle", explain=True)
    assert explained.plan == "ann"
    assert "there is no filter" in str(explained.explanation)
    filtered = mixed.search(embedding=[1] * 8, tenant="middle", filter={"customer": "large"}, explain=True)
    assert filtered.hits == ()
    assert "there is no filter" not in str(filtered.explanation)
    assert "there is no filter" not in str(mixed.search(embedding=[1] * 8, tenant="small", explain=True).explanation)
    for plan in ("auto", "exact"):
        assert len(mixed.search(embedding=[1] * 8, tenant="middle", top_k=500, plan=plan)) == 118


# The command line


def test_no_command_shows_what_is_anothers(db: Database, cli: Cli) -> None:
    made = db.create_collection("t", dimensions=2, fields={"who": "text"}, tenant="who")
    made.put([Document("a1", "mine", {"topic": "fire"}, embedding=[1, 2])], tenant="a")
    made.put([Document("b1", CANARY, {"topic": CANARY}, title=CANARY, embedding=[1, 2])], tenant="b")
    for_a = ("--tenant", "a")
    commands: list[tuple[str, ...]] = [
        ("search", "t", "--embedding", "[1,2]", *for_a, "--neighbours", "2", "--explain"),
        ("search", "t", "--embedding", "[1,2]", *for_a, "--filter", "who = b", "--json"),
        ("recommend", "t", "--like", "a1", *for_a),
        ("facets", "t", "topic", *for_a),
        ("get", "t", "a1", *for_a),
    ]
    said = [cli(*command) for command in commands]
    said += [
        cli(*command, *for_a, code=3)
        for command in (("get", "t", "b1"), ("delete", "t", "b1"), ("recommend", "t", "--like", "b1"))
    ]
    assert CANARY not in "".join(one.out + one.err for one in said)
    assert made.get("b1", tenant="b").text == CANARY


def test_the_command_line_keeps_tenants_apart(cli: Cli, tmp_path: Path) -> None:
    cli("create", "t", "--dimensions", "2", "--tenant", "who", code=2)
    cli("create", "t", "--dimensions", "2", "--field", "who:text", "--tenant", "who")
    assert cli("tenants", "list", "t").out == "t: no tenants yet\n"
    (tmp_path / "a.jsonl").write_text('{"id": "a1", "text": "mine"}\n')
    assert "must bring its embedding" in cli("ingest", "t", str(tmp_path / "a.jsonl"), "--tenant", "a", code=2).err
    said = [cli(*command, code=2).err for command in (["search", "t", "--embedding", "[1,2]"], ["get", "t", "x"])]
    assert all("has tenants: say whose documents are asked for" in line for line in said)
    assert answer(cli("search", "t", "--embedding", "[1,2]", "--tenant", "a", "--json"))["hits"] == []
    assert "does not exist" in cli("get", "t", "x", "--tenant", "a", code=3).err
    cli("delete", "t", "x", "--tenant", "a", code=3)
    cli("delete", "t", "--all", "--tenant", "a", "--yes", code=2)
    assert "role 'nobody' does not exist" in cli("tenants", "grant", "t", "a", "nobody", code=3).err
    cli("tenants", "grant", "t", "a", "pg_monitor")
    assert answer(cli("tenants", "list", "t", "--json")) == {
        "tenants": [{"name": "a", "chunks": 0, "roles": ["pg_monitor"], "index": None}]
    }
    assert "pg_monitor" in cli("tenants", "list", "t").out
    cli("tenants", "revoke", "t", "a", "pg_monitor")
    assert "has no grant" in cli("tenants", "revoke", "t", "a", "pg_monitor", code=3).err
    cli("create", "plain", "--dimensions", "2")
    assert "without --tenant" in cli("tenants", "list", "plain").out


def test_errors_are_of_this_package(tickets: Collection) -> None:
    for tenant in ("'; DROP TABLE x; --", "%s", "\\", "a" * 1024):
        assert ids(tickets.search("printer", tenant=tenant)) == []
        with pytest.raises(SemsearchError):
            tickets.grant_tenant(tenant, "'; DROP TABLE x; --")
