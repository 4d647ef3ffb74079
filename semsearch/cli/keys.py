"""`semsearch keys`: who may use the HTTP API, and for what."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import connection, options, output

if TYPE_CHECKING:
    from semsearch.store.api_keys import Key

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@click.group(name="keys")
def command() -> None:
    """Make keys for the HTTP API, and end them.

    A key has a scope: read, write (which may read, too) or admin (which may do everything). It can be for some
    collections only, for one tenant, and for a time. The database keeps a hash of it: a key is shown once.

    \b
    Examples:
      semsearch keys create website --collections handbook,notes --expires 90d
      semsearch keys list
      semsearch keys rotate 8f14e45fceea --overlap 24h
    """


def duration(_: click.Context, parameter: click.Parameter, value: str | None) -> timedelta | None:
    """A time such as 30m, 12h, 90d."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,5})([mhd])", value)
    if not found:
        raise click.BadParameter(f"a time such as 30m, 12h or 90d is wanted: {value}", param=parameter)
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def names(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...] | None:
    """Names with commas between them, as often as wanted; None where the option is not given."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip()) if values else None


@command.command()
@click.argument("name", metavar="NAME")
@click.option("--scope", type=click.Choice(["read", "write", "admin"]), default="read", help="What it may do.")
@click.option("--collections", metavar="A,B", multiple=True, callback=names, help="For these only. Repeatable.")
@click.option("--tenant", metavar="NAME", help="For the documents of this tenant only.")
@click.option("--expires", metavar="TIME", callback=duration, help="Ends after 30m, 12h, 90d.  [default: never]")
@options.json_option
def create(name: str, as_json: bool, **limits: Any) -> None:
    """Make a key, and show it. NAME says whose it is.

    \b
    Examples:
      semsearch keys create website
      semsearch keys create importer --scope write --collections handbook --expires 90d
      semsearch keys create acme --collections tickets --tenant acme --json
    """
    from semsearch.store import api_keys
    from semsearch.store.complaints import translated

    with connection.database() as database, database.pools.writing.begin() as open_connection:
        made, key = translated(api_keys.create)(open_connection, name, **limits)
    _show(made, key, as_json)


@command.command(name="list")
@options.json_option
def list_(as_json: bool) -> None:
    """List all keys there ever were, and when they were used last (to the minute).

    \b
    Example:
      semsearch keys list
    """
    from semsearch.store import api_keys
    from semsearch.store.complaints import translated

    with connection.database() as database, database.pools.writing.connect() as open_connection:
        found = translated(api_keys.every)(open_connection)
    if as_json:
        output.print_json({"keys": found})
    elif not found:
        click.echo("no keys: on this machine nobody needs one; `semsearch keys create NAME` makes the first")
    else:
        columns = ("id", "name", "scope", "collections", "tenant", "expires", "used", "state")
        output.print_table(columns, [_row(key) for key in found])


@command.command()
@click.argument("id", metavar="ID")
def revoke(id: str) -> None:
    """End a key, within seconds wherever it is used.

    \b
    Example:
      semsearch keys revoke 8f14e45fceea
    """
    from semsearch.store import api_keys
    from semsearch.store.complaints import translated

    with connection.database() as database, database.pools.writing.begin() as open_connection:
        key = translated(api_keys.revoke)(open_connection, id)
    click.echo(output.printable(f"{key.id} ({key.name}) is revoked"))


@command.command()
@click.argument("id", metavar="ID")
@click.option("--overlap", metavar="TIME", callback=duration, default="24h", help="So long the old key is valid yet.")
@options.json_option
def rotate(id: str, overlap: timedelta, as_json: bool) -> None:
    """Make a successor that may do the same, and end the old key when there was time to change over.

    \b
    Example:
      semsearch keys rotate 8f14e45fceea --overlap 24h
    """
    from semsearch.store import api_keys
    from semsearch.store.complaints import translated

    with connection.database() as database, database.pools.writing.begin() as open_connection:
        made, key = translated(api_keys.rotate)(open_connection, id, overlap)
    _show(made, key, as_json)


def _show(made: Key, key: str, as_json: bool) -> None:
    """The key alone on standard output, so that it can be piped into where it is to be kept."""
    if as_json:
        output.print_json({"key": key, **vars(made)})
        return
    click.echo(key)
    click.echo(f"Keep it now: it cannot be shown again. Its id is {made.id}.", err=True)


def _row(key: Key) -> tuple[object, ...]:
    where = "(all)" if key.collections is None else ", ".join(key.collections)
    return key.id, key.name, key.scope, where, key.tenant, _moment(key.expires_at), _moment(key.used_at), key.state


def _moment(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone().strftime("%Y-%m-%d %H:%M")
