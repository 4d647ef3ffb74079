"""`semsearch status`: how far the collections are, and what keeps them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import connection, options, output

if TYPE_CHECKING:
    from semsearch.store.status import Status


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@options.json_option
def command(name: str | None, as_json: bool) -> None:
    """Show what is searchable, waiting and failed.

    With NAME everything about one collection, without it a line for each. Coverage is the share of the documents that
    have chunks (a blank text has none), lag how long the oldest one waits, rate what was done in the last five
    minutes. What your role may not see is left out.

    \b
    Examples:
      semsearch status
      semsearch status handbook --json
    """
    with connection.database() as database:
        found = [database.collection(name).status()] if name is not None else database.collections()
    if as_json:
        every = [dataclasses.asdict(one) for one in found]
        output.print_json(every[0] if name is not None else {"collections": every})
    elif not found:
        click.echo("no collections yet. Next: semsearch create NAME")
    else:
        if name is not None:
            output.print_fields(_fields(found[0]))
        else:
            output.print_table(COLUMNS, [_row(one) for one in found])
        for line in (line for one in found for line in advice(one)):
            click.echo(output.printable(line))


COLUMNS = ("name", "documents", "coverage", "chunks", "backlog", "lag", "rate", "failed", "index", "state")


def _row(one: Status) -> tuple[Any, ...]:
    lag = duration(one.lag_seconds) if one.backlog and one.lag_seconds is not None else None
    rate = one.rate and f"{output.rate(one.rate)}/s"
    counts = (one.documents, percent(one.coverage), one.chunks, one.backlog, lag, rate, one.failed)
    return (one.name, *counts, one.index, one.state)


def _fields(one: Status) -> Iterator[tuple[str, Any]]:
    yield from ((name, getattr(one, name)) for name in ("name", "model", "dimensions", "distance"))
    yield "vector type", one.vector_type
    yield "documents", one.documents
    yield "searchable", f"{one.stored_documents:,} ({percent(one.coverage) or '-'}), {one.chunks:,} chunks"
    leased = f", {one.leased:,} leased" if one.leased else ""
    waiting = one.backlog and f"{one.backlog:,}, the oldest for {duration(one.lag_seconds or 0)}{leased}"
    yield "backlog", waiting
    if one.rate:
        yield "rate", f"{output.rate(one.rate)} documents/s"
    if one.estimated_finish:
        yield "finished", f"about {one.estimated_finish.astimezone():%Y-%m-%d %H:%M:%S}"
    if one.hit_rate is not None:
        yield "from cache", percent(one.hit_rate)
    if one.tokens_today is not None and (one.token_budget or one.tokens_today):
        yield "tokens today", f"{one.tokens_today:,}" + (f" of {one.token_budget:,}" if one.token_budget else "")
    yield "failed", one.failed
    yield "index", one.index
    yield "size", output.size(one.bytes)
    yield "state", one.state


def advice(one: Status) -> Iterator[str]:
    """Why a collection does not go on, and what to do about it."""
    if one.state == "blocked":
        reason = (one.reason or "").removesuffix(".")  # some are sentences of the server's or of a provider's
        yield f"{one.name} is blocked: {reason}. Workers try again every five minutes."
    elif one.backlog and not one.leased and not one.rate:
        yield f"Nobody works on {one.name}. Next: semsearch worker"
    if one.failed:
        yield f"{one.failed:,} of {one.name} failed. Next: semsearch failures list --collection {one.name}"


def percent(share: float | None) -> str | None:
    """A share as people write it; 100 only for all.

    >>> percent(1.0), percent(0.9999), percent(None)
    ('100 %', '99.9 %', None)
    """
    if share is None:
        return None
    return "100 %" if share == 1 else f"{int(share * 1000) / 10:.1f} %"


def duration(seconds: float) -> str:
    """
    >>> duration(4.2), duration(90), duration(7300), duration(200000)
    ('4 s', '1 min', '2 h', '2 d')
    """
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{seconds:.0f} s"
