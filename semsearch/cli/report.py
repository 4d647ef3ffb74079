"""Says what became of an ingest: counts, speed, and what could not be taken with the reason why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import output

if TYPE_CHECKING:
    from semsearch.road import Report

SHOWN = 20  # reasons on the screen; --json has them all


def print_report(name: str, report: Report) -> None:
    """The summary for people."""
    total = report.added + report.changed + report.unchanged
    rate = f", {output.rate(total / report.seconds)} documents/s" if total and report.seconds >= 1 else ""
    counts = f"{report.added:,} added, {report.changed:,} changed, {report.unchanged:,} unchanged"
    click.echo(f"{name}: {counts}, {report.deleted:,} deleted in {report.seconds:.1f} s{rate}")
    click.echo(f"{' ' * len(name)}  {_chunks(report)}")
    _print_reasons("could not be read", ((one.where, one.reason) for one in report.broken if not one.unsupported))
    left_out = sum(one.unsupported for one in report.broken)
    if left_out:
        click.echo(f"{left_out:,} left out, of kinds that are not read (--json lists them)")
    _print_reasons("could not be embedded", report.failed.items())


def print_work(name: str, report: Report) -> None:
    """What a worker has done, in a line, and what it could not do."""
    click.echo(f"{name}: {_chunks(report)} in {report.seconds:.1f} s")
    _print_reasons("could not be embedded", report.failed.items())


def as_json(name: str, report: Report) -> dict[str, Any]:
    """The summary for programs, with every reason."""
    return {
        "collection": name,
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "deleted": report.deleted,
        "chunks": report.chunks,
        "embedded": report.embedded,
        "cached": report.cached,
        "failed": [{"id": id, "reason": reason} for id, reason in report.failed.items()],
        "broken": [
            {"where": one.where, "reason": one.reason, "id": one.id} for one in report.broken if not one.unsupported
        ],
        "unsupported": [{"where": one.where, "reason": one.reason} for one in report.broken if one.unsupported],
        "seconds": round(report.seconds, 3),
    }


def _chunks(report: Report) -> str:
    cached = f", {report.cached:,} from the cache" if report.cached else ""
    return f"{report.chunks:,} chunks, {report.embedded:,} embedded{cached}"


def _print_reasons(what: str, reasons: Iterable[tuple[str, str]]) -> None:
    listed = list(reasons)
    if not listed:
        return
    click.echo(f"{len(listed):,} {what}:")
    for where, reason in listed[:SHOWN]:
        click.echo(f"  {output.printable(where)}: {output.printable(reason)}")
    if len(listed) > SHOWN:
        click.echo(f"  and {len(listed) - SHOWN:,} more (--json lists them all)")
