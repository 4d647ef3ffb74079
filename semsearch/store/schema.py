"""The static tables as SQLAlchemy sees them; migrations create them, `alembic check` keeps the two equal."""

from __future__ import annotations

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(schema="semsearch")

moment = DateTime(timezone=True)
task_version = Sequence("task_version", metadata=metadata)
lease_token = Sequence("lease_token", metadata=metadata)
worker_number = Sequence("worker_number", metadata=metadata, data_type=Integer, cycle=True)

collections = Table(
    "collections",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False, server_default="documents"),
    Column("fields", JSONB, nullable=False, server_default="[]"),
    Column("state", Text, nullable=False, server_default="active"),
    Column("reason", Text),
    Column("created_at", moment, nullable=False, server_default=func.now()),
    Column("attachment", JSONB),
    Column("blocked_at", moment),
    Column("cached", Boolean, nullable=False, server_default="false"),
    Column("token_budget", BigInteger),
    Column("language", Text),
    Column("tenant", Text),
    UniqueConstraint("name", name="collections_name_key"),
)

spaces = Table(
    "spaces",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("collection_id", Integer, ForeignKey(collections.c.id, ondelete="CASCADE"), nullable=False),
    Column("state", Text, nullable=False, server_default="live"),
    Column("model", Text),
    Column("dimensions", Integer, nullable=False),
    Column("shortened", Boolean, nullable=False, server_default="false"),
    Column("distance", Text, nullable=False),
    Column("vector_type", Text, nullable=False),
    Column("chunk_size", Integer, nullable=False),
    Column("chunk_overlap", Integer, nullable=False),
    Column("index_kind", Text, nullable=False, server_default="auto"),
    Column("fingerprint", Text),
    Column("created_at", moment, nullable=False, server_default=func.now()),
    Column("probe", VECTOR),
    Column("index_settings", JSONB, nullable=False, server_default="{}"),
    Column("calibration", JSONB),
)
Index("spaces_live", spaces.c.collection_id, unique=True, postgresql_where=text("state = 'live'"))

documents = Table(
    "documents",
    metadata,
    Column("collection_id", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, primary_key=True),
    Column("title", Text),
    Column("text", Text, nullable=False),
    Column("format", Text, nullable=False, server_default="text"),
    Column("metadata", JSONB, nullable=False, server_default="{}"),
    Column("source", Text),
    Column("updated_at", moment, nullable=False, server_default=func.now()),
)

tasks = Table(
    "tasks",
    metadata,
    Column("collection_id", Integer, primary_key=True, autoincrement=False),
    Column("document_id", Text, primary_key=True),
    Column("version", BigInteger, task_version, primary_key=True, server_default=task_version.next_value()),
    Column("lane", SmallInteger, nullable=False, server_default="0"),
    Column("enqueued_at", moment, nullable=False, server_default=func.clock_timestamp()),
    Index("tasks_order", "collection_id", "lane", "version"),
)

leases = Table(
    "leases",
    metadata,
    Column("collection_id", Integer, primary_key=True, autoincrement=False),
    Column("document_id", Text, primary_key=True),
    Column("token", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("worker", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("claimed_at", moment, nullable=False),
    Column("expires_at", moment, nullable=False),
    Column("not_before", moment, nullable=False, server_default="-infinity"),
    Column("reason", Text),
)

failures = Table(
    "failures",
    metadata,
    Column("collection_id", Integer, primary_key=True, autoincrement=False),
    Column("document_id", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failed_at", moment, nullable=False, server_default=func.now()),
)

query_embeddings = Table(
    "query_embeddings",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("hash", LargeBinary, primary_key=True),
    Column("embedding", VECTOR, nullable=False),
    Column("created_at", moment, nullable=False, server_default=func.now()),
)

document_embeddings = Table(
    "document_embeddings",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("hash", LargeBinary, primary_key=True),
    Column("embedding", VECTOR, nullable=False),
    Column("created_at", moment, nullable=False, server_default=func.now()),
)

backfills = Table(
    "backfills",
    metadata,
    Column("collection_id", ForeignKey(collections.c.id, ondelete="CASCADE"), primary_key=True),
    Column("position", JSONB),
    Column("enqueued", BigInteger, nullable=False, server_default="0"),
    Column("started_at", moment, nullable=False, server_default=func.now()),
    Column("finished_at", moment),
)

workers = Table(
    "workers",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("host", Text, nullable=False),
    Column("process_id", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("started_at", moment, nullable=False, server_default=func.now()),
    Column("seen_at", moment, nullable=False, server_default=func.now()),
)

usage = Table(
    "usage",
    metadata,
    Column("collection_id", Integer, primary_key=True, autoincrement=False),
    Column("minute", moment, primary_key=True),
    Column("worker", Integer, primary_key=True, autoincrement=False),
    *(Column(name, BigInteger, nullable=False, server_default="0") for name in ("documents", "chunks", "embedded")),
    *(Column(name, BigInteger, nullable=False, server_default="0") for name in ("cached", "tokens")),
)

sampled_queries = Table(
    "sampled_queries",
    metadata,
    Column("collection_id", Integer, primary_key=True, autoincrement=False),
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("embedding", VECTOR, nullable=False),
    Column("filter", JSONB(none_as_null=True)),
    Column("top_k", Integer, nullable=False),
    Column("asked_at", moment, nullable=False, server_default=func.now()),
)

recalls = Table(
    "recalls",
    metadata,
    Column("collection_id", Integer, primary_key=True, autoincrement=False),
    Column("measured_at", moment, primary_key=True),
    Column("space_id", Integer, nullable=False),
    Column("top_k", Integer, nullable=False),
    Column("queries", Integer, nullable=False),
    Column("recall", Double),
    Column("filtered_queries", Integer, nullable=False),
    Column("filtered_recall", Double),
    Column("ef_search", Integer),
)

embed_requests = Table(
    "embed_requests",
    metadata,
    Column("collection_id", Integer, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, primary_key=True),
    Column("query", Text, nullable=False),
    Column("requested_by", Text, nullable=False, server_default=text("SESSION_USER")),
    Column("requested_at", moment, nullable=False, server_default=func.clock_timestamp()),
    Column("claimed_at", moment),
    Column("problem", Text),
)

word_models = Table(
    "word_models",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("dimensions", Integer, nullable=False),
    Column("words", BigInteger, nullable=False),
    Column("lowercase", Boolean, nullable=False),
    Column("source", Text, nullable=False),
    Column("loaded_at", moment, nullable=False, server_default=func.now()),
    UniqueConstraint("name", name="word_models_name_key"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("collections", ARRAY(Text)),
    Column("tenant", Text),
    Column("created_at", moment, nullable=False, server_default=func.now()),
    Column("expires_at", moment),
    Column("revoked_at", moment),
    Column("used_at", moment),
)
