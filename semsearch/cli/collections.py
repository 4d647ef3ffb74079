"""`semsearch collections`: which collections there are."""

from __future__ import annotations

import click

from semsearch.cli import connection, options, output


@click.command()
@options.json_option
def command(as_json: bool) -> None:
    """List the collections of the database.

    \b
    Examples:
      semsearch collections
      semsearch collections --json
    """
    with connection.database() as database:
        found = database.collections()
    if as_json:
        output.print_json({"collections": found})
    elif not found:
        click.echo("no collections yet. Next: semsearch create NAME")
    else:
        output.print_table(
            ("name", "model", "dimensions", "distance", "documents", "chunks", "size"),
            [
                (one.name, one.model, one.dimensions, one.distance, one.documents, one.chunks, output.size(one.bytes))
                for one in found
            ],
        )
