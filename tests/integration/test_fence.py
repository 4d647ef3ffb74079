"""The fence: whatever happens while a document is embedded, nothing stale is stored and nobody waits or fails.

Each test is one interleaving of a worker taken apart (`hands`) with the statements of users, without a sleep.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pytest

from semsearch import Document
from semsearch.collection import Collection
from tests.integration.hands import inputs, searchable
from tests.provider import Provider, vector

Sql = psycopg.Connection[Any]

UPDATE = "UPDATE semsearch.documents SET text = %s WHERE id = %s"
DELETE = "DELETE FROM semsearch.documents WHERE id = %s"
INSERT = """
INSERT INTO semsearch.documents (collection_id, id, text) SELECT id, %s, %s FROM semsearch.collections
"""
# Ten sentences, two to a chunk.
LONG = "\n\n".join(f"Sentence {number} is short enough." for number in range(10))


def assert_true(collection: Collection) -> None:
    """Nothing waits, every chunk belongs to the text of its document, and its embedding to the chunk."""
    assert collection.status().backlog == 0
    for id, texts in searchable(collection).items():
        document = collection.get(id)
        assert "".join("".join(texts).split()) == "".join(document.text.split())
        for text in texts:
            hits = collection.search(embedding=vector(text), top_k=1000)
            assert next(hit.distance for hit in hits if (hit.document_id, hit.text) == (id, text)) < 1e-6


def waiting(collection: Collection, *documents: Document) -> None:
    collection.put(documents, wait=False)


# A user changes what is being embedded


def test_an_update_while_embedding_is_not_lost(notes: Collection, hands: Any, sql: Sql) -> None:
    waiting(notes, Document("a", "old"))
    worker = hands(notes)
    worker.meanwhile(lambda: sql.execute(UPDATE, ("new", "a")))
    assert worker.step() == 1
    # The text that was read is stored, with its own embedding; the task of the new one is still there.
    assert (searchable(notes), notes.status().backlog) == ({"a": ["old"]}, 1)
    notes.work()
    assert searchable(notes) == {"a": ["new"]}
    assert_true(notes)


def test_a_document_deleted_while_embedding_is_not_stored(notes: Collection, hands: Any, sql: Sql) -> None:
    waiting(notes, Document("a", "old"), Document("b", "other"))
    worker = hands(notes)
    worker.meanwhile(lambda: sql.execute(DELETE, ("a",)))
    worker.step()
    assert searchable(notes) == {"b": ["other"]}
    assert notes.status().backlog == 1
    notes.work()
    assert_true(notes)


def test_deleting_through_the_door_while_embedding_leaves_nothing(notes: Collection, hands: Any) -> None:
    waiting(notes, Document("a", "old"))
    worker = hands(notes)
    worker.meanwhile(lambda: notes.delete(["a"]))
    worker.step()
    assert (searchable(notes), notes.status().backlog) == ({}, 0)


def test_deleted_and_inserted_again_while_embedding(notes: Collection, hands: Any, sql: Sql) -> None:
    waiting(notes, Document("a", "old"))

    def replace() -> None:
        sql.execute(DELETE, ("a",))
        sql.execute(INSERT, ("a", "new"))

    worker = hands(notes)
    worker.meanwhile(replace)
    worker.step()
    assert notes.status().backlog == 1
    notes.work()
    assert searchable(notes) == {"a": ["new"]}
    assert_true(notes)


def test_kept_embeddings_that_vanish_while_embedding_are_made_again(
    notes: Collection, hands: Any, provider: Provider, sql: Sql
) -> None:
    notes.put([Document("a", LONG)])
    changed = LONG + " Some more."
    waiting(notes, Document("a", changed))

    def replace() -> None:
        with sql.transaction():
            sql.execute(DELETE, ("a",))  # takes the chunks along whose embeddings the worker means to keep
            sql.execute(INSERT, ("a", changed))

    provider.reset()
    worker = hands(notes)
    worker.meanwhile(replace)
    worker.step()
    # First the two chunks that the last one has become, then all six of them.
    assert len(inputs(provider)) == 2 + 6
    assert len(searchable(notes)["a"]) == 6
    notes.work()
    assert_true(notes)


def test_a_user_who_rolls_back_changes_nothing(notes: Collection, hands: Any, sql: Sql) -> None:
    waiting(notes, Document("a", "old"))

    def try_it() -> None:
        with sql.transaction(force_rollback=True):
            sql.execute(UPDATE, ("new", "a"))
            sql.execute(DELETE, ("a",))

    worker = hands(notes)
    worker.meanwhile(try_it)
    worker.step()
    assert searchable(notes) == {"a": ["old"]}
    assert_true(notes)


def test_an_id_that_changes_takes_its_chunks_along(notes: Collection, hands: Any, sql: Sql) -> None:
    notes.put([Document("a", "one")])
    sql.execute("UPDATE semsearch.documents SET id = 'b' WHERE id = 'a'")
    assert searchable(notes) == {}
    notes.work()
    assert searchable(notes) == {"b": ["one"]}
    assert_true(notes)


def test_a_column_that_is_not_embedded_writes_no_task(notes: Collection, sql: Sql) -> None:
    notes.put([Document("a", "one")])
    sql.execute("UPDATE semsearch.documents SET updated_at = now(), source = 'x'")
    sql.execute("UPDATE semsearch.documents SET text = text")
    assert notes.status().backlog == 0


def test_bulk_keeps_the_triggers_still(notes: Collection, sql: Sql) -> None:
    notes.put([Document("a", "one")])
    with sql.transaction():
        sql.execute("SET LOCAL semsearch.bulk = 'on'")
        sql.execute(UPDATE, ("two", "a"))
        sql.execute(INSERT, ("b", "three"))
    assert notes.status().backlog == 0
    sql.execute(INSERT, ("c", "four"))
    assert notes.status().backlog == 1


# A DELETE that is still open


def test_finish_leaves_a_document_alone_that_is_just_being_deleted(
    notes: Collection, hands: Any, provider: Provider, sql: Sql
) -> None:
    waiting(notes, Document("a", "old"), Document("b", "other"))
    worker = hands(notes)
    with sql.transaction():
        sql.execute(DELETE, ("a",))
        worker.step()
        assert searchable(notes) == {"b": ["other"]}
        provider.reset()
        assert worker.step() == 0  # not again and again while the transaction is open: that would cost money
    assert inputs(provider) == []
    assert worker.step() == 1  # the task of the DELETE makes it due at once
    assert (searchable(notes), notes.status().backlog) == ({"b": ["other"]}, 0)


@pytest.mark.parametrize(("waited", "pause"), [(0, 1), (60, 15), (86_400, 30)])
def test_the_longer_a_row_is_held_the_seldomer_it_is_embedded_again(
    notes: Collection, hands: Any, sql: Sql, other_sql: Sql, waited: int, pause: int
) -> None:
    waiting(notes, Document("a", "old"))
    sql.execute("UPDATE semsearch.tasks SET enqueued_at = now() - make_interval(secs => %s)", (waited,))
    with other_sql.transaction():
        other_sql.execute("SELECT FROM semsearch.documents FOR UPDATE")
        hands(notes).step()
    found = sql.execute("SELECT extract(epoch FROM not_before - expires_at)::float FROM semsearch.leases").fetchone()
    assert found == (pytest.approx(pause, rel=0.2),)


def test_a_delete_that_is_rolled_back_delays_the_document_only(notes: Collection, hands: Any, sql: Sql) -> None:
    waiting(notes, Document("a", "old"))
    worker = hands(notes)
    with sql.transaction(force_rollback=True):
        sql.execute(DELETE, ("a",))
        for _ in range(3):
            worker.step()
            sql_time_passes(notes)
    worker.step()
    assert searchable(notes) == {"a": ["old"]}
    assert notes.status().failed == 0  # a fenced attempt is not held against the document


def sql_time_passes(collection: Collection) -> None:
    """As if a minute had gone by for every lease."""
    with collection._pools.writing.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE semsearch.leases SET not_before = not_before - interval '1 min', "
            "expires_at = expires_at - interval '1 min', claimed_at = claimed_at - interval '1 min'"
        )


def test_chunks_can_not_appear_after_a_delete_has_committed(notes: Collection, hands: Any, sql: Sql) -> None:
    notes.put([Document("a", "old")])
    waiting(notes, Document("a", "new"))
    worker = hands(notes)
    worker.claim()
    worker.prepare()
    with sql.transaction():
        sql.execute(DELETE, ("a",))
        assert worker.finish() == []
    assert searchable(notes) == {}  # at once, although the task of the DELETE has not been done


# Two workers


def test_two_workers_share_the_tasks(notes: Collection, hands: Any) -> None:
    waiting(notes, *(Document(f"d{number}", f"text {number}") for number in range(4)))
    first, second = hands(notes), hands(notes)
    shares = first.claim(2), second.claim(2)
    assert sorted([*shares[0], *shares[1]]) == ["d0", "d1", "d2", "d3"]
    assert hands(notes).claim() == []
    for worker in (first, second):
        worker.prepare()
        assert len(worker.finish()) == 2
    assert_true(notes)


def test_a_task_is_leased_once_although_both_saw_it(notes: Collection, hands: Any) -> None:
    waiting(notes, Document("a", "one"))
    first, second = hands(notes), hands(notes)
    with first.engine.begin() as one, second.engine.begin() as two:
        one.exec_driver_sql("SELECT count(*) FROM semsearch.leases")
        from semsearch.store import tasks

        assert len(tasks.claim(one, notes._space, 1, 10, 60)) == 1
        assert tasks.claim(two, notes._space, 2, 10, 60) == []  # the row is locked: skipped, not waited for


def test_a_zombie_whose_lease_was_taken_over_stores_nothing(
    notes: Collection, hands: Any, provider: Provider, sql: Sql
) -> None:
    waiting(notes, Document("a", "one"))
    zombie, other = hands(notes), hands(notes)
    zombie.claim()
    zombie.prepare()
    sql_time_passes(notes)
    sql_time_passes(notes)
    assert other.claim() == ["a"]
    other.prepare()
    assert other.finish() == ["a"]
    sql.execute(UPDATE, ("two", "a"))
    notes.work()
    assert zombie.finish() == []
    assert searchable(notes) == {"a": ["two"]}
    assert_true(notes)


def test_a_zombie_that_finishes_first_fences_the_one_who_took_over(notes: Collection, hands: Any) -> None:
    waiting(notes, Document("a", "one"))
    zombie, other = hands(notes), hands(notes)
    zombie.claim()
    zombie.prepare()
    sql_time_passes(notes)
    assert other.claim() == ["a"]
    other.prepare()
    assert zombie.finish() == ["a"]
    assert other.finish() == []
    assert_true(notes)


def test_an_older_reading_does_not_replace_a_newer_one(notes: Collection, hands: Any, sql: Sql) -> None:
    waiting(notes, Document("a", "one"))
    slow, quick = hands(notes), hands(notes)
    slow.claim()
    slow.prepare()  # has read version 1
    sql.execute(UPDATE, ("two", "a"))
    sql_time_passes(notes)
    assert quick.claim() == ["a"]
    quick.prepare()  # has read versions 1 and 2
    assert quick.finish() == ["a"]
    assert slow.finish() == []
    assert searchable(notes) == {"a": ["two"]}


def test_of_two_versions_read_both_must_still_be_there(notes: Collection, hands: Any, sql: Sql) -> None:
    waiting(notes, Document("a", "one"))
    slow, quick = hands(notes), hands(notes)
    slow.claim()
    slow.prepare()  # version 1
    sql.execute(UPDATE, ("two", "a"))
    sql_time_passes(notes)
    quick.claim()
    quick.prepare()  # versions 1 and 2
    sql.execute(UPDATE, ("three", "a"))  # version 3
    assert slow.finish() == ["a"]  # deletes version 1
    assert quick.finish() == []  # so version 2 stays, and is not lost
    assert notes.status().backlog == 1
    sql_time_passes(notes)
    notes.work()
    assert searchable(notes) == {"a": ["three"]}
    assert_true(notes)


def test_the_fence_holds_back_only_the_documents_concerned(notes: Collection, hands: Any, sql: Sql) -> None:
    waiting(notes, *(Document(f"d{number}", f"text {number}") for number in range(5)))
    worker = hands(notes)
    worker.claim()
    worker.prepare()
    sql.execute("DELETE FROM semsearch.tasks WHERE document_id = 'd2'")  # as if another worker had done it
    sql.execute(DELETE, ("d3",))
    assert worker.finish() == ["d0", "d1", "d4"]
    assert set(searchable(notes)) == {"d0", "d1", "d4"}
    left = sql.execute("SELECT document_id, attempt FROM semsearch.leases").fetchall()
    assert left == [("d3", 0)]  # to be tried again; that of d2 ended with its task


def test_chunks_that_came_to_be_meanwhile_are_replaced(notes: Collection, hands: Any, sql: Sql) -> None:
    waiting(notes, Document("a", "one"))
    worker = hands(notes)

    def store_by_hand() -> None:
        sql.execute(
            f"""
            INSERT INTO semsearch.{notes._space.table_name}
                (document_id, ordinal, start, "end", hash, heading, embedding, text, metadata)
            VALUES ('a', 0, 0, 3, '', '', '[1,0,0,0,0,0,0,0]', 'xyz', '{{}}')
            """
        )

    worker.meanwhile(store_by_hand)
    worker.step()
    assert searchable(notes) == {"a": ["one"]}
    assert_true(notes)


# Users never wait, never fail


def test_users_do_not_wait_for_a_finish_that_is_open(notes: Collection, hands: Any, sql: Sql, other_sql: Sql) -> None:
    notes.put([Document("a", "one"), Document("b", "two")])
    waiting(notes, Document("a", "one more"), Document("b", "two more"))
    worker = hands(notes)
    worker.claim()
    worker.prepare()
    sql.execute("SET lock_timeout = '50ms'")
    with worker.engine.begin() as connection:
        assert worker.finish_in(connection) == ["a", "b"]
        sql.execute(UPDATE, ("changed", "a"))
        sql.execute("UPDATE semsearch.documents SET metadata = '{}', format = 'markdown' WHERE id = 'b'")
        sql.execute(INSERT, ("c", "three"))
        sql.execute(
            "INSERT INTO semsearch.documents (collection_id, id, text) SELECT id, 'a', 'upsert' "
            "FROM semsearch.collections ON CONFLICT (collection_id, id) DO UPDATE SET text = excluded.text"
        )
        with pytest.raises(psycopg.errors.LockNotAvailable):  # this one waits, for one short commit
            sql.execute(DELETE, ("b",))
    notes.work()
    assert searchable(notes)["a"] == ["upsert"]
    assert_true(notes)


def test_users_do_not_wait_for_a_claim_that_is_open(notes: Collection, hands: Any, sql: Sql) -> None:
    from semsearch.store import tasks

    waiting(notes, Document("a", "one"), Document("b", "two"))
    worker = hands(notes)
    sql.execute("SET lock_timeout = '50ms'")
    with worker.engine.begin() as connection:
        assert len(tasks.claim(connection, notes._space, worker.worker.number, 10, 60)) == 2
        sql.execute(UPDATE, ("changed", "a"))
        sql.execute(DELETE, ("b",))
    sql_time_passes(notes)
    notes.work()
    assert searchable(notes) == {"a": ["changed"]}


def test_workers_do_not_wait_for_a_user_who_leaves_his_transaction_open(
    notes: Collection, hands: Any, sql: Sql
) -> None:
    waiting(notes, Document("a", "one"), Document("b", "two"))
    worker = hands(notes)
    with sql.transaction():
        sql.execute(UPDATE, ("changed", "a"))
        assert worker.step() == 2
        assert searchable(notes) == {"a": ["one"], "b": ["two"]}
    notes.work()
    assert searchable(notes) == {"a": ["changed"], "b": ["two"]}


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_user_with_an_old_snapshot_may_delete_what_was_embedded_anew(notes: Collection, sql: Sql, level: str) -> None:
    notes.put([Document("a", "one", {"year": 1})])
    sql.isolation_level = psycopg.IsolationLevel[level.replace(" ", "_")]
    with sql.transaction():
        sql.execute("SELECT count(*) FROM semsearch.documents")  # takes the snapshot
        # the chunks are rewritten, the row of the document is not
        with notes._pools.writing.begin() as connection:
            connection.exec_driver_sql("UPDATE " + f"semsearch.{notes._space.table_name} SET heading = 'new'")
        sql.execute(DELETE, ("a",))
    assert notes.status().backlog == 1
    notes.work()
    assert searchable(notes) == {}
    assert_true(notes)


def test_a_chunk_table_that_is_gone_does_not_fail_the_user(notes: Collection, sql: Sql) -> None:
    notes.put([Document("a", "one")])
    sql.execute(
        "INSERT INTO semsearch.spaces (collection_id, state, dimensions, distance, vector_type, chunk_size, "
        "chunk_overlap) SELECT id, 'retired', 8, 'l2', 'vector', 0, 0 FROM semsearch.collections"
    )
    sql.execute(DELETE, ("a",))
    assert searchable(notes) == {}


def test_a_user_without_rights_on_our_tables_may_still_write_documents(notes: Collection, sql: Sql) -> None:
    sql.execute("CREATE ROLE fence_writer")
    try:
        sql.execute("GRANT USAGE ON SCHEMA semsearch TO fence_writer")
        sql.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON semsearch.documents TO fence_writer")
        number = notes._space.collection_id
        with sql.transaction():
            sql.execute("SET LOCAL ROLE fence_writer")
            sql.execute("INSERT INTO semsearch.documents (collection_id, id, text) VALUES (%s, 'a', 'x')", (number,))
            sql.execute(UPDATE, ("y", "a"))
        assert notes.status().backlog == 1
    finally:
        sql.execute("DROP OWNED BY fence_writer")
        sql.execute("DROP ROLE fence_writer")


# Given embeddings fence workers, too


def one(position: int) -> np.ndarray[Any, Any]:
    return np.eye(8, dtype=np.float32)[position]


def test_a_given_embedding_fences_a_worker_that_has_read_the_old_text(notes: Collection, hands: Any) -> None:
    waiting(notes, Document("a", "old"))
    worker = hands(notes)
    worker.meanwhile(lambda: notes.put([Document("a", "given", embedding=one(0))]))
    worker.step()
    assert searchable(notes) == {"a": ["given"]}
    assert notes.search(embedding=one(0))[0].distance == pytest.approx(0, abs=1e-6)
    assert notes.status().backlog == 0


def test_also_when_the_document_was_deleted_in_between(notes: Collection, hands: Any, sql: Sql) -> None:
    notes.put([Document("a", "older")])
    waiting(notes, Document("a", "old"))

    def replace() -> None:
        sql.execute(DELETE, ("a",))
        notes.put([Document("a", "given", embedding=one(0))])  # new again, so it takes the short way

    worker = hands(notes)
    worker.meanwhile(replace)
    worker.step()
    notes.work()
    assert searchable(notes) == {"a": ["given"]}
    assert notes.search(embedding=one(0))[0].distance == pytest.approx(0, abs=1e-6)


def test_a_given_embedding_stays_when_only_the_metadata_change_by_sql(
    notes: Collection, provider: Provider, sql: Sql
) -> None:
    notes.put([Document("a", "given", {"year": 1}, embedding=one(0))])
    sql.execute("""UPDATE semsearch.documents SET metadata = '{"year": 2}'""")
    notes.work()
    assert inputs(provider) == []
    hit = notes.search(embedding=one(0), filter={"year": 2})[0]
    assert hit.distance == pytest.approx(0, abs=1e-6)


def test_a_given_embedding_goes_with_its_text(notes: Collection, provider: Provider, sql: Sql) -> None:
    notes.put([Document("a", "given", embedding=one(0))])
    sql.execute(UPDATE, ("another text", "a"))
    notes.work()
    assert inputs(provider) == ["another text"]
    assert_true(notes)
