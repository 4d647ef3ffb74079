"""Brings a database's schema to what this program expects, by alembic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError, ProgrammingError

from semsearch.errors import DatabaseUnavailable, SchemaMismatch
from semsearch.store import connection as connections


def folder() -> Path:
    """The migrations: inside the package when installed from a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def config(**attributes: Any) -> Config:
    made = Config()
    # ConfigParser reads % as the start of a reference: a path may hold one.
    made.set_main_option("script_location", str(folder()).replace("%", "%%"))
    made.attributes.update(attributes)
    return made


def head() -> str:
    """The revision this program was written for."""
    return ScriptDirectory.from_config(config()).get_current_head() or ""


def upgrade(address: connections.Address) -> None:
    """Run every migration that is missing, in one transaction: all of them or none."""
    engine = connections.engine(address, vectors=False)
    try:
        with engine.begin() as connection:
            found = connections.facts(connection)
            connections.check(found, address.display)
            if found["revision"] is not None and not known(found["revision"]):
                raise ahead(found["revision"], address.display)
            command.upgrade(config(connection=connection), "head")
    except ProgrammingError as error:
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise DatabaseUnavailable(
                f"cannot migrate {address.display}: {error.orig.diag.message_primary}. "
                "Run `semsearch migrate` once as the database's owner."
            ) from error
        raise
    finally:
        engine.dispose()


def known(revision: str) -> bool:
    return any(script.revision == revision for script in ScriptDirectory.from_config(config()).walk_revisions())


def ahead(revision: str, display: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"{display} has schema {revision}, newer than this semsearch knows (up to {head()}): upgrade semsearch."
    )


def require_current(engine: Any, display: str) -> None:
    """Raise SchemaMismatch, DatabaseUnavailable in one sentence unless the database is just right."""
    try:
        with engine.connect() as connection:
            found = connections.facts(connection)
    except DBAPIError as error:
        raise connections.unavailable(error.orig or error, display) from error
    connections.check(found, display)
    if found["revision"] is None:
        raise SchemaMismatch(f"{display} has no semsearch schema yet: run `semsearch migrate`.")
    if found["revision"] != head():
        if not known(found["revision"]):
            raise ahead(found["revision"], display)
        raise SchemaMismatch(
            f"{display} has schema {found['revision']}, this semsearch needs {head()}: run `semsearch migrate`."
        )
