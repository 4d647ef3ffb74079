"""`semsearch detach`: the opposite of `semsearch attach`."""

from __future__ import annotations

import click

from semsearch.cli import confirmation, connection, options


@click.command()
@options.name_argument
@options.yes_option
def command(name: str, yes: bool) -> None:
    """Take a collection off the table it is attached to.

    The triggers and their functions go, and so do the chunks of the table's rows. The table stays as it is; the
    collection stays, empty: `semsearch drop` removes it altogether, and detaches it as well.

    \b
    Examples:
      semsearch detach handbook
      semsearch detach handbook --yes
    """
    with connection.database() as database:
        chunks = database.collection(name).status().chunks
        confirmation.ask(f"detach collection '{name}' and remove its chunks ({chunks:,})?", yes=yes)
        database.detach(name)
    click.echo(f"{name}: detached, and empty")
