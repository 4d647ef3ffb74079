"""Whether a database is fit for us: the versions of the server, of pgvector and of our schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

from semsearch.errors import DatabaseUnavailable, SemsearchError

MINIMUM_SERVER = 150000
SAFE_MINOR = {15: 16, 16: 12, 17: 8, 18: 2}  # CVE-2024-10976, -10978, CVE-2025-1094, -8713, CVE-2026-2005, -2006
MINIMUM_PGVECTOR = (0, 8, 0)
SOUND_BUILD = (0, 8, 2)  # below it a parallel HNSW build can overflow its buffer (pgvector issue 959)
SOUND_PGVECTOR = (0, 8, 4)  # below it an HNSW index can be corrupted by vacuum (pgvector CHANGELOG, 0.8.3 and 0.8.4)

FACTS = """
SELECT current_setting('server_version_num')::int AS server_number,
       current_setting('server_version') AS server,
       (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS pgvector,
       (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS pgvector_available,
       (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'vector' AND n.nspname <> ALL (current_schemas(true))) AS pgvector_hidden,
       (SELECT CASE WHEN has_schema_privilege(n.oid, 'USAGE')
                    THEN format('ALTER DATABASE %I SET search_path = %s, %I', current_database(),
                                current_setting('search_path'), n.nspname)
                    ELSE format('GRANT USAGE ON SCHEMA %I TO %I', n.nspname, current_user) END
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'vector') AS pgvector_shown_by,
       EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = 'semsearch' AND c.relname = 'alembic_version') AS migrated
"""


def versions(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """Of the server and pgvector (installed, and available to install), None where absent; whether our schema is there.

    By catalogs, which everybody may read.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(FACTS).fetchone() or {}


def facts(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """The same with the revision of our schema, None where there is none."""
    found = versions(connection)
    row = connection.execute("SELECT max(version_num) FROM semsearch.alembic_version") if found["migrated"] else None
    (revision,) = (row and row.fetchone()) or (None,)
    return {**found, "revision": revision}


def parse_version(version: str) -> tuple[int, ...]:
    """
    >>> parse_version("0.8.5")
    (0, 8, 5)
    """
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def check(found: Mapping[str, Any], display: str) -> None:
    """Raise one clear sentence when the server or its pgvector is not fit for us."""
    problem: SemsearchError | None = None
    pgvector = found["pgvector"] or found["pgvector_available"]
    if found["server_number"] < MINIMUM_SERVER:
        problem = DatabaseUnavailable(
            f"{display} runs PostgreSQL {found['server']}; semsearch needs PostgreSQL 15 or newer."
        )
    elif pgvector is None:
        problem = DatabaseUnavailable(
            f"{display} has no pgvector: install it on the server (Debian: postgresql-NN-pgvector; Docker: the image "
            "pgvector/pgvector), then run `semsearch migrate`."
        )
    elif parse_version(pgvector) < MINIMUM_PGVECTOR:
        problem = DatabaseUnavailable(
            f"{display} has pgvector {pgvector}; semsearch needs 0.8.0 or newer: install it on the server, then run "
            "ALTER EXTENSION vector UPDATE."
        )
    elif found["pgvector_hidden"]:
        problem = DatabaseUnavailable(
            f"{display} has pgvector in schema {found['pgvector_hidden']}, which is not in the search_path of this "
            f"role: run {found['pgvector_shown_by']}."
        )
    if problem:
        raise problem
