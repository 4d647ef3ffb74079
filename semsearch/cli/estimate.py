"""Says what an ingest would cost, for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import output

if TYPE_CHECKING:
    from semsearch.estimate import Estimate


def show(name: str, estimate: Estimate, *, as_json: bool) -> None:
    """Print it in the form that was asked for."""
    if as_json:
        output.print_json({"collection": name, **_as_json(estimate)})
        return
    indent = " " * len(name)
    click.echo(f"{name}: {estimate.documents:,} documents, {estimate.chunks:,} chunks, {estimate.reused:,} at no cost")
    cost = f"about {estimate.tokens:,} tokens: {_price(estimate.price)}, {_duration(estimate.seconds)}"
    click.echo(f"{indent}  {cost if estimate.tokens else 'nothing to embed'}")
    unreadable = [one for one in estimate.broken if not one.unsupported]
    if unreadable:
        first = unreadable[0]
        click.echo(f"{len(unreadable):,} cannot be read, the first is {output.printable(first.where)}: {first.reason}")
    click.echo("Nothing was written, and nothing sent.")


def _as_json(estimate: Estimate) -> dict[str, Any]:
    return {
        "documents": estimate.documents,
        "chunks": estimate.chunks,
        "reused": estimate.reused,
        "tokens": estimate.tokens,
        "price": estimate.price,
        "seconds": None if estimate.seconds is None else round(estimate.seconds, 1),
        "broken": [{"where": one.where, "reason": one.reason} for one in estimate.broken if not one.unsupported],
    }


def _price(dollars: float | None) -> str:
    """
    >>> _price(None), _price(0.0)
    ('price not known', 'free on this machine')
    """
    if dollars is None:
        return "price not known"
    if dollars == 0:
        return "free on this machine"
    from semsearch.embedders import prices

    return f"${dollars:,.2f} (list price of {prices.table()['as_of']})" if dollars >= 0.01 else "less than $0.01"


def _duration(seconds: float | None) -> str:
    """
    >>> _duration(None), _duration(0.2), _duration(90), _duration(7200), _duration(10**6)
    ('time not known', 'less than a second', '90 s', '120 min', '278 h')
    """
    if seconds is None:
        return "time not known"
    if seconds < 1:
        return "less than a second"
    for limit, size, unit in ((120, 1, "s"), (3 * 3600, 60, "min")):
        if seconds <= limit:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds / 3600:,.0f} h"
