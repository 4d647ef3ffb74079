"""CALL semsearch.embed: what people in psql are told, and who answers them, whatever dies meanwhile."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import conninfo, errors

from semsearch import answering, embedders
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.store import embed_requests, query_cache
from semsearch.store.connection import Address
from semsearch.worker import supervisor
from tests.integration.hands import MODEL, inputs
from tests.integration.working import running, until
from tests.provider import Provider, vector

Sql = psycopg.Connection[Any]

CALL = "CALL semsearch.embed('notes', 'reset my password', '60 s')"
CANARIES = (
    "'); DROP SCHEMA collections CASCADE; --",
    "$$; SELECT 1; $$",
    '"',
    "\\",
    "%s %1$I",
    "{}",
    "a' OR 'b",
    "😀\u2028",
)


@contextmanager
def answered(db: Database, *names: str) -> Iterator[answering.Answerer]:
    with answering.Answerer(db, threading.Event(), names) as answerer:
        yield answerer


def embedding(sql: Sql, query: str, collection: str = "notes") -> list[np.float32] | None:
    row = sql.execute("SELECT semsearch.query_embedding(%s, %s)::real[]", (collection, query)).fetchone()
    return row and row[0] and [np.float32(value) for value in row[0]]


def made(query: str) -> list[np.float32]:
    return list(vector(query))


def requests(sql: Sql) -> list[Any]:
    return sql.execute(
        "SELECT query, claimed_at IS NOT NULL, problem FROM semsearch.embed_requests ORDER BY 1"
    ).fetchall()


def ask(sql: Sql, query: str) -> None:
    """The request of a CALL, which nobody waits for."""
    sql.execute("SELECT semsearch.request_embedding('notes', %s)", (query,))


@pytest.fixture(autouse=True)
def no_requests(sql: Sql) -> Iterator[None]:
    yield
    sql.execute("ROLLBACK")
    sql.execute("TRUNCATE semsearch.embed_requests")


@pytest.fixture
def reader(notes: Collection, sql: Sql, module_database_url: str) -> Iterator[Sql]:
    """Somebody who may read, and nothing else."""
    name = f"reading_{os.getpid()}"
    sql.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' IN ROLE semsearch_reader")
    url = conninfo.make_conninfo(module_database_url, user=name, password="secret", requirepeer="")
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection
    finally:
        sql.execute(f"DROP OWNED BY {name}")
        sql.execute(f"DROP ROLE {name}")


# Asking


def test_a_call_is_answered_once_and_cached(
    model_db: Database, notes: Collection, sql: Sql, provider: Provider
) -> None:
    with answered(model_db):
        sql.execute(CALL)
        sql.execute("CALL semsearch.embed(%s, query => %s, timeout => %s)", ("notes", "reset my password", "3 s"))
    assert embedding(sql, "reset my password") == made("reset my password")
    assert inputs(provider) == ["reset my password"]
    assert requests(sql) == []
    sql.execute("BEGIN")
    sql.execute(CALL)  # what is cached may be asked for anywhere
    sql.execute("COMMIT")
    assert notes.search("reset my password").plan == "exact"
    assert inputs(provider) == ["reset my password"]  # the same cache as Python's


def test_a_mere_reader_may_ask(model_db: Database, reader: Sql, sql: Sql) -> None:
    with answered(model_db):
        reader.execute("CALL semsearch.embed('notes', 'mine', '60 s')")
    reader.execute("SELECT * FROM semsearch.search('notes', 'mine')")
    assert embedding(sql, "mine") == made("mine")
    for forbidden in ("SELECT * FROM semsearch.embed_requests", "INSERT INTO semsearch.embed_requests DEFAULT VALUES"):
        with pytest.raises(errors.InsufficientPrivilege):
            reader.execute(forbidden)


def test_no_string_becomes_sql(model_db: Database, notes: Collection, sql: Sql) -> None:
    with answered(model_db):
        for text in CANARIES:
            sql.execute("CALL semsearch.embed('notes', %s)", (text,))
            assert embedding(sql, text) == made(text)
            for refused in ("CALL semsearch.embed(%s, 'x')", "SELECT * FROM semsearch.search(%s, 'x')"):
                with pytest.raises(errors.NoDataFound, match="does not exist"):
                    sql.execute(refused, (text,))
            with pytest.raises(psycopg.Error) as raised:
                sql.execute("SELECT * FROM semsearch.search('notes', %s)", (f"{text} not embedded",))
            hint = raised.value.diag.message_hint or ""
            sql.execute(hint)  # what it says can be done: CALL semsearch.embed('notes', '...')
            assert embedding(sql, f"{text} not embedded") is not None


def test_twenty_at_once_are_answered_in_few_batches(
    model_db: Database, notes: Collection, sql: Sql, provider: Provider, module_database_url: str
) -> None:
    def call(number: int) -> None:
        with psycopg.connect(module_database_url, autocommit=True) as connection:
            connection.execute("CALL semsearch.embed('notes', %s, '60 s')", (f"text {number % 15}",))

    with ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(call, number) for number in range(20)]
        until(lambda: len(requests(sql)) == 15)  # all of them wait: who begins later may be alone in a batch
        with answered(model_db), answered(model_db):
            for each in calls:
                each.result()
    assert sorted(set(inputs(provider))) == sorted(f"text {number}" for number in range(15))
    assert len(provider.calls) < 15
    assert requests(sql) == []


# What can go wrong


@pytest.mark.parametrize(
    ("arguments", "state", "words"),
    [
        ("'note', 'x'", "P0002", ("collection 'note' does not exist", "Did you mean 'notes'?")),
        ("NULL, 'x'", "P0002", ("collection NULL does not exist",)),
        ("'notes', ' \n'", "22023", ("the query is empty",)),
        ("'notes', NULL", "22023", ("the query is empty",)),
        ("'notes', repeat('x', 32769)", "22023", ("longer than 32 kB",)),
        ("'notes', 'x', NULL", "22023", ("not a length of time",)),
        ("'notes', 'x', '-1 s'", "22023", ("not a length of time",)),
        ("'notes', 'x', '1000000 years'", "22023", ("the timeout is longer than 1 year: 1000000 years",)),
        ("'notes', 'x', '-1000000 years'", "22023", ("not a length of time",)),
        ("'given', 'x'", "22023", ("has no model",)),
    ],
)
def test_what_makes_no_sense_is_said(
    model_db: Database, notes: Collection, sql: Sql, arguments: str, state: str, words: tuple[str, ...]
) -> None:
    model_db.create_collection("given", dimensions=2)
    with pytest.raises(psycopg.Error) as raised:
        sql.execute(f"CALL semsearch.embed({arguments})")
    assert raised.value.sqlstate == state
    said = f"{raised.value.diag.message_primary} {raised.value.diag.message_hint}"
    assert all(word in said for word in words), said
    assert requests(sql) == []


def test_in_a_transaction_block_nothing_is_written(notes: Collection, sql: Sql, module_database_url: str) -> None:
    sql.execute("CREATE FUNCTION pg_temp.asked() RETURNS void LANGUAGE plpgsql AS $$ BEGIN " + CALL + "; END $$")
    in_a_block = f"DO $$ BEGIN BEGIN {CALL}; EXCEPTION WHEN division_by_zero THEN NULL; END; END $$"
    for together in (f"BEGIN; {CALL}", f"SELECT 1; {CALL}", f"/* x */ begin;\n{CALL}; COMMIT", f"{CALL}; {CALL}",
                     f"{CALL}; SELECT 1", "SELECT pg_temp.asked()", in_a_block):  # fmt: skip
        with pytest.raises(errors.ActiveSqlTransaction, match="inside a transaction block"):
            sql.execute(together)
        sql.execute("ROLLBACK")
    with psycopg.connect(module_database_url) as connection:  # which begins by itself
        for given in (None, ("notes",)):  # by the simple and the extended protocol
            call = CALL if given is None else "CALL semsearch.embed(%s, 'x')"
            for prepared in (False, True):
                with pytest.raises(errors.ActiveSqlTransaction) as raised:
                    connection.execute(call, given, prepare=prepared)
                assert "autocommit=True in psycopg" in (raised.value.diag.message_hint or "")
                connection.rollback()
    assert requests(sql) == []


def test_a_transaction_block_is_told_by_what_the_server_says_of_a_function(notes: Collection, sql: Sql) -> None:
    assert sql.execute("SELECT semsearch.atomic_message()").fetchone() == ("invalid transaction termination",)
    sql.execute("CALL semsearch.require_no_transaction_block()")
    sql.execute("SET search_path = ''")
    with pytest.raises(errors.ActiveSqlTransaction):
        sql.execute("BEGIN; CALL semsearch.require_no_transaction_block()")


def test_where_a_commit_may_be_there_may_be_a_call(model_db: Database, notes: Collection, sql: Sql) -> None:
    call = "CALL semsearch.embed('notes', '{}', '60 s');"
    body = f"{call.format('one')} COMMIT; PERFORM 1; {call.format('two')}"
    with answered(model_db):
        sql.execute(f"DO $$ BEGIN {body} END $$")
        sql.execute("CALL semsearch.embed(%s, %s, '60 s')", ("notes", "three"), prepare=True)
        sql.execute("SET default_transaction_isolation = 'serializable'")
        sql.execute(call.format("four"))
        sql.execute("RESET default_transaction_isolation")
    assert all(embedding(sql, text) for text in ("one", "two", "three", "four"))


def test_without_anybody_to_answer_it_says_who_must(model_db: Database, notes: Collection, sql: Sql) -> None:
    call = "CALL semsearch.embed('notes', 'x', '0.05 s')"
    with pytest.raises(psycopg.Error, match="no embedding came within") as raised:
        sql.execute(call)
    assert raised.value.sqlstate == "SEM02"
    assert "No live worker was heard of: run `semsearch worker`" in (raised.value.diag.message_hint or "")
    with running(model_db, until_idle=False, once=False, collections=("notes",)):
        until(lambda: sql.execute("SELECT count(*) FROM semsearch.live_workers").fetchone() == (1,))
        model_db.create_collection("others", model=MODEL)
        with pytest.raises(psycopg.Error) as raised:
            sql.execute("CALL semsearch.embed('others', 'x', '0.05 s')")
        assert "Live workers: 1, but none took it" in (raised.value.diag.message_hint or "")
        sql.execute("CALL semsearch.embed('notes', 'x', '60 s')")
    assert requests(sql) == []


def test_a_model_that_fails_is_reported_to_whoever_asked(
    model_db: Database, notes: Collection, sql: Sql, provider: Provider
) -> None:
    provider.rules(poison="bad")
    with answered(model_db):
        with pytest.raises(psycopg.Error) as raised:
            sql.execute("CALL semsearch.embed('notes', 'bad text', '60 s')")
        assert raised.value.sqlstate == "SEM03"
        assert "sk-test" not in str(raised.value)
        for query in ("good", "bad again", "better"):
            ask(sql, query)
        until(lambda: [row[0] for row in requests(sql) if row[2]] == ["bad again"])
        until(lambda: bool(embedding(sql, "good") and embedding(sql, "better")))
        provider.rules(poison="nothing")
        sql.execute("CALL semsearch.embed('notes', 'bad again', '60 s')")  # a problem of before is none of now
    assert requests(sql) == []


def test_a_fault_of_ours_is_a_sentence_and_ends_nothing(
    model_db: Database, notes: Collection, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret")

    with answered(model_db):
        with monkeypatch.context() as patched, pytest.raises(psycopg.Error) as raised:
            patched.setattr(Collection, "embed_queries", fail)
            sql.execute(CALL)
        assert "ZeroDivisionError" in str(raised.value)
        assert "secret" not in str(raised.value)
        sql.execute(CALL)


def test_a_collection_that_is_dropped_meanwhile_is_not_there(
    model_db: Database, sql: Sql, other_sql: Sql, provider: Provider
) -> None:
    model_db.create_collection("short", model=MODEL)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other_sql.execute, "CALL semsearch.embed('short', 'x', '60 s')")
        until(lambda: len(requests(sql)) == 1)
        model_db.drop_collection("short")
        with pytest.raises(errors.NoDataFound, match="'short' does not exist"):
            waiting.result(60)
    assert requests(sql) == []
    model_db.create_collection("short", model=MODEL)
    with answered(model_db):
        sql.execute("CALL semsearch.embed('short', 'x', '60 s')")


@pytest.mark.parametrize(
    ("who", "number", "refused"), [("'x'", 300, False), ("session_user", 200, True), ("'x'", 1000, True)]
)
def test_a_flood_of_requests_is_refused(notes: Collection, sql: Sql, who: str, number: int, refused: bool) -> None:
    """Each role may have so many that wait, all together more."""
    sql.execute(
        "INSERT INTO semsearch.embed_requests (collection_id, hash, query, requested_by) "
        f"SELECT 0, sha256(i::text::bytea), 'x', {who} FROM generate_series(1, {number}) i"
    )
    if not refused:
        sql.execute("SELECT semsearch.request_embedding('notes', 'fresh')")
        return
    with pytest.raises(errors.ConfigurationLimitExceeded, match="too many texts wait"):
        sql.execute(CALL)


# Who answers


def test_a_request_that_nobody_told_of_is_found_and_others_take_over(
    model_db: Database, notes: Collection, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claimed by one that has died since, and behind a pooler, where nobody is told of anything."""
    monkeypatch.setattr(embed_requests, "AGAIN", 600.0)
    ask(sql, "left behind")
    assert [one.query for one in embed_requests.claim(model_db.pools.writing, notes.space.collection_id)] == [
        "left behind"
    ]
    assert embed_requests.claim(model_db.pools.writing, notes.space.collection_id) == []
    monkeypatch.setattr(embed_requests, "AGAIN", 0.3)
    monkeypatch.setattr(Address, "pooled", True)
    with answered(model_db):
        until(lambda: embedding(sql, "left behind") is not None)
        sql.execute(CALL)


