"""`semsearch psql`: a real psql on the database in use."""

from __future__ import annotations

import click

from semsearch.cli import connection


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", metavar="[-- ARGS]...", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Open psql on the database in use.

    What stands after -- goes to psql, whose exit code becomes ours. Collections are views in the schema collections.

    \b
    Examples:
      semsearch psql
      semsearch psql -- -c 'TABLE collections.handbook LIMIT 3'
    """
    from semsearch.store import psql

    with connection.address() as address:
        code = psql.run(address, arguments)
    click.get_current_context().exit(code)
