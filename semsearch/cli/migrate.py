"""`semsearch migrate`: bring the database's schema to what this program expects."""

from __future__ import annotations

import click

from semsearch.cli import connection


@click.command()
def command() -> None:
    """Create or upgrade the tables in the database.

    All of it is done or nothing, and nothing is done where all is well. The embedded database needs no such care.

    \b
    Examples:
      semsearch migrate
      semsearch --database-url postgresql://owner@db.example.com/app migrate
    """
    from semsearch.store import migrate

    with connection.address() as address:
        migrate.upgrade(address)
        click.echo(f"{address.display}: schema {migrate.head()}")