def test_another_answers_for_one_that_was_killed(
    model_db: Database, notes: Collection, sql: Sql, other_sql: Sql, provider: Provider, module_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(embed_requests, "AGAIN", 0.5)
    provider.script({"fault": "none"}, {"fault": "hang", "seconds": 60})  # it asks for a known text first
    environment = {
        **os.environ,
        "SEMSEARCH_DATABASE_URL": module_database_url,
        "SEMSEARCH_OPENAI_API_KEY": "sk-test",
        "SEMSEARCH_OPENAI_BASE_URL": provider.url,
    }
    with ThreadPoolExecutor(1) as pool:
        worker = subprocess.Popen(
            [sys.executable, "-m", "semsearch", "worker"], env=environment, stderr=subprocess.PIPE
        )
        try:
            waiting = pool.submit(other_sql.execute, "CALL semsearch.embed('notes', 'x', '120 s')")
            until(lambda: "x" in inputs(provider))
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.communicate()
        assert requests(sql) == [("x", True, None)]
        with answered(model_db):
            waiting.result(60)
    assert inputs(provider).count("x") == 2
    assert requests(sql) == []


def test_it_goes_on_when_the_server_has_hung_up(model_db: Database, notes: Collection, sql: Sql) -> None:
    with answered(model_db):
        sql.execute(CALL)
        for number in range(3):
            sql.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'semsearch %'"
            )
            sql.execute("CALL semsearch.embed('notes', %s, '60 s')", (f"again {number}",))


