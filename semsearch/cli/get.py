"""`semsearch get`: documents as they were put in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import connection, options, output

if TYPE_CHECKING:
    from semsearch.records import Document


@click.command()
@options.name_argument
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@options.tenant_option
@options.json_option
def command(name: str, ids: tuple[str, ...], tenant: str | None, as_json: bool) -> None:
    """Show documents by their ids.

    \b
    Examples:
      semsearch get handbook passwords.md
      semsearch get handbook passwords.md holidays.md --json
    """
    with connection.collection(name) as collection:
        documents = [collection.get(id, tenant=tenant) for id in ids]
    if as_json:
        output.print_json({"documents": [_as_json(document) for document in documents]})
        return
    for document in documents:
        _print(document)


def _as_json(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "title": document.title,
        "text": document.text,
        "metadata": dict(document.metadata),
        "format": document.format,
    }


def _print(document: Document) -> None:
    from rich.text import Text

    console = output.console()
    console.print(Text(output.printable(document.id), style="bold"), soft_wrap=True)
    if document.title and document.title != document.id:
        console.print(Text(output.printable(document.title), style="green"), soft_wrap=True)
    for name, value in document.metadata.items():
        console.print(Text(output.printable(f"{name}: {value}"), style="dim"), soft_wrap=True)
    console.print()
    console.print(Text(output.printable(document.text)), soft_wrap=True)
    console.print()
