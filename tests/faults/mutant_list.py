"""The mutants: harmful ones, each of which something must catch, and harmless ones, which nothing may flag."""

from __future__ import annotations

from tests.faults.mutants import SQL, Edit, Mutant

TASKS, WORK, CHUNKS = "semsearch.store.tasks", "semsearch.work", "semsearch.store.chunks"
LEASES, SOURCE, EMBEDDING = "semsearch.store.leases", "semsearch.store.source", "semsearch.embedding"

# A function has a snapshot of its own for each statement: the versions are read after the text.
LATE_VERSIONS = """
CREATE OR REPLACE FUNCTION public.late_versions(collection_id integer, document_id text) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(77);
    PERFORM pg_sleep(0.002);
    RETURN ARRAY(SELECT t.version FROM semsearch.tasks t WHERE t.collection_id = $1 AND t.document_id = $2);
END $$
"""

HARMFUL = (
    Mutant(
        "completion by id: the versions read are not looked at",
        (
            Edit(TASKS, " AND t.version = u.version", ""),
            Edit(TASKS, "return {id for id, count in remaining.items() if count}", "return set()"),
        ),
        spec="an update",
    ),
    Mutant(
        "text first, versions second",
        (
            Edit(
                SOURCE,
                "func.array(waiting.scalar_subquery(), type_=ARRAY(BIGINT))",
                "func.public.late_versions(space.collection_id, given.c.id, type_=ARRAY(BIGINT))",
            ),
        ),
        statement=LATE_VERSIONS,
        spec="between two reads",
    ),
    Mutant(
        "finish does not lock the source",
        (Edit(TASKS, "locked = source.lock(connection, space,", "locked = set("),),
        spec="a delete",
    ),
    Mutant(
        "the trigger leaves the chunks of a deleted document to the worker",
        (Edit(SQL, "WHERE document_id = $1', 'chunks_'", "WHERE document_id = $1 AND false', 'chunks_'"),),
        spec="a document nobody works on",
    ),
    Mutant(
        "the trigger does not see that an id changes",
        (Edit(SQL, "OR (tg_op = 'UPDATE' AND (old.collection_id", "OR (tg_op = 'TRUNCATE' AND (old.collection_id"),),
        spec="a new id",
    ),
    Mutant(
        "the trigger does not see that the text changes",
        (Edit(SQL, "AFTER UPDATE OF collection_id, id, title, text,", "AFTER UPDATE OF collection_id, id, title,"),),
        spec="an update",
    ),
    Mutant(
        "what the trigger meets fails the user",
        (Edit(SQL, "EXCEPTION WHEN serialization_failure OR", "EXCEPTION WHEN division_by_zero OR"),),
        spec="a delete with an old snapshot",
        chaotic=False,
    ),
    Mutant(
        "a document that failed keeps its old chunks",
        (Edit(WORK, "for id in ids if id in stored}", "for id in ids if id in stored and id not in prepared.failed}"),),
        spec="poison",
    ),
    Mutant(
        "the tasks are gone before the chunks are stored",
        (
            Edit(
                WORK,
                "    ids = [work.claim.document_id for work in finished]\n    rows =",
                "    chunks.driver(connection).commit()\n"
                "    ids = [work.claim.document_id for work in finished]\n    rows =",
            ),
        ),
    ),
    Mutant(
        "chunks that a shorter text no longer has stay",
        (Edit(CHUNKS, "AND c.ordinal >= u.length", "AND c.ordinal > u.length + 100"),),
        spec="an update",
    ),
    Mutant(
        "an embedding is kept for another text",
        (Edit(CHUNKS, "AND o.hash = s.hash LIMIT 1", "LIMIT 1"),),
        spec="an update",
    ),
    Mutant(
        "a worker that was fenced forgives a failure",
        (
            Edit(
                WORK,
                "tasks.forgive(connection, space, ids)",
                "tasks.forgive(connection, space, [w.claim.document_id for w in works])",
            ),
        ),
        spec="two workers and poison",
    ),
    Mutant(
        "embeddings are given to the wrong texts",
        (
            Edit(
                EMBEDDING,
                "embeddings, strict=True))\n            self.prepared",
                "embeddings[::-1], strict=True))\n            self.prepared",
            ),
        ),
        spec="an update",
    ),
    Mutant(
        "the guard of the claim is left out",
        (Edit(TASKS, "WHERE (l.expires_at <= excluded.claimed_at OR", "WHERE (true OR"),),
    ),
    Mutant(
        "the attempt is not charged by the claim",
        (Edit(TASKS, "THEN 1 ELSE l.attempt + 1 END", "THEN 1 ELSE l.attempt END"),),
        chaotic=False,
    ),
    Mutant("tasks do not survive a crash", statement="ALTER TABLE semsearch.tasks SET UNLOGGED"),
)

HARMLESS = (
    Mutant(
        "leases are ended whoever holds them",
        (Edit(LEASES, " AND l.token = ANY(:tokens)", " AND cardinality(:tokens) > 0"),),
        spec="two workers and an update",
    ),
    Mutant(
        "a claim waits for another one instead of going past",
        (Edit(TASKS, "FOR UPDATE OF t SKIP LOCKED", "FOR UPDATE OF t"),),
        spec="two workers and an update",
    ),
)

BY_NAME = {mutant.name: mutant for mutant in (*HARMFUL, *HARMLESS)}
