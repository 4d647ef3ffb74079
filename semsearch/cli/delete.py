"""`semsearch delete`: documents leave a collection."""

from __future__ import annotations

import click

from semsearch.cli import confirmation, connection, options
from semsearch.errors import NotFound


@click.command()
@options.name_argument
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Delete every document and keep the collection.")
@click.option("--tenant", metavar="NAME", help="Delete only what is this tenant's.")
@options.yes_option
def command(name: str, ids: tuple[str, ...], everything: bool, tenant: str | None, yes: bool) -> None:
    """Delete documents by their ids.

    Their chunks and embeddings go with them, at once. Where an id is not in the collection the others are deleted,
    and the exit code is 3.

    \b
    Examples:
      semsearch delete handbook passwords.md holidays.md
      semsearch delete handbook --all --yes
    """
    if everything == bool(ids):
        raise click.UsageError("name the ids of the documents to delete, or --all", click.get_current_context())
    if everything and tenant is not None:
        raise click.UsageError("--all deletes every tenant's: leave --tenant out", click.get_current_context())
    with connection.collection(name) as collection:
        if everything:
            confirmation.ask(f"delete all documents of '{name}' ({collection.status().documents:,})?", yes=yes)
            deleted, wanted = collection.delete_all(), 0
        else:
            deleted, wanted = collection.delete(ids, tenant=tenant), len(set(ids))
    click.echo(f"{name}: {deleted:,} deleted")
    if deleted < wanted:
        raise NotFound(f"collection '{name}' does not have {wanted - deleted} of the {wanted} documents named.")
