"""`semsearch status`: how far the collections are, and what keeps them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import connection, options, output

if TYPE_CHECKING:
    from semsearch.collection import Status


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@options.json_option
def command(name: str | None, as_json: bool) -> None:
    """Show what is searchable, pending and failed.

    With NAME everything about one collection, without it a line for each.

    \b
    Examples:
      semsearch status
      semsearch status handbook --json
    """
    if name is not None:
        with connection.collection(name) as collection:
            one = collection.status()
        if as_json:
            output.print_json(dataclasses.asdict(one))
        else:
            output.print_fields(_fields(one))
        return
    with connection.database() as database:
        found = database.collections()
    if as_json:
        output.print_json({"collections": found})
    elif not found:
        click.echo("no collections yet. Next: semsearch create NAME")
    else:
        columns = ("name", "documents", "chunks", "pending", "failed", "index", "state")
        output.print_table(columns, [[getattr(one, column) for column in columns] for one in found])


def _fields(status: Status) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(status):
        value = getattr(status, field.name)
        if field.name == "bytes":
            yield "size", output.size(value)
        elif field.name != "reason" or value:
            yield field.name.replace("_", " "), value
