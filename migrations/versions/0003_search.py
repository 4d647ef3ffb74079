"""Full text, tenants, later fields, what was measured of an index, and a sample of the queries it is measured by."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Collections made before have no full text: to add its column would rewrite their chunks during the upgrade.
UPGRADE = (
    "ALTER TABLE semsearch.collections ADD COLUMN language text",
    "ALTER TABLE semsearch.collections ADD COLUMN tenant text",
    "ALTER TABLE semsearch.spaces ADD COLUMN index_settings jsonb NOT NULL DEFAULT '{}'",
    "ALTER TABLE semsearch.spaces ADD COLUMN calibration jsonb",
    """
    CREATE TABLE semsearch.sampled_queries (
        collection_id  integer NOT NULL,
        id             bigint GENERATED ALWAYS AS IDENTITY,
        embedding      vector NOT NULL,
        filter         jsonb,
        top_k          integer NOT NULL,
        asked_at       timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (collection_id, id)
    )
    """,
    """
    CREATE TABLE semsearch.recalls (
        collection_id     integer NOT NULL,
        measured_at       timestamptz NOT NULL,
        space_id          integer NOT NULL,
        top_k             integer NOT NULL,
        queries           integer NOT NULL,
        recall            double precision,
        filtered_queries  integer NOT NULL,
        filtered_recall   double precision,
        ef_search         integer,
        PRIMARY KEY (collection_id, measured_at)
    )
    """,
    "COMMENT ON TABLE semsearch.sampled_queries IS 'Some of the queries that were asked, to measure recall by.'",
    "COMMENT ON TABLE semsearch.recalls IS 'Recall of the ANN index as it was measured, and when.'",
)

DOWNGRADE = (
    "DROP TABLE semsearch.recalls",
    "DROP TABLE semsearch.sampled_queries",
    "ALTER TABLE semsearch.spaces DROP COLUMN calibration",
    "ALTER TABLE semsearch.spaces DROP COLUMN index_settings",
    "ALTER TABLE semsearch.collections DROP COLUMN tenant",
    "ALTER TABLE semsearch.collections DROP COLUMN language",
)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)
