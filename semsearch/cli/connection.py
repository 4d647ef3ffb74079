"""Opens the database and the collection that a command works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from semsearch.collection import Collection
    from semsearch.config import Settings
    from semsearch.database import Database
    from semsearch.store.connection import Address


@contextmanager
def database() -> Iterator[Database]:
    """The database that --database-url or the settings name, for the time of a command."""
    from semsearch.database import connect

    with connect(click.get_current_context().obj) as opened:
        yield opened


@contextmanager
def collection(name: str) -> Iterator[Collection]:
    """A collection of that database; NotFound suggests the near name."""
    with database() as opened:
        yield opened.collection(name)


def settings() -> Settings:
    """The settings, with --database-url in place of SEMSEARCH_DATABASE_URL."""
    from semsearch import config

    url = click.get_current_context().obj
    return config.Settings(database_url=url) if url else config.Settings()


@contextmanager
def address() -> Iterator[Address]:
    """Where the database is, for commands that look at it before it is fit to be opened."""
    from semsearch.store.connection import Address

    with Address(settings()) as opened:
        yield opened
