"""`semsearch fields`: the declared metadata fields of a collection, changed while it is in use."""

from __future__ import annotations

import click

from semsearch.cli import confirmation, connection, creation, options, output, progress


@click.group(name="fields")
def command() -> None:
    """List, add or drop the fields that filters are fast on.

    A field is a key of the metadata with a type, an index and statistics. Filters on other keys work, too.

    \b
    Examples:
      semsearch fields list handbook
      semsearch fields add handbook year:integer
    """


@command.command(name="list")
@options.name_argument
@options.json_option
def list_(name: str, as_json: bool) -> None:
    """List the fields of a collection.

    \b
    Example:
      semsearch fields list handbook
    """
    with connection.collection(name) as collection:
        fields, tenant = collection.fields, collection.space.tenant
    if as_json:
        output.print_json({"fields": fields, "tenant": tenant})
    elif not fields:
        click.echo(f"{name}: no fields")
    else:
        rows = [(field, kind, "whose a document is" if field == tenant else "") for field, kind in fields.items()]
        output.print_table(("name", "type", "tenant"), rows)


@command.command()
@options.name_argument
@click.argument("field", metavar="FIELD:TYPE", callback=creation.field)
def add(name: str, field: tuple[str, str]) -> None:
    """Add a field to a collection that is in use.

    Its index is built while searches and writes go on. Values of another type, in documents that are there already,
    count as missing. Types: text, integer, float, boolean, date, timestamp.

    \b
    Example:
      semsearch fields add handbook published:date
    """
    with connection.collection(name) as collection, progress.shown() as on_progress:
        collection.add_field(*field, on_progress=on_progress)
    click.echo(f"{name}: field {field[0]} of type {field[1]} is added")


@command.command()
@options.name_argument
@click.argument("field", metavar="FIELD")
@options.yes_option
def drop(name: str, field: str, yes: bool) -> None:
    """Drop a field with its index.

    The metadata of the documents stays. Programs that have the collection open must open it again.

    \b
    Example:
      semsearch fields drop handbook published
    """
    with connection.collection(name) as collection:
        if field in collection.fields:
            confirmation.ask(f"drop field '{field}' of collection '{name}'?", yes=yes)
        collection.drop_field(field)
    click.echo(f"{name}: field {field} is dropped")
