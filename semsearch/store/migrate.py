"""Brings a database's schema to what this program expects, by alembic."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy.exc import DBAPIError

from semsearch.errors import DatabaseUnavailable, SchemaMismatch
from semsearch.store import complaints, fitness
from semsearch.store import connection as connections

if TYPE_CHECKING:
    from alembic.config import Config


def folder() -> Path:
    """The migrations: inside the package when installed from a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def config(**attributes: Any) -> Config:
    """What alembic's own command line would read from alembic.ini. alembic is imported only to migrate: 0.3 s."""
    from alembic.config import Config

    made = Config(stdout=sys.stdout)  # by default that of the moment in which alembic was imported
    # ConfigParser reads % as the start of a reference: a path may hold one.
    made.set_main_option("script_location", str(folder()).replace("%", "%%"))
    made.attributes.update(attributes)
    return made


def revisions() -> list[str]:
    """All revisions this program knows, oldest first: the numbers that the files' names begin with."""
    return sorted(path.name.partition("_")[0] for path in (folder() / "versions").glob("[0-9]*_*.py"))


def head() -> str:
    """The revision this program was written for."""
    return revisions()[-1]


_one_at_a_time = threading.Lock()


def upgrade(address: connections.Address) -> None:
    """Run every migration that is missing, in one transaction: all of them or none."""
    from alembic import command

    engine = connections.engine(address, vectors=False, patient=True)
    try:
        # alembic keeps its context in a global variable; between processes env.py takes a lock in the database.
        with _one_at_a_time, engine.begin() as connection:
            facts = fitness.facts(connections.driver(connection))
            fitness.check(facts, address.display)
            if facts["revision"] is not None and not known(facts["revision"]):
                raise ahead(facts["revision"], address.display)
            command.upgrade(config(connection=connection), "head")
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            said = error.orig.diag.message_primary or ""
            way = "Run `semsearch migrate` once as the database's owner."
            if "create extension" in said:  # which its owner need not be allowed to
                way = "Have a superuser run CREATE EXTENSION vector in it, then run `semsearch migrate` again."
            raise DatabaseUnavailable(f"cannot migrate {address.display}: {said}. {way}") from error
        raise complaints.translate(error) from error
    finally:
        engine.dispose()


def known(revision: str) -> bool:
    """Whether this program has that revision, or is older than it."""
    return revision in revisions()


def ahead(revision: str, display: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"{display} has schema {revision}, newer than this semsearch knows (up to {head()}): upgrade semsearch."
    )


def versions(address: connections.Address) -> Mapping[str, Any]:
    """Those of the server, which everybody may see who can connect."""
    with address.connect(vectors=False, autocommit=True) as connection:
        return fitness.versions(connection)


def found(address: connections.Address) -> Mapping[str, Any]:
    """The facts of the database, on a plain connection: one that knows vectors cannot be made where there are none."""
    with address.connect(vectors=False, autocommit=True) as connection:
        return fitness.facts(connection)


def is_current(address: connections.Address) -> bool:
    return bool(found(address)["revision"] == head())


def require_current(address: connections.Address) -> None:
    """Raise SchemaMismatch, DatabaseUnavailable in one sentence unless the database is just right."""
    facts = found(address)
    fitness.check(facts, address.display)
    revision = facts["revision"]
    if revision is None:
        raise SchemaMismatch(f"{address.display} has no semsearch schema yet: run `semsearch migrate`.")
    if not known(revision):
        raise ahead(revision, address.display)
    if revision != head():
        raise SchemaMismatch(
            f"{address.display} has schema {revision}, this semsearch needs {head()}: run `semsearch migrate`."
        )
