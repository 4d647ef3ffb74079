"""`semsearch worker`: embeds what is pending, until it is told to stop."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterable
from types import FrameType
from typing import TYPE_CHECKING

import click

from semsearch.cli import connection, progress, report

if TYPE_CHECKING:
    from semsearch.collection import Collection
    from semsearch.database import Database

POLL = 5.0  # seconds between looks when all is done


@click.command()
@click.option("--until-idle", is_flag=True, help="End when nothing is pending.")
@click.option("--collection", "names", metavar="NAME", multiple=True, help="Work for this one only. Repeatable.")
def command(until_idle: bool, names: tuple[str, ...]) -> None:
    """Embed what is pending.

    That is what `ingest --no-wait` and others left. Any number of workers may run at once. Ctrl-C or SIGTERM stops
    it; nothing is lost, another worker goes on with what it held.

    \b
    Examples:
      semsearch worker
      semsearch worker --until-idle --collection handbook
    """
    signal.signal(signal.SIGTERM, _stop)
    with connection.database() as database:
        click.echo("working; Ctrl-C stops", err=True)
        while True:
            for collection in _collections(database, names):
                _work(collection)
            if until_idle:
                return
            time.sleep(POLL)


def _work(collection: Collection) -> None:
    """Like a log, also on a terminal: a worker is mostly left alone."""
    with progress.shown(bar=False) as on_progress:
        done = collection.work(on_progress)
    if done.chunks or done.failed:
        report.print_work(collection.name, done)


def _collections(database: Database, names: tuple[str, ...]) -> Iterable[Collection]:
    return (database.collection(name) for name in names or database.pending())


def _stop(_: int, __: FrameType | None) -> None:
    """A service that is stopped has not failed: leave by way of every `with` block, with exit code 0."""
    sys.exit(0)