def test_only_the_collections_it_was_given(model_db: Database, two: tuple[Collection, Collection], sql: Sql) -> None:
    with answered(model_db, "small"):
        sql.execute("CALL semsearch.embed('small', 'x', '60 s')")
        with pytest.raises(psycopg.Error, match="no embedding came"):
            sql.execute("CALL semsearch.embed('large', 'y', '0.3 s')")


def test_old_requests_are_removed_and_asked_for_anew(
    model_db: Database, notes: Collection, sql: Sql, other_sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other_sql.execute, "CALL semsearch.embed('notes', 'x', '60 s')")
        until(lambda: len(requests(sql)) == 1)
        sql.execute("UPDATE semsearch.embed_requests SET requested_at = now() - interval '2 minutes'")
        with model_db.pools.writing.begin() as connection:
            embed_requests.tidy(connection)
        until(lambda: len(requests(sql)) == 1)
        with answered(model_db):
            waiting.result(60)


def test_a_thread_ends_when_nobody_asks_any_more(
    model_db: Database, notes: Collection, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "IDLE", 0.01)
    with answered(model_db) as answerer:
        for number in range(3):
            sql.execute("CALL semsearch.embed('notes', %s, '60 s')", (f"q{number}",))
            until(lambda: answerer._lanes == {})


