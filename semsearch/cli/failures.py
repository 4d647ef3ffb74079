"""`semsearch failures`: the documents that were given up, to look at, to try again, or to forget."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from semsearch.cli import confirmation, connection, options, output
from semsearch.errors import NotFound

if TYPE_CHECKING:
    from semsearch.collection import Collection

Function = TypeVar("Function", bound=Callable[..., Any])

UNITS = {"m": "minutes", "h": "hours", "d": "days"}
SHOWN = 20  # failures listed unless --limit says otherwise


@click.group(name="failures")
def command() -> None:
    """Look at documents that were given up, and try them again.

    \b
    Examples:
      semsearch failures list
      semsearch failures retry --like timeout
    """


def since(_: click.Context, parameter: click.Parameter, value: str | None) -> datetime | timedelta | None:
    """A moment in ISO 8601, or a time such as 30m, 12h, 7d; a moment without a zone is UTC."""
    if value is None:
        return None
    if found := re.fullmatch(r"(\d{1,6})([mhd])", value):
        return timedelta(**{UNITS[found[2]]: int(found[1])})
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"2026-05-01, 2026-05-01T09:30 or 30m, 12h, 7d: {value}", param=parameter) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def choice(function: Function) -> Function:
    """The options that say which failures."""
    for option in (
        click.option("--since", callback=since, metavar="WHEN", help="Only since 2026-05-01T09:30 (UTC), or 12h, 7d."),
        click.option("--like", "reason", metavar="TEXT", help="Only those whose reason contains this text."),
        click.option("--collection", "name", metavar="NAME", help="Only of this collection."),
    ):
        function = option(function)
    return function


@contextmanager
def collections(name: str | None) -> Iterator[list[Collection]]:
    """The one named, or all of the database."""
    with connection.database() as database:
        yield [database.collection(each) for each in ([name] if name else database.names())]


@command.command(name="list")
@choice
@click.option("--limit", type=click.IntRange(1), default=SHOWN, help="At most so many of each collection.")
@options.json_option
def list_(name: str | None, limit: int, as_json: bool, **chosen: Any) -> None:
    """List what was given up, the latest first.

    \b
    Examples:
      semsearch failures list
      semsearch failures list --collection handbook --since 12h --like timeout
    """
    with collections(name) as opened:
        found = [(each.name, failure) for each in opened for failure in each.failures(limit=limit, **chosen)]
    if as_json:
        output.print_json({"failures": [{"collection": name, **vars(failure)} for name, failure in found]})
    elif not found:
        click.echo("no failures")
    else:
        columns = ("collection", "document_id", "failed_at", "attempts", "waiting", "reason")
        output.print_table(
            columns,
            [(name, f.document_id, _moment(f.failed_at), f.attempts, f.waiting, f.reason) for name, f in found],
        )
        if any(sum(name == each for name, _ in found) == limit for each, _ in found):
            click.echo(f"At most {limit:,} of each collection are shown; --limit shows more.")


@command.command()
@options.name_argument
@click.argument("id", metavar="ID")
@options.json_option
def show(name: str, id: str, as_json: bool) -> None:
    """Show one failure in full.

    \b
    Example:
      semsearch failures show handbook passwords.md
    """
    with connection.collection(name) as collection:
        found = collection.failures(id)
    if not found:
        raise NotFound(f"document {id!r} of collection {name!r} has not failed.")
    if as_json:
        output.print_json({"collection": name, **vars(found[0])})
    else:
        output.print_fields(
            [("collection", name), *{**vars(found[0]), "failed_at": _moment(found[0].failed_at)}.items()]
        )
        if not found[0].waiting:
            click.echo(f"Next: semsearch failures retry --collection {name} {shlex.quote(id)}")


@command.command()
@choice
@click.argument("ids", metavar="[ID]...", nargs=-1)
def retry(name: str | None, ids: tuple[str, ...], **chosen: Any) -> None:
    """Have documents that were given up tried again.

    All of them, or those the options choose; ids go with --collection. Their failures stay until a worker is done.

    \b
    Examples:
      semsearch failures retry --like timeout
      semsearch failures retry --collection handbook passwords.md
    """
    _check(name, ids)
    with collections(name) as opened:
        number = sum(each.retry(id, **chosen) for each in opened for id in ids or (None,))
    click.echo(f"{number:,} enqueued" + (". Next: semsearch worker --until-idle" if number else ""))


@command.command()
@choice
@click.argument("ids", metavar="[ID]...", nargs=-1)
@options.yes_option
def purge(name: str | None, ids: tuple[str, ...], yes: bool, **chosen: Any) -> None:
    """Forget failures.

    The documents stay as they are, without chunks: `semsearch verify` will find them missing.

    \b
    Examples:
      semsearch failures purge --collection handbook --since 7d
      semsearch failures purge --like "too long" --yes
    """
    _check(name, ids)
    with collections(name) as opened:
        if not ids:
            confirmation.ask("forget these failures?", yes=yes)
        number = sum(each.purge_failures(id, **chosen) for each in opened for id in ids or (None,))
    click.echo(f"{number:,} forgotten")


def _check(name: str | None, ids: tuple[str, ...]) -> None:
    if ids and name is None:
        raise click.UsageError("ids go with --collection NAME", click.get_current_context())


def _moment(value: datetime) -> str:
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
