"""`semsearch facets`: which values documents have at a field, and how many have each."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import connection, options, output

if TYPE_CHECKING:
    from semsearch.store.facets import Facet


@click.command()
@options.name_argument
@click.argument("fields", metavar="FIELD...", nargs=-1, required=True)
@click.option("--filter", "condition", metavar="FILTER", callback=options.filter_form, help="Count only these.")
@options.tenant_option
@click.option("--limit", type=int, metavar="N", default=10, help="How many values of each field.")
@options.json_option
def command(
    name: str,
    fields: tuple[str, ...],
    condition: dict[str, Any] | None,
    tenant: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Count the documents by the values of fields.

    A field is one that was declared, or any key of the metadata; dots reach into objects. Of a list, each value counts.

    \b
    Examples:
      semsearch facets papers year lang
      semsearch facets papers author.country --filter "year >= 2020" --limit 20
    """
    with connection.collection(name) as collection:
        found = collection.facets(fields, filter=condition, tenant=tenant, limit=limit)
    if as_json:
        output.print_json({"facets": {field: _as_json(facet) for field, facet in found.items()}})
        return
    for position, (field, facet) in enumerate(found.items()):
        if position:
            click.echo()
        _print(field, facet)


def _as_json(facet: Facet) -> dict[str, Any]:
    values = [{"value": value, "documents": count} for value, count in facet.values]
    return dataclasses.asdict(facet) | {"values": values}


def _print(field: str, facet: Facet) -> None:
    rows: list[tuple[str, int]] = [(_shown(value), count) for value, count in facet.values]
    if facet.missing:
        rows.append(("(none)", facet.missing))
    output.print_table((field, "documents"), rows)
    if facet.more:
        click.echo(f"and {facet.distinct - len(facet.values):,} more values (--limit)")


def _shown(value: str | int | float | bool) -> str:
    return value if isinstance(value, str) else json.dumps(value)
