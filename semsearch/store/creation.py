"""Makes collections, with the table and the view of their space, and drops them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable, DropTable

from semsearch import fields as declared
from semsearch.errors import Conflict, InvalidInput
from semsearch.store import full_text, roles
from semsearch.store.schema import (
    collections,
    documents,
    embed_requests,
    failures,
    leases,
    recalls,
    sampled_queries,
    spaces,
    tasks,
    usage,
)
from semsearch.store.spaces import NAME, PAGE, ROW_OVERHEAD, Field, Space, field_columns, find, table

EXISTS = "collection {!r} exists already."


def is_there(connection: Connection, name: str) -> bool:
    """Whether a collection has this name."""
    return connection.execute(select(collections.c.id).where(collections.c.name == name)).first() is not None


def check_name(connection: Connection, name: str) -> None:
    """Raise InvalidInput, Conflict unless a collection of that name can be made."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidInput(
            f"collection name {name!r} will not do: use a lower-case letter, then up to 47 lower-case letters, digits "
            "and underscores."
        )
    if is_there(connection, name):
        raise Conflict(EXISTS.format(name))


def create(
    connection: Connection,
    name: str,
    fields: Mapping[str, declared.FieldType],
    *,
    cached: bool = False,
    token_budget: int | None = None,
    language: str | None = None,
    tenant: str | None = None,
    **settings: Any,
) -> Space:
    """Insert collection and live space, make the table and the view. Raises Conflict, InvalidInput."""
    full_text.check(connection, language)
    numbered = [Field(number, field, kind)._asdict() for number, (field, kind) in enumerate(fields.items(), 1)]
    try:
        collection_id = connection.execute(
            insert(collections)
            .values(
                name=name,
                fields=numbered,
                cached=cached,
                token_budget=token_budget,
                language=language,
                tenant=tenant,
            )
            .returning(collections.c.id)
        ).scalar_one()
    except IntegrityError as error:
        raise Conflict(EXISTS.format(name)) from error
    connection.execute(insert(spaces).values(collection_id=collection_id, **settings))
    space = find(connection, name)
    _create_table(connection, space)
    create_view(connection, space)
    roles.grant_collection(connection, space.collection_id)
    return space


def _create_table(connection: Connection, space: Space) -> None:
    fits = space.vector_bytes + ROW_OVERHEAD <= PAGE
    server = connection.dialect.server_version_info or (0,)
    connection.execute(CreateTable(table(space, plain=fits and server >= (16,))))
    if fits and server < (16,):
        connection.execute(text(f"ALTER TABLE semsearch.chunks_{space.id:d} ALTER COLUMN embedding SET STORAGE PLAIN"))
    for field in space.fields:
        column = f"field_{field.number:d}"
        connection.execute(
            text(f"CREATE INDEX chunks_{space.id:d}_{column} ON semsearch.chunks_{space.id:d} ({column})")
        )
    if space.tenant is not None:
        # Not FORCE as well: PostgreSQL refuses COPY FROM, by which chunks are stored, to whom policies apply.
        connection.execute(text(f"ALTER TABLE semsearch.chunks_{space.id:d} ENABLE ROW LEVEL SECURITY"))


def create_view(connection: Connection, space: Space, *, replace: bool = False) -> None:
    """The view of a collection. `replace` takes one with the same columns and perhaps more behind them."""
    chunks = table(space)
    held = field_columns(chunks, space)
    later = [field.name for field in space.fields if not field.stored]
    columns = [chunks.c[name] for name in ("document_id", "ordinal", "heading", "text", "metadata")]
    fields = [column.label(name) for name, column in held.items() if name not in later]
    terms = [] if space.language is None else [chunks.c.terms]
    added = [held[name].label(name) for name in later]
    shown = select(*columns, *fields, chunks.c.embedding, chunks.c.start, chunks.c.end, *terms, *added)
    body = shown.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}).string
    name = connection.dialect.identifier_preparer.quote(space.name)
    connection.exec_driver_sql(
        f"CREATE {'OR REPLACE ' * replace}VIEW collections.{name} WITH (security_invoker = true) AS {body}",
        execution_options={"no_parameters": True},
    )
    connection.execute(text("SELECT semsearch.describe_collection(CAST(:id AS integer))"), {"id": space.collection_id})


def drop(connection: Connection, space: Space) -> None:
    """Remove the collection with everything that belongs to it.

    Those who put are kept out first; then come documents, tasks and chunks, in the order in which workers lock them.
    """
    name = connection.dialect.identifier_preparer.quote(space.name)
    held = select(collections.c.attachment).where(collections.c.id == space.collection_id).with_for_update()
    if connection.execute(held).scalar_one_or_none() is not None:
        connection.execute(text("SELECT semsearch.detach(:name)"), {"name": space.name})
    connection.execute(text("SET LOCAL semsearch.bulk = 'on'"))
    for owned in (documents, tasks, leases, failures, usage, sampled_queries, recalls, embed_requests):
        connection.execute(delete(owned).where(owned.c.collection_id == space.collection_id))
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS collections.{name}")
    connection.execute(DropTable(table(space), if_exists=True))
    connection.execute(delete(collections).where(collections.c.id == space.collection_id))
