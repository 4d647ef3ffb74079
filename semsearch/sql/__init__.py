"""The SQL functions, triggers and views: one object a file, replaced whole at the end of every upgrade."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

FILES = (
    "to_date.sql",
    "to_timestamp.sql",
    "remove_chunks.sql",
    "enqueue_document.sql",
    "documents_enqueue.sql",
    "key_type.sql",
    "primary_key.sql",
    "key_expression.sql",
    "same_key_expression.sql",
    "changed_expression.sql",
    "attachment_columns.sql",
    "attached_table.sql",
    "read_change.sql",
    "remove_truncated.sql",
    "enqueue_truncated.sql",
    "relation_problem.sql",
    "columns_problem.sql",
    "citus_problem.sql",
    "collection_problem.sql",
    "rights_problem.sql",
    "attachment_problem.sql",
    "check_source.sql",
    "lock_table.sql",
    "lock_documents.sql",
    "create_attached_functions.sql",
    "create_attached_triggers.sql",
    "attach.sql",
    "detach.sql",
    "stored_documents.sql",
    "table_rows.sql",
    "status.sql",
    "failed_documents.sql",
    "live_workers.sql",
    "retry.sql",
    "purge_failures.sql",
)


def statements() -> Iterator[str]:
    """The text of every file, in an order in which each finds what it refers to."""
    for name in FILES:
        yield resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
