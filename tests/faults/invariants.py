"""What must hold in any snapshot of the database, whatever is being killed.

lost        a source row has neither a task, nor a failure, nor chunks that say what it says
stale       what can be found differs from its source, and no task is there to change that
orphan      chunks without a source row, and no task is there to remove them
deleted     chunks without a source row: a DELETE makes a document unfindable as it commits
embedding   a chunk's embedding or hash is not that of its text
torn        chunks of one document are missing, doubled or of different versions
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.faults.truth import CHECK, EMBEDDING

Violations = dict[str, list[str]]  # ids of documents by what is wrong with them


@dataclass(frozen=True)
class Subject:
    """A collection to be looked at. `documents` selects id and text of its source.

    `excused` is a condition on `d.id`: a user under REPEATABLE READ does not see, and so cannot remove, chunks stored
    since his snapshot; these documents may be found until the task of the DELETE is done. `computed`: embeddings are
    those of truth.py, which SQL can compute; those of a real model are left to whoever has it.
    """

    collection_id: int
    space_id: int
    documents: str
    excused: str = "false"
    computed: bool = True


def subject(
    connection: psycopg.Connection[Any],
    name: str,
    documents: str = "",
    excused: str = "false",
    computed: bool = True,
) -> Subject:
    row = connection.execute(
        "SELECT c.id, s.id FROM semsearch.collections c JOIN semsearch.spaces s ON s.collection_id = c.id"
        " WHERE c.name = %s AND s.state = 'live'",
        (name,),
    ).fetchone()
    assert row, f"no collection {name}"
    own = f"SELECT id, text FROM semsearch.documents WHERE collection_id = {row[0]}"
    return Subject(row[0], row[1], documents or own, excused, computed)


def violations(connection: psycopg.Connection[Any], *subjects: Subject) -> Violations:
    """Everything that is wrong, in one snapshot of all subjects."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for each in subjects:
            for wrong, id in connection.execute(_statement(each)):
                found[wrong].append(id)
    return dict(found)


def backlog(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT count(*) FROM semsearch.tasks").fetchone()
    assert row
    return int(row[0])


def settled(connection: psycopg.Connection[Any], *subjects: Subject) -> float:
    """The share of the documents that have no task."""
    every, waiting = 0, 0
    for each in subjects:
        row = connection.execute(
            f"SELECT (SELECT count(*) FROM ({each.documents}) AS d), (SELECT count(DISTINCT document_id)"
            f" FROM semsearch.tasks WHERE collection_id = {each.collection_id})"
        ).fetchone()
        assert row
        every, waiting = every + row[0], waiting + row[1]
    return max(0.0, 1 - waiting / every) if every else 1.0


def _statement(subject: Subject) -> Any:
    right = f"c.embedding::real[] = {EMBEDDING}" if subject.computed else "true"
    return f"""
WITH source AS MATERIALIZED ({subject.documents}),
waiting AS MATERIALIZED (
    SELECT DISTINCT document_id AS id FROM semsearch.tasks WHERE collection_id = {subject.collection_id}
),
failed AS MATERIALIZED (
    SELECT document_id AS id FROM semsearch.failures WHERE collection_id = {subject.collection_id}
),
found AS MATERIALIZED (
    SELECT c.document_id AS id, s.id IS NULL AS gone,
           count(*) = max(c.ordinal) + 1 AS counted,
           translate(string_agg(c.text, '' ORDER BY c.ordinal), E' \\n', '') AS joined,
           bool_and(substr(s.text, c.start + 1, c."end" - c.start) = c.text)
               AND translate(string_agg(c.text, '' ORDER BY c.ordinal), E' \\n', '')
                   = translate(min(s.text), E' \\n', '') AS current,
           bool_and({right} AND c.hash = sha256(
               convert_to(p.fingerprint, 'UTF8') || '\\x00' || convert_to(c.text, 'UTF8'))) AS embedded
    FROM semsearch.chunks_{subject.space_id} c
    JOIN semsearch.spaces p ON p.id = {subject.space_id}
    LEFT JOIN source s ON s.id = c.document_id
    GROUP BY c.document_id, s.id
)
SELECT 'lost', s.id FROM source s LEFT JOIN found d ON d.id = s.id
WHERE d.current IS NOT TRUE AND s.id NOT IN (SELECT id FROM waiting) AND s.id NOT IN (SELECT id FROM failed)
UNION ALL
SELECT 'stale', d.id FROM found d
WHERE NOT d.gone AND d.current IS NOT TRUE AND d.id NOT IN (SELECT id FROM waiting)
UNION ALL
SELECT 'orphan', d.id FROM found d WHERE d.gone AND d.id NOT IN (SELECT id FROM waiting)
UNION ALL
SELECT 'deleted', d.id FROM found d WHERE d.gone AND NOT ({subject.excused})
UNION ALL
SELECT 'embedding', d.id FROM found d WHERE NOT d.embedded
UNION ALL
SELECT 'torn', d.id FROM found d
WHERE NOT d.counted OR right(d.joined, {CHECK}) <> left(md5(left(d.joined, -{CHECK})), {CHECK})
"""
