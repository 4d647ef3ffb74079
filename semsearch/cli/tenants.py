"""`semsearch tenants`: whose documents a collection holds, and which roles may read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from semsearch.cli import connection, options, output

if TYPE_CHECKING:
    from semsearch.collection import Collection


@click.group(name="tenants")
def command() -> None:
    """List tenants, and let roles read the chunks of one.

    A collection has tenants when it was created with --tenant. Searches must then say for whom they ask. Roles that
    write SQL of their own see the chunks of the tenants they were granted, and no others.

    \b
    Examples:
      semsearch tenants list tickets
      semsearch tenants grant tickets acme acme_reports
    """


@command.command(name="list")
@options.name_argument
@options.json_option
def list_(name: str, as_json: bool) -> None:
    """List the tenants with the number of their chunks, their roles, and their own index if they have one.

    A role that was granted some tenants is told of these.

    \b
    Example:
      semsearch tenants list tickets
    """
    with connection.collection(name) as collection:
        found = collection.tenants()
        nothing = "" if found or as_json else _nothing(collection)
    if as_json:
        output.print_json({"tenants": found})
    elif not found:
        click.echo(f"{name}: {nothing}")
    else:
        rows = [(one.name or "(nobody's)", one.chunks, ", ".join(one.roles), one.index) for one in found]
        output.print_table(("tenant", "chunks", "roles", "index"), rows)


def _nothing(collection: Collection) -> str:
    """Why no tenant is shown."""
    if collection.space.tenant is None:
        return "was created without --tenant"
    if collection.status().backlog is None:  # which only a role that sees every tenant is told
        return "your role was granted none of its tenants. Next: semsearch tenants grant, as its owner"
    return "no tenants yet"


@command.command()
@options.name_argument
@click.argument("tenant", metavar="TENANT")
@click.argument("role", metavar="ROLE")
def grant(name: str, tenant: str, role: str) -> None:
    """Let a role of the database read the chunks of a tenant.

    \b
    Example:
      semsearch tenants grant tickets acme acme_reports
    """
    with connection.collection(name) as collection:
        collection.grant_tenant(tenant, role)
    click.echo(output.printable(f"{name}: {role} may read the chunks of {tenant}"))


@command.command()
@options.name_argument
@click.argument("tenant", metavar="TENANT")
@click.argument("role", metavar="ROLE")
def revoke(name: str, tenant: str, role: str) -> None:
    """Let a role read the chunks of a tenant no longer.

    \b
    Example:
      semsearch tenants revoke tickets acme acme_reports
    """
    with connection.collection(name) as collection:
        collection.revoke_tenant(tenant, role)
    click.echo(output.printable(f"{name}: {role} may no longer read the chunks of {tenant}"))
