"""Attached tables, workers and what they did, token budgets, the cache of document embeddings."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UPGRADE = (
    "ALTER TABLE semsearch.collections ADD COLUMN attachment jsonb",
    "ALTER TABLE semsearch.collections ADD COLUMN blocked_at timestamptz",
    "ALTER TABLE semsearch.collections ADD COLUMN cached boolean NOT NULL DEFAULT false",
    "ALTER TABLE semsearch.collections ADD COLUMN token_budget bigint CHECK (token_budget > 0)",
    "ALTER TABLE semsearch.spaces ADD COLUMN probe vector",
    """
    CREATE TABLE semsearch.backfills (
        collection_id  integer PRIMARY KEY REFERENCES semsearch.collections ON DELETE CASCADE,
        position       jsonb,
        enqueued       bigint NOT NULL DEFAULT 0,
        started_at     timestamptz NOT NULL DEFAULT now(),
        finished_at    timestamptz
    )
    """,
    """
    CREATE TABLE semsearch.workers (
        number      integer PRIMARY KEY,
        host        text NOT NULL,
        process_id  integer NOT NULL,
        version     text NOT NULL,
        started_at  timestamptz NOT NULL DEFAULT now(),
        seen_at     timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE semsearch.usage (
        collection_id  integer NOT NULL,
        minute         timestamptz NOT NULL,
        worker         integer NOT NULL,
        documents      bigint NOT NULL DEFAULT 0,
        chunks         bigint NOT NULL DEFAULT 0,
        embedded       bigint NOT NULL DEFAULT 0,
        cached         bigint NOT NULL DEFAULT 0,
        tokens         bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (collection_id, minute, worker)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE semsearch.document_embeddings (
        fingerprint  text NOT NULL,
        hash         bytea NOT NULL,
        embedding    vector NOT NULL,
        created_at   timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (fingerprint, hash)
    )
    """,
    "COMMENT ON TABLE semsearch.backfills IS 'How far the existing rows of attached tables have become tasks.'",
    "COMMENT ON TABLE semsearch.workers IS 'Processes that embed: who they are and when they were last heard of.'",
    "COMMENT ON TABLE semsearch.usage IS 'What each worker did for each collection, by minute.'",
    "COMMENT ON TABLE semsearch.document_embeddings IS 'Embeddings of chunks made before, so that nobody pays twice.'",
)

# Triggers on users' tables go with the functions made for each, which are named after the collection's number.
DETACH = """
DO $$
DECLARE
    made regprocedure;
BEGIN
    FOR made IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'semsearch'::regnamespace AND proname ~ '^(enqueue|enqueue_all|remains|lock)_[0-9]+$'
    LOOP
        EXECUTE format('DROP FUNCTION %s CASCADE', made);
    END LOOP;
    FOR made IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'semsearch'::regnamespace AND proname IN (
            'attach', 'detach', 'check_source', 'attachment_problem', 'attachment_columns', 'collection_problem',
            'relation_problem', 'columns_problem', 'citus_problem', 'primary_key', 'key_type', 'key_expression',
            'rights_problem', 'same_key_expression', 'changed_expression', 'read_change', 'lock_table',
            'lock_documents', 'create_attached_functions', 'create_attached_triggers'
        )
    LOOP
        EXECUTE format('DROP FUNCTION %s', made);
    END LOOP;
END $$
"""

DOWNGRADE = (
    DETACH,
    "DROP FUNCTION IF EXISTS semsearch.enqueue_truncated() CASCADE",
    "DROP FUNCTION IF EXISTS semsearch.remove_truncated(integer, text)",
    "DROP VIEW IF EXISTS semsearch.status",
    "DROP VIEW IF EXISTS semsearch.failed_documents",
    "DROP VIEW IF EXISTS semsearch.live_workers",
    "DROP FUNCTION IF EXISTS semsearch.stored_documents(integer)",
    "DROP FUNCTION IF EXISTS semsearch.table_rows(regclass)",
    "DROP FUNCTION IF EXISTS semsearch.attached_table(jsonb)",
    "DROP FUNCTION IF EXISTS semsearch.retry(text, text, text, timestamptz)",
    "DROP FUNCTION IF EXISTS semsearch.purge_failures(text, text, text, timestamptz)",
    "DROP TABLE semsearch.document_embeddings",
    "DROP TABLE semsearch.usage",
    "DROP TABLE semsearch.workers",
    "DROP TABLE semsearch.backfills",
    "ALTER TABLE semsearch.spaces DROP COLUMN probe",
    "ALTER TABLE semsearch.collections DROP COLUMN token_budget",
    "ALTER TABLE semsearch.collections DROP COLUMN cached",
    "ALTER TABLE semsearch.collections DROP COLUMN blocked_at",
    "ALTER TABLE semsearch.collections DROP COLUMN attachment",
)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)
