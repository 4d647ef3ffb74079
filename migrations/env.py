"""Runs the migrations on the connection it is handed, or on the database the settings name."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.schema import SchemaItem

from semsearch import sql
from semsearch.store import schema

WITHOUT_OWN_SCHEMA = """
SELECT set_config('search_path', regexp_replace(current_setting('search_path'), '"[$]user",? *', ''), true)
"""


def is_ours(item: SchemaItem, name: str | None, kind: str, reflected: bool, other: SchemaItem | None) -> bool:
    """`alembic check` compares only the static tables: the tables of spaces come and go with their collections."""
    return not (kind == "table" and reflected and other is None and (name or "").startswith(("chunks_", "words_")))


def replace_functions(connection: Connection) -> None:
    """Re-create functions and views, whole, once the tables are at head; other commands must not write."""
    migration = context.get_context()
    at_head = set(migration.get_current_heads()) == set(context.script.get_heads())
    # The keys of `opts` are not documented API: tests/integration/test_migrations.py pins them.
    if not at_head or migration.opts.get("dont_mutate") or "destination_rev" not in migration.opts:
        return
    for statement in sql.statements():
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def run(connection: Connection) -> None:
    # Two migrators at once: the second waits here, then finds nothing left to do. The lock ends with the transaction.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('semsearch migrate'))"))
    connection.execute(text("SET LOCAL citus.multi_shard_modify_mode = 'sequential'"))
    # A role that is called semsearch would have pgvector in our own schema, where nobody else finds its operators.
    connection.execute(text(WITHOUT_OWN_SCHEMA))
    connection.dialect.default_schema_name = "public"  # of such a role it would be semsearch, and `check` blind to it
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS semsearch"))
    context.configure(
        connection=connection,
        target_metadata=schema.metadata,
        version_table_schema="semsearch",
        include_schemas=True,
        include_name=lambda name, kind, parents: kind != "schema" or name == "semsearch",
        include_object=is_ours,
        # Comments are semsearch/sql/comments.sql's.
        autogenerate_plugins=["alembic.autogenerate.*", "~alembic.autogenerate.comments"],
    )
    with context.begin_transaction():
        context.run_migrations()
        replace_functions(connection)


def main() -> None:
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", target_metadata=schema.metadata, version_table_schema="semsearch")
        with context.begin_transaction():
            context.execute("CREATE SCHEMA IF NOT EXISTS semsearch")
            context.run_migrations()
            for statement in sql.statements():
                context.execute(statement)
        return
    connection = context.config.attributes.get("connection")
    if connection is not None:
        run(connection)
        return
    from semsearch.config import Settings
    from semsearch.store import connection as connections

    with connections.Address(Settings()) as address:
        engine = connections.engine(address, vectors=False, patient=True)
        with engine.begin() as own:
            run(own)
        engine.dispose()


main()
