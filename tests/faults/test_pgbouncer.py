"""Everything works through pgbouncer in transaction mode, without a flag, and leaves nothing behind there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

import semsearch
from semsearch import Document, Progress, Settings, answering
from semsearch.cli import main
from semsearch.database import Database
from semsearch.errors import Conflict, DatabaseUnavailable, NotFound
from semsearch.store import connection, index_build, indexes, migrate, watchdog
from tests.faults.cluster import PgCluster
from tests.faults.pooler import Pooler
from tests.faults.proxy import Proxy
from tests.provider import Provider

CLIENTS = 4
ROUNDS = 3


@pytest.fixture(scope="module")
def pooler(module_cluster: PgCluster) -> Iterator[Pooler]:
    with Pooler(module_cluster, module_cluster.folder / "pgbouncer") as running:
        yield running


@pytest.fixture
def settings(pooler: Pooler, database: str, provider: Provider, tmp_path: Path) -> Settings:
    return Settings(
        database_url=pooler.url(database),
        home=tmp_path / "home",
        openai_api_key=SecretStr("sk-test"),
        openai_base_url=provider.url,
    )


@pytest.fixture
def db(settings: Settings, pooler: Pooler, database: str) -> Iterator[Database]:
    with semsearch.connect(settings=settings) as opened:
        yield opened
    leaves_nothing(pooler, database)


def leaves_nothing(pooler: Pooler, database: str) -> None:
    """No session of the server that pgbouncer keeps has a setting, a table, a statement or a lock of ours."""
    asked = """
        SELECT pg_backend_pid(),
               ARRAY(SELECT name || ' = ' || setting FROM pg_settings WHERE source = 'session'
                     AND name NOT IN ('application_name', 'client_encoding', 'DateStyle', 'TimeZone',
                                      'standard_conforming_strings', 'transaction_isolation')),
               ARRAY(SELECT relname::text FROM pg_class WHERE relpersistence = 't'),
               ARRAY(SELECT name FROM pg_prepared_statements),
               ARRAY(SELECT objid::text FROM pg_locks WHERE locktype = 'advisory')
    """
    with ExitStack() as stack:
        clients = [stack.enter_context(pooler.connect(database)) for _ in range(pooler.size)]
        rows = [client.execute(asked).fetchone() or () for client in clients]  # each holds a session until the end
        assert len({row[0] for row in rows}) == pooler.size
        assert [row[1:] for row in rows] == [([], [], [], [])] * pooler.size


def test_embeddings_are_asked_for_and_answered_through_it(db: Database, pooler: Pooler, database: str) -> None:
    """CALL commits between its looks, so that each may be in another session; nobody can be told of requests."""
    db.create_collection("notes", model="openai:test-model").put([Document("a", "one")])
    with answering.Answerer(db, threading.Event()), pooler.connect(database) as client:
        client.autocommit = True
        client.execute("CALL semsearch.embed('notes', 'one')")
        found = client.execute("SELECT document_id FROM semsearch.search('notes', 'one')").fetchall()
    assert found == [("a",)]


def at_once(*actions: Callable[[], Any]) -> None:
    """Run them in threads of their own; the first error is raised."""
    errors: list[BaseException] = []

    def run(action: Callable[[], Any]) -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error


def client(settings: Settings, number: int) -> None:
    """What one application does, round after round: half of its documents are shared with the others."""
    with semsearch.connect(settings=settings) as opened:
        collection = opened.collection("notes")
        for round in range(ROUNDS):
            own = [Document(f"{number} {at}", f"Client {number} wrote {at} in {round}.") for at in range(20)]
            shared = [Document(f"all {at}", f"Everybody wrote {at}.", {"at": at}) for at in range(20)]
            collection.put([*own, *shared])
            collection.put([Document(f"later {number}", f"left to a worker by {number}")], wait=False)
            collection.work()
            hits = collection.search(f"Client {number} wrote 3 in {round}.", top_k=1)
            assert [hit.document_id for hit in hits] == [f"{number} 3"]
            assert len(collection.search("Everybody", top_k=5, filter={"at": {"$gte": 0}})) == 5
            assert collection.delete([f"{number} {at}" for at in range(10, 20)]) == 10
            assert collection.get(f"{number} 0").text == f"Client {number} wrote 0 in {round}."


def test_several_clients_put_work_search_and_delete_at_once(db: Database, settings: Settings) -> None:
    collection = db.create_collection("notes", model="openai:test-model")
    at_once(*(lambda number=number: client(settings, number) for number in range(CLIENTS)))
    status = collection.status()
    assert (status.documents, status.backlog, status.failed) == (20 + CLIENTS * (10 + 1), 0, 0)
    assert status.chunks == status.documents


def test_a_source_is_pruned(db: Database, tmp_path: Path) -> None:
    collection = db.create_collection("notes", model="openai:test-model")
    file = tmp_path / "notes.jsonl"
    lines = [f'{{"id": "n{number}", "text": "note {number}"}}\n' for number in range(30)]
    file.write_text("".join(lines))
    collection.ingest(file, prune=True)
    file.write_text("".join(lines[:10]))
    assert collection.ingest(file, prune=True).deleted == 20
    assert collection.status().documents == 10


def test_an_attached_table_is_kept_up_with(db: Database, pooler: Pooler, database: str) -> None:
    with pooler.connect(database) as user:
        user.execute("CREATE TABLE articles (id int PRIMARY KEY, body text)")
        user.execute("INSERT INTO articles SELECT n, 'article ' || n FROM generate_series(1, 50) n")
    articles = db.attach("articles", "public.articles", text="body", model="openai:test-model", wait=True)
    with pooler.connect(database) as user:
        user.execute("UPDATE articles SET body = 'another' WHERE id = 7")
        user.execute("DELETE FROM articles WHERE id > 40")
    articles.work()
    status = articles.status()
    assert (status.chunks, status.backlog, status.failed) == (40, 0, 0)
    assert articles.search("another", top_k=1)[0].document_id == "7"
    assert articles.verify().clean


def points(number: int, dimensions: int = 8) -> list[Document]:
    vectors = np.random.default_rng(5).standard_normal((number, dimensions))
    return [Document(f"p{at}", f"point {at}", {"at": at}, embedding=vector) for at, vector in enumerate(vectors)]


def test_an_index_is_built_beside_others_watched_and_dropped(
    db: Database, module_cluster: PgCluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semsearch.store.index_build.LOOK", 0.001)
    collection = db.create_collection("points", dimensions=64, index="none")
    collection.put(points(3000, 64))
    told: list[int] = []
    make = index_build.embedding_index

    with module_cluster.connect(database) as other:

        def hold_up(*arguments: Any, **options: Any) -> Any:
            """A snapshot as old as the build, which waits for it: it is not done before somebody has looked."""
            other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            other.execute("SELECT 1 FROM pg_class LIMIT 1")
            return make(*arguments, **options)

        def look(progress: Progress) -> None:
            told.append(progress.done)
            other.rollback()

        monkeypatch.setattr(index_build, "embedding_index", hold_up)
        collection.create_index(on_progress=look)
    assert [index.valid for index in collection.indexes()] == [True]
    assert told and max(told) <= 3000
    found = collection.search(embedding=np.ones(64), top_k=10, filter={"at": {"$lt": 2000}})
    assert len(found) == 10
    assert collection.drop_index() == [f"chunks_{collection._space.id}_embedding"]


def test_of_two_builds_at_once_one_is_told_to_wait(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = db.create_collection("points", dimensions=8, index="none")
    collection.put(points(50))
    reached, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(indexes, "analyze", lambda *_: (reached.set(), go_on.wait(30)))
    building = threading.Thread(target=collection.create_index)
    building.start()
    assert reached.wait(30)
    db_index = indexes.every  # the first has built its index: without the lock the second would find it valid
    monkeypatch.setattr(indexes, "every", lambda *_: [])
    with pytest.raises(Conflict, match="just being built"):
        collection.create_index()
    monkeypatch.setattr(indexes, "every", db_index)
    go_on.set()
    building.join()
    assert [index.valid for index in collection.indexes()] == [True]


SETTINGS = ("jit", "plan_cache_mode", "hnsw.ef_search", "hnsw.iterative_scan", "ivfflat.iterative_scan")


def test_a_search_has_its_settings_and_nobody_else_has_them(db: Database, pooler: Pooler, database: str) -> None:
    asked = "SELECT " + ", ".join(f"current_setting('{name}', true)" for name in SETTINGS)
    with db._pools.searching.connect() as searching:
        assert searching.exec_driver_sql(asked).one() == (
            "off",
            "force_custom_plan",
            "75",
            "relaxed_order",
            "relaxed_order",
        )
    with pooler.connect(database) as other:
        row = other.execute(asked).fetchone() or ()
        assert row[:2] == ("on", "auto")
        assert row[2] in (None, "", "40")  # as pgvector's library has been loaded by that session, or not


def test_ef_search_grows_with_what_is_asked_for(db: Database) -> None:
    collection = db.create_collection("points", dimensions=8, index="none")
    collection.put(points(500))
    collection.create_index()
    found = collection.search(embedding=np.ones(8), top_k=200)
    assert (found.plan, len(found)) == ("ann", 200)  # of 400 candidates; by default there are 40


def test_a_search_is_one_round_trip(
    module_cluster: PgCluster, pooler: Pooler, settings: Settings, database: str
) -> None:
    with (
        Proxy(pooler.port) as proxy,
        semsearch.connect(module_cluster.url(database, port=proxy.port), settings=settings) as opened,
    ):
        collection = opened.create_collection("points", dimensions=8)
        collection.put(points(100))
        collection.create_index()
        for top_k in (1, 50):
            collection.search(embedding=np.ones(8), top_k=top_k)
            proxy.to_client.latency = 3.0  # what is sent until then waits for no answer
            before = proxy.round_trips
            assert collection.search(embedding=np.ones(8), top_k=top_k).plan == "ann"
            assert proxy.round_trips == before + 1
            proxy.to_client.latency = 0.0


def test_a_search_that_fails_leaves_the_connection_usable(db: Database) -> None:
    gone, stays = (db.create_collection(name, dimensions=8) for name in ("gone", "stays"))
    for collection in (gone, stays):
        collection.put(points(5))
        assert len(collection.search(embedding=np.ones(8), top_k=3)) == 3
    db.drop_collection("gone")
    with pytest.raises(NotFound):
        gone.search(embedding=np.ones(8), top_k=3)
    assert len(stays.search(embedding=np.ones(8), top_k=3)) == 3


def test_the_pooler_is_noticed_and_a_direct_connection_is_none(
    settings: Settings, module_cluster: PgCluster, database: str
) -> None:
    with connection.Address(settings) as address:
        assert address.pooled
        with address.connect() as connected:
            assert connected.prepare_threshold is None
    with connection.Address(Settings(database_url=module_cluster.url(database))) as address:
        assert not address.pooled
        with address.connect() as connected:
            assert connected.prepare_threshold == 5
            assert not connected.settings


def test_an_empty_database_is_migrated(module_cluster: PgCluster, pooler: Pooler) -> None:
    with module_cluster.connect() as administrator:
        administrator.execute("CREATE DATABASE fresh")
    with connection.Address(Settings(database_url=pooler.url("fresh"))) as address:
        migrate.upgrade(address)
        assert migrate.is_current(address)


@pytest.fixture
def environment(settings: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """For commands: the database behind the pooler."""
    assert settings.database_url
    monkeypatch.setenv("SEMSEARCH_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("SEMSEARCH_HOME", str(settings.home))
    monkeypatch.setenv("SEMSEARCH_OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("SEMSEARCH_OPENAI_BASE_URL", provider.url)


def test_workers_share_the_work(db: Database, environment: None) -> None:
    first, second = (db.create_collection(name, model="openai:test-model") for name in ("first", "second"))
    for collection in (first, second):
        collection.put([Document(f"n{number}", f"note {number}") for number in range(300)], wait=False)
    at_once(second.work, lambda: first.put([Document("late", "another")]))
    assert main(["worker", "--until-idle"]) == 0
    assert [(one.chunks, one.backlog, one.failed) for one in db.collections()] == [(301, 0, 0), (300, 0, 0)]


def test_doctor_and_psql(environment: None, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    capfd.readouterr()
    assert main(["psql", "-Atc", "SELECT 'through'"]) == 0
    assert capfd.readouterr().out == "through\n"


def test_a_statement_that_takes_long_is_found_at_work(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "SILENCE", 0.3)
    with connection.Address(settings) as address, address.connect(autocommit=True) as connected:
        assert connected.execute("SELECT pg_sleep(1.5)").rowcount == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [("postgresql://tester:no@127.0.0.1:{port}/postgres", "authentication"), ("{url}", "nowhere")],
)
def test_what_is_wrong_is_said_at_once(pooler: Pooler, tmp_path: Path, wrong: str, words: str) -> None:
    url = wrong.format(port=pooler.port, url=pooler.url("nowhere"))
    with pytest.raises(DatabaseUnavailable, match=words):
        semsearch.connect(url, settings=Settings(home=tmp_path / "home"))


def test_session_mode_works_too(module_cluster: PgCluster, settings: Settings, database: str) -> None:
    with (
        Pooler(module_cluster, module_cluster.folder / "session", mode="session", size=20) as pooler,
        semsearch.connect(pooler.url(database), settings=settings) as opened,
    ):
        collection = opened.create_collection("notes", model="openai:test-model")
        collection.put([Document("a", "one"), Document("b", "two")])
        assert collection.search("two", top_k=1)[0].document_id == "b"
