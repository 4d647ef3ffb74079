"""The static tables: collections, spaces, documents, tasks, leases, failures, query_embeddings."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# One statement per execute, the document id in every key, identity only at CREATE: the same schema runs on Citus.
# Hot tables are small and churn: vacuum them early, and leave room on the page for updates in place.
UPGRADE = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    "CREATE SCHEMA IF NOT EXISTS collections",
    """
    CREATE TABLE semsearch.collections (
        id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name        text NOT NULL UNIQUE CHECK (name ~ '^[a-z][a-z0-9_]{0,47}$'),
        source      text NOT NULL DEFAULT 'documents',
        fields      jsonb NOT NULL DEFAULT '[]',
        state       text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'blocked')),
        reason      text,
        created_at  timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE semsearch.spaces (
        id             integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        collection_id  integer NOT NULL REFERENCES semsearch.collections ON DELETE CASCADE,
        state          text NOT NULL DEFAULT 'live' CHECK (state IN ('building', 'live', 'retired')),
        model          text,
        dimensions     integer NOT NULL CHECK (dimensions BETWEEN 1 AND 16000),
        shortened      boolean NOT NULL DEFAULT false,
        distance       text NOT NULL CHECK (distance IN ('cosine', 'l2', 'inner_product', 'l1')),
        vector_type    text NOT NULL CHECK (vector_type IN ('vector', 'halfvec')),
        chunk_size     integer NOT NULL CHECK (chunk_size >= 0),
        chunk_overlap  integer NOT NULL CHECK (chunk_overlap >= 0),
        index_kind     text NOT NULL DEFAULT 'auto' CHECK (index_kind IN ('auto', 'hnsw', 'ivfflat', 'none')),
        fingerprint    text,
        created_at     timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE UNIQUE INDEX spaces_live ON semsearch.spaces (collection_id) WHERE state = 'live'",
    """
    CREATE TABLE semsearch.documents (
        collection_id  integer NOT NULL,
        id             text NOT NULL,
        title          text,
        text           text NOT NULL,
        format         text NOT NULL DEFAULT 'text',
        metadata       jsonb NOT NULL DEFAULT '{}',
        source         text,
        updated_at     timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (collection_id, id)
    )
    """,
    "CREATE SEQUENCE semsearch.task_version",
    "CREATE SEQUENCE semsearch.lease_token",
    "CREATE SEQUENCE semsearch.worker_number AS integer CYCLE",
    """
    CREATE TABLE semsearch.tasks (
        collection_id  integer NOT NULL,
        document_id    text NOT NULL,
        version        bigint NOT NULL DEFAULT nextval('semsearch.task_version'),
        lane           smallint NOT NULL DEFAULT 0,
        enqueued_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (collection_id, document_id, version)
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
            autovacuum_vacuum_cost_delay = 0)
    """,
    "CREATE INDEX tasks_order ON semsearch.tasks (collection_id, lane, version)",
    """
    CREATE TABLE semsearch.leases (
        collection_id  integer NOT NULL,
        document_id    text NOT NULL,
        token          bigint NOT NULL,
        version        bigint NOT NULL,
        worker         integer NOT NULL,
        attempt        integer NOT NULL,
        claimed_at     timestamptz NOT NULL,
        expires_at     timestamptz NOT NULL,
        not_before     timestamptz NOT NULL DEFAULT '-infinity',
        reason         text,
        PRIMARY KEY (collection_id, document_id)
    ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
            autovacuum_vacuum_cost_delay = 0)
    """,
    """
    CREATE TABLE semsearch.failures (
        collection_id  integer NOT NULL,
        document_id    text NOT NULL,
        reason         text NOT NULL,
        attempts       integer NOT NULL,
        failed_at      timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (collection_id, document_id)
    )
    """,
    """
    CREATE TABLE semsearch.query_embeddings (
        fingerprint  text NOT NULL,
        hash         bytea NOT NULL,
        embedding    vector NOT NULL,
        created_at   timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (fingerprint, hash)
    )
    """,
    "COMMENT ON SCHEMA semsearch IS 'What semsearch owns. Query the views in schema collections instead.'",
    "COMMENT ON SCHEMA collections IS 'One view per collection: its chunks, with metadata and embedding.'",
    "COMMENT ON TABLE semsearch.collections IS 'Named sets of documents that are searched together.'",
    "COMMENT ON TABLE semsearch.spaces IS 'Embedding spaces: model, dimensions, distance, chunking; one live each.'",
    "COMMENT ON TABLE semsearch.documents IS 'Documents that were put in; changing a row enqueues a task.'",
    "COMMENT ON TABLE semsearch.tasks IS 'What must be brought up to date. Triggers insert, workers delete.'",
    "COMMENT ON TABLE semsearch.leases IS 'Who works on which document since when. Written by workers only.'",
    "COMMENT ON TABLE semsearch.failures IS 'Documents that were given up, with the reason.'",
    "COMMENT ON TABLE semsearch.query_embeddings IS 'Embeddings of queries asked before.'",
    "COMMENT ON TABLE semsearch.alembic_version IS 'The last migration that was run.'",
)

DOWNGRADE = (
    "DROP SCHEMA collections CASCADE",
    "DROP FUNCTION IF EXISTS semsearch.enqueue_document() CASCADE",
    "DROP FUNCTION IF EXISTS semsearch.remove_chunks(integer, text)",
    "DROP FUNCTION IF EXISTS semsearch.to_date(jsonb) CASCADE",
    "DROP FUNCTION IF EXISTS semsearch.to_timestamp(jsonb) CASCADE",
    "DROP TABLE semsearch.query_embeddings",
    "DROP TABLE semsearch.failures",
    "DROP TABLE semsearch.leases",
    "DROP TABLE semsearch.tasks",
    "DROP SEQUENCE semsearch.task_version",
    "DROP SEQUENCE semsearch.lease_token",
    "DROP SEQUENCE semsearch.worker_number",
    "DROP TABLE semsearch.documents",
    "DROP TABLE semsearch.spaces",
    "DROP TABLE semsearch.collections",
)

DROP_SPACES = """
DO $$
DECLARE
    space record;
BEGIN
    FOR space IN SELECT id FROM semsearch.spaces LOOP
        EXECUTE format('DROP TABLE IF EXISTS semsearch.%I CASCADE', 'chunks_' || space.id);
    END LOOP;
END $$
"""


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    op.execute(DROP_SPACES)
    for statement in DOWNGRADE:
        op.execute(statement)
