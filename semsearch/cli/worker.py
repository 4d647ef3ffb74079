"""`semsearch worker`: embeds what waits, until it is told to stop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import click

from semsearch.cli import connection, logs, stopping
from semsearch.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from semsearch.worker import Options


def _names(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for value in values for name in value.split(",") if name.strip()))


@click.command()
@click.option("--collections", metavar="A,B", multiple=True, callback=_names, help="Work for these only. Repeatable.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 16),
    help="Batches at once, for each provider.  [default: 1 for local models, 4 for others]",
)
@click.option("--once", is_flag=True, help="End after one claim for each collection.")
@click.option("--until-idle", is_flag=True, help="End when nothing waits.")
@click.option(
    "--grace", type=click.FloatRange(0), metavar="SECONDS", default=30.0, help="What the model has may take so long."
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="How to write the log.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Serve Prometheus' metrics on 127.0.0.1.")
def command(
    collections: tuple[str, ...],
    concurrency: int | None,
    once: bool,
    until_idle: bool,
    grace: float,
    log_format: logs.LogFormat,
    metrics_port: int | None,
) -> None:
    """Embed what waits, in all collections in turn.

    That is what `ingest --no-wait`, attached tables and plain SQL have left. Any number of workers may run at once, on
    any number of machines. A database that goes away is waited for; a provider that is busy is left alone for a while;
    a collection that cannot be worked on is blocked, as `semsearch status` shows, and tried again every five minutes.

    SIGTERM or Ctrl-C: nothing new is begun, what the model has is stored, the rest is given back; again: ends at once.
    Nothing is lost in either case.

    \b
    Examples:
      semsearch worker
      semsearch worker --collections handbook,notes --concurrency 8
      semsearch worker --until-idle
      semsearch worker --log-format json --metrics-port 9187
    """
    from semsearch import worker

    options = worker.Options(collections, concurrency, once, until_idle, grace, metrics_port)
    with stopping.by_signals() as stop, logs.written(log_format):
        _serve(options, stop)


def _serve(options: Options, stop: threading.Event) -> None:
    """Services start in any order: a database that is not there yet is waited for, unless the work is to end."""
    from semsearch import worker
    from semsearch.store.complaints import is_away

    outage = worker.Outage()
    while not stop.is_set():
        try:
            with connection.database() as database:
                worker.run(database, options, stop, outage)
            return
        except DatabaseUnavailable as error:
            if options.once or options.until_idle or not is_away(error):
                raise
            stop.wait(outage.met(error))