def test_what_is_asked_again_is_kept_longer(model_db: Database, notes: Collection, sql: Sql) -> None:
    with answered(model_db):
        sql.execute(CALL)
    age = "SELECT now() - created_at FROM semsearch.query_embeddings"
    sql.execute("UPDATE semsearch.query_embeddings SET created_at = now() - interval '2 days'")
    sql.execute("BEGIN READ ONLY")
    sql.execute(CALL)
    sql.execute("COMMIT")
    assert sql.execute(f"{age} WHERE created_at < now() - interval '1 day'").fetchone() is not None
    sql.execute(CALL)
    assert sql.execute(f"{age} WHERE created_at < now() - interval '1 day'").fetchone() is None


def test_the_worker_keeps_the_cache_within_its_limits(
    model_db: Database, notes: Collection, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprint = notes.space.fingerprint or ""
    for query in ("old", "new"):
        query_cache.put(model_db.pools.writing, fingerprint, query, vector(query))
    sql.execute(
        "UPDATE semsearch.query_embeddings SET created_at = now() - interval '31 days' WHERE hash = %s",
        (hashlib.sha256(b"old").digest(),),
    )
    supervisor.Supervisor(model_db, supervisor.Options(), threading.Event(), supervisor.Outage())._keep_house()
    assert query_cache.several(model_db.pools.writing, fingerprint, ["old", "new"]).keys() == {"new"}


def test_a_reader_on_a_replica_is_sent_to_the_primary(notes: Collection, sql: Sql) -> None:
    sql.execute("SET default_transaction_read_only = on")
    with pytest.raises(errors.ReadOnlySqlTransaction) as raised:
        sql.execute(CALL)
    sql.execute("RESET default_transaction_read_only")
    assert "on the primary" in (raised.value.diag.message_hint or "")


@pytest.mark.model
def test_local_models_are_loaded_before_anybody_asks(
    model_db: Database, sql: Sql, model_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_db.create_collection("local", model=model_name)
    monkeypatch.setattr(embedders, "_loaded", {})
    with answered(model_db):
        until(lambda: [key[0] for key in embedders._loaded] == [model_name])
        sql.execute("CALL semsearch.embed('local', 'where are the bicycles?', '60 s')")
    found = embedding(sql, "where are the bicycles?", "local")
    assert found is not None
    assert len(found) == 384
