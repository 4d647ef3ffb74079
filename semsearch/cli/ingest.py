"""`semsearch ingest`: documents from files, folders or standard input."""

from __future__ import annotations

from typing import Any

import click

from semsearch.cli import complaints, connection, estimate, options, output, progress, report

FORMATS = ("text", "markdown", "rst", "html", "pdf", "docx", "json", "jsonl", "csv", "tsv", "parquet")


@click.command()
@options.name_argument
@click.argument("path", metavar="PATH")
@click.option("--id-field", metavar="FIELD", help="The field that holds the document's id.")
@click.option("--text-field", "text_fields", metavar="FIELD", multiple=True, help="A field with text. Repeatable.")
@click.option("--title-field", metavar="FIELD", help="The field that holds the title.")
@click.option(
    "--metadata-field",
    "metadata_fields",
    metavar="FIELD",
    multiple=True,
    help="A field to keep as metadata; all the rest if not given. Repeatable.",
)
@click.option("--include", metavar="GLOB", multiple=True, help="Take only files like this. Repeatable.")
@click.option("--exclude", metavar="GLOB", multiple=True, help="Leave out files like this. Repeatable.")
@click.option("--hidden", is_flag=True, help="Take hidden files and folders too.")
@click.option("--encoding", help="The encoding of the files; detected if not given.")
@click.option("--format", type=click.Choice(FORMATS), help="What the files are, whatever their names say.")
@click.option("--tenant", metavar="NAME", help="Whose the documents are, where their metadata do not say it.")
@click.option("--prune", is_flag=True, help="Delete what an earlier ingest of the same PATH brought and is gone now.")
@click.option("--dry-run", is_flag=True, help="Only tell documents, chunks, tokens, price and time.")
@click.option("--no-wait", is_flag=True, help="Leave the embedding to `semsearch worker`.")
@options.json_option
def command(
    name: str,
    path: str,
    metadata_fields: tuple[str, ...],
    tenant: str | None,
    prune: bool,
    dry_run: bool,
    no_wait: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Bring documents into a collection.

    PATH is a file, a folder, or - for standard input. Doing it again replaces what changed and skips what did not.
    Ctrl-C loses nothing: the same command goes on. What cannot be read or embedded is listed with its reason and
    left out; everything else is in, and the exit code is 2.

    \b
    Examples:
      semsearch ingest handbook docs/ --include '*.md'
      semsearch ingest papers papers.jsonl --id-field doi --text-field title --text-field abstract
      semsearch ingest papers papers.jsonl --dry-run
      zcat dump.jsonl.gz | semsearch ingest papers - --format jsonl
    """
    from semsearch import sources

    wanted = sources.Options(metadata_fields=metadata_fields or None, **reading)
    if dry_run:
        if prune:
            raise click.UsageError("--dry-run does not tell what --prune would delete: leave one of them out.")
        with connection.collection(name) as collection, progress.shown() as on_progress:
            estimate.show(name, collection.estimate(path, options=wanted, on_progress=on_progress), as_json=as_json)
        return
    with connection.collection(name) as collection, progress.shown() as on_progress:
        done = collection.ingest(
            path, options=wanted, tenant=tenant, wait=not no_wait, prune=prune, on_progress=on_progress
        )
    if as_json:
        output.print_json(report.as_json(name, done))
    else:
        report.print_report(name, done)
        if no_wait:
            click.echo("Next: semsearch worker --until-idle")
    if done.failed or not all(one.unsupported for one in done.broken):
        click.get_current_context().exit(complaints.BAD_INPUT)
