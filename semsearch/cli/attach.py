"""`semsearch attach`: a table of one's own becomes searchable, and stays so while it changes."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import click

from semsearch.cli import connection, creation, estimate, options, output, progress


@click.command()
@options.name_argument
@click.argument("table", metavar="TABLE")
@click.option("--text", metavar="COLUMN", multiple=True, required=True, help="A column to embed. Repeatable.")
@click.option(
    "--id",
    metavar="COLUMN",
    multiple=True,
    help="A column of the unique key that tells rows apart; the primary key if not given. Repeatable, in its order.",
)
@click.option("--title", metavar="COLUMN", help="The column that is embedded in front of every chunk.")
@click.option("--metadata", metavar="COLUMN", multiple=True, help="A column to filter by. Repeatable.")
@click.option("--dry-run", is_flag=True, help="Only tell documents, chunks, tokens, price and time.")
@click.option("--wait", is_flag=True, help="Embed the rows here and now, instead of leaving them to workers.")
@creation.settings
@options.json_option
def command(
    name: str,
    table: str,
    text: tuple[str, ...],
    id: tuple[str, ...],
    title: str | None,
    metadata: tuple[str, ...],
    dry_run: bool,
    wait: bool,
    as_json: bool,
    **_: Any,
) -> None:
    """Make the rows of a TABLE searchable, now and from now on.

    Triggers on the table note which rows are inserted, changed or deleted, and workers bring the collection NAME up to
    date. It is created if it does not exist, with the settings of `semsearch create`. Several columns of text are
    joined by a blank line. To attach the same table again, with other columns, embeds only what differs.

    \b
    Examples:
      semsearch attach handbook public.articles --text body
      semsearch attach handbook public.articles --id id --text title --text body --title title \\
          --metadata author --metadata published_at --wait
      semsearch attach handbook public.articles --text body --dry-run
    """
    settings = creation.given()
    columns: dict[str, Any] = {"text": text, "id": id or None, "title": title, "metadata": metadata}
    with connection.database() as database, progress.shown() if wait or dry_run else nullcontext() as on_progress:
        if name not in database.names() and "model" not in settings:
            settings["model"] = creation.DEFAULT_MODEL
        if dry_run:
            cost = database.estimate_attach(name, table, on_progress=on_progress, **columns, **settings)
            estimate.show(name, cost, as_json=as_json)
            return
        made = database.attach(name, table, wait=wait, on_progress=on_progress, **columns, **settings)
        documents = made.status().documents
    if as_json:
        output.print_json({"collection": name, "table": table, "documents": documents})
        return
    click.echo(f"{name}: attached to {table}, {documents:,} documents")
    if not wait:
        click.echo("Next: semsearch worker")
