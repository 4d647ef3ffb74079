"""The doors: requests for embeddings from SQL, word-vector models, keys of the HTTP API; roles.

What was made for attached tables moves into a schema of its own, for in ours nobody but its owner may make anything.
After a downgrade the functions attach and detach are still those of this revision, which do not find that schema, until
the program of before migrates and puts its own there.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UPGRADE = (
    # Unlogged: a request lives for milliseconds, and who asks waits for its commit. A crash loses it: it comes again.
    """
    CREATE UNLOGGED TABLE semsearch.embed_requests (
        collection_id  integer NOT NULL,
        hash           bytea NOT NULL,
        query          text NOT NULL,
        requested_by   text NOT NULL DEFAULT session_user,
        requested_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
        claimed_at     timestamptz,
        problem        text,
        PRIMARY KEY (collection_id, hash)
    ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
            autovacuum_vacuum_cost_delay = 0)
    """,
    """
    CREATE TABLE semsearch.word_models (
        id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name        text NOT NULL UNIQUE CHECK (name ~ '^[a-z][a-z0-9_]{0,47}$'),
        dimensions  integer NOT NULL CHECK (dimensions BETWEEN 1 AND 16000),
        words       bigint NOT NULL,
        lowercase   boolean NOT NULL,
        source      text NOT NULL,
        loaded_at   timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE semsearch.api_keys (
        id           text PRIMARY KEY,
        hash         bytea NOT NULL,
        name         text NOT NULL,
        scope        text NOT NULL CHECK (scope IN ('read', 'write', 'admin')),
        collections  text[],
        tenant       text,
        created_at   timestamptz NOT NULL DEFAULT now(),
        expires_at   timestamptz,
        revoked_at   timestamptz,
        used_at      timestamptz
    )
    """,
    # A type and no RETURNS TABLE: semsearch.similar has an argument that is called as a column of its answer.
    """
    CREATE TYPE semsearch.hit AS (
        document_id text, ordinal integer, distance double precision, text text, metadata jsonb, heading text
    )
    """,
)

# Functions that another role made cannot be moved by everybody: their tables must be attached anew, as is told then.
# The text of one names another, with its schema.
MOVE = """
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT p.oid, p.oid::regprocedure AS name, p.proname, substring(p.proname FROM '^enqueue_([0-9]+)$') AS number
        FROM pg_proc p
        WHERE p.pronamespace = '{before}'::regnamespace AND p.proname ~ '^(enqueue|enqueue_all|remains|lock)_[0-9]+$'
    LOOP
        BEGIN
            IF made.number IS NOT NULL THEN
                EXECUTE replace(
                    pg_get_functiondef(made.oid), format('{before}.remains_%s(gone)', made.number),
                    format('{after}.remains_%s(gone)', made.number)
                );
            END IF;
            EXECUTE format('ALTER FUNCTION %s SET SCHEMA {after}', made.name);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING 'function % cannot be moved by this role: attach its table again', made.name;
        END;
    END LOOP;
END $$
"""

UPGRADE_ATTACHED = (
    "CREATE SCHEMA semsearch_attached",
    "COMMENT ON SCHEMA semsearch_attached IS 'Functions made by semsearch.attach, of whoever attached a table.'",
    MOVE.format(before="semsearch", after="semsearch_attached"),
)
DOWNGRADE_ATTACHED = (
    MOVE.format(before="semsearch_attached", after="semsearch"),
    "DROP SCHEMA semsearch_attached CASCADE",
)

# The vectors of each word model lie in a table of their own, named after its number.
DROP_WORDS = """
DO $$
DECLARE
    model record;
BEGIN
    FOR model IN SELECT id FROM semsearch.word_models LOOP
        EXECUTE format('DROP TABLE IF EXISTS semsearch.%I CASCADE', 'words_' || model.id);
    END LOOP;
END $$
"""

# Functions, procedures and views of this revision.
DROP_ROUTINES = """
DO $$
DECLARE
    made record;
BEGIN
    DROP VIEW IF EXISTS semsearch.collection_spaces;
    FOR made IN
        SELECT p.oid::regprocedure AS name, p.prokind FROM pg_proc p
        WHERE p.pronamespace = 'semsearch'::regnamespace AND p.proname IN (
            'embed', 'require_no_transaction_block', 'find_space', 'query_embedding', 'keep_embedding',
            'request_embedding', 'embedding_state', 'withdraw_request', 'search', 'similar', 'nearest_chunks',
            'check_asked', 'serving_index', 'put', 'delete', 'hold_collection', 'document_problem', 'fits_field',
            'was_granted_tenant', 'describe', 'describe_collection', 'atomic_message', 'missing_rights'
        )
    LOOP
        EXECUTE format('DROP %s %s', CASE made.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, made.name);
    END LOOP;
END $$
"""

DOWNGRADE = (
    DROP_ROUTINES,
    "DROP TYPE semsearch.hit",
    DROP_WORDS,
    "DROP VIEW IF EXISTS semsearch.status",
    "DROP FUNCTION IF EXISTS semsearch.collection_counts(integer)",
    "DROP FUNCTION IF EXISTS semsearch.create_roles()",
    "DROP FUNCTION IF EXISTS semsearch.missing_roles()",
    "DROP FUNCTION IF EXISTS semsearch.grant_source(integer, regclass, text[])",
    "DROP FUNCTION IF EXISTS semsearch.grant_rights(text)",
    "DROP FUNCTION IF EXISTS semsearch.revoke_rights()",
    "DROP FUNCTION IF EXISTS semsearch.rights()",
    "DROP FUNCTION IF EXISTS semsearch.nearest_words(text, text, integer)",
    "DROP FUNCTION IF EXISTS semsearch.analogy(text, text, text, text, integer)",
    "DROP FUNCTION IF EXISTS semsearch.word_vector(text, text)",
    "DROP FUNCTION IF EXISTS semsearch.embed_words(text, text)",
    "DROP FUNCTION IF EXISTS semsearch.cut_words(text, boolean)",
    "DROP FUNCTION IF EXISTS semsearch.find_word_model(text)",
    "DROP TABLE semsearch.api_keys",
    "DROP TABLE semsearch.word_models",
    "DROP TABLE semsearch.embed_requests",
)


def upgrade() -> None:
    for statement in UPGRADE + UPGRADE_ATTACHED:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE + DOWNGRADE_ATTACHED:
        op.execute(statement)
