"""`semsearch worker`: embeds what waits, until it is told to stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from semsearch.cli import connection, logs
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
    with _stopped_by_signals() as stop, logs.written(log_format):
        _serve(options, stop)


def _serve(options: Options, stop: threading.Event) -> None:
    """Services start in any order: a database that is not there yet is waited for, unless the work is to end."""
    from semsearch import worker
    from semsearch.store.complaints import is_away
    from semsearch.worker.outage import Outage

    outage = Outage()
    while not stop.is_set():
        try:
            with connection.database() as database:
                worker.run(database, options, stop)
            return
        except DatabaseUnavailable as error:
            if options.once or options.until_idle or not is_away(error):
                raise
            stop.wait(outage.met(error))


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """The first signal asks, the second insists. A service that is stopped has not failed: exit code 0."""
    stop = threading.Event()
    received: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
