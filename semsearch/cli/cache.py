"""`semsearch cache`: the embeddings that are kept so that nobody pays for a text twice."""

from __future__ import annotations

from datetime import timedelta

import click

from semsearch.cli import confirmation, connection, options, output


@click.group(name="cache")
def command() -> None:
    """Look at the cache of embeddings, and clear it.

    Collections that were created with --cache share it: an embedding is kept under its model and the sha256 of its
    text. It grows by every new text and forgets nothing by itself; `clear --older-than`, run now and then, bounds it.

    \b
    Examples:
      semsearch cache status
      semsearch cache clear --older-than 90
    """


@command.command()
@options.json_option
def status(as_json: bool) -> None:
    """Show how many embeddings of which model are kept.

    \b
    Example:
      semsearch cache status
    """
    with connection.database() as database:
        found = database.cache()
    if as_json:
        output.print_json({"models": found})
    elif not found:
        click.echo("the cache is empty; collections use it that are made with `semsearch create NAME --cache`")
    else:
        rows = [(one.fingerprint, one.embeddings, output.size(one.bytes), f"{one.oldest:%Y-%m-%d}") for one in found]
        output.print_table(("model", "embeddings", "size", "oldest"), rows)


@command.command()
@click.option("--older-than", "days", metavar="DAYS", type=click.IntRange(0, 36500), help="Keep what is younger.")
@options.yes_option
def clear(days: int | None, yes: bool) -> None:
    """Forget embeddings that are kept.

    What is stored in collections stays as it is. Embeddings that are forgotten are paid for again when their text
    comes again.

    \b
    Examples:
      semsearch cache clear --older-than 90
      semsearch cache clear --yes
    """
    if days is None:
        confirmation.ask("Clear the whole cache?", yes=yes)
    with connection.database() as database:
        count = database.clear_cache(timedelta(days=days or 0))
    click.echo(f"{count:,} embeddings cleared")
