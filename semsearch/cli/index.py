"""`semsearch index`: the ANN indexes of a collection, for those who know better than the default."""

from __future__ import annotations

import dataclasses

import click

from semsearch.cli import connection, options, output, progress


@click.group(name="index")
def command() -> None:
    """Create, list or drop an ANN index.

    Collections get an index by themselves when they have grown large enough to need one.

    \b
    Examples:
      semsearch index list handbook
      semsearch index create handbook --m 32
    """


@command.command()
@options.name_argument
@click.option("--kind", type=click.Choice(["hnsw", "ivfflat"]), default="hnsw", help="Which index.")
@click.option("--m", type=click.IntRange(2, 100), help="hnsw: neighbours of a node.")
@click.option("--ef-construction", type=click.IntRange(4, 1000), help="hnsw: candidates looked at while building.")
@click.option("--lists", type=click.IntRange(1, 32768), help="ivfflat: how many lists.")
def create(name: str, kind: str, **choices: int | None) -> None:
    """Build the index now.

    One that is there already must be dropped first.

    \b
    Examples:
      semsearch index create handbook
      semsearch index create handbook --kind ivfflat --lists 200
    """
    given = {option: value for option, value in choices.items() if value is not None}
    with connection.collection(name) as collection, progress.shown() as on_progress:
        collection.create_index(kind, on_progress=on_progress, **given)
    click.echo(f"{name}: {kind} index is built")


@command.command(name="list")
@options.name_argument
@options.json_option
def list_(name: str, as_json: bool) -> None:
    """List the indexes of a collection.

    \b
    Example:
      semsearch index list handbook
    """
    with connection.collection(name) as collection:
        found = [dataclasses.asdict(one) for one in collection.indexes()]
    if as_json:
        output.print_json({"indexes": found})
    elif not found:
        click.echo(f"{name}: no index; every search compares all chunks, which is exact")
    else:
        rows = [(one["name"], one["kind"], one["valid"], output.size(one["bytes"])) for one in found]
        output.print_table(("name", "kind", "valid", "size"), rows)


@command.command()
@options.name_argument
def drop(name: str) -> None:
    """Drop the index.

    Searches become exact, and slower in a large collection.

    \b
    Example:
      semsearch index drop handbook
    """
    with connection.collection(name) as collection:
        collection.drop_index()
    click.echo(f"{name}: index dropped")
