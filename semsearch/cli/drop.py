"""`semsearch drop`: a collection goes, with all it holds."""

from __future__ import annotations

import click

from semsearch.cli import confirmation, connection, options


@click.command()
@options.name_argument
@options.yes_option
def command(name: str, yes: bool) -> None:
    """Drop a collection with all that is in it.

    \b
    Examples:
      semsearch drop handbook
      semsearch drop handbook --yes
    """
    with connection.database() as database:
        documents = database.collection(name).status().documents
        confirmation.ask(f"drop collection '{name}' with its documents ({documents:,})?", yes=yes)
        database.drop_collection(name)
    click.echo(f"{name}: dropped")
