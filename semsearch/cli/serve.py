"""`semsearch serve`: the HTTP API and the page, until it is told to stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import connection, logs, stopping
from semsearch.errors import DatabaseUnavailable, InvalidInput

if TYPE_CHECKING:
    from semsearch.database import Database
    from semsearch.web import Options

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def _limits(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """NAME=NUMBER, as often as wanted."""
    found = {}
    for value in values:
        try:
            name, number = value.split("=")
            found[name.strip().replace("-", "_")] = float(number)
        except ValueError:
            raise click.BadParameter(f"NAME=NUMBER is wanted, such as rate=100: {value}", param=parameter) from None
    return found


@click.command()
@click.option("--host", default="127.0.0.1", help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="The port; 0 takes any that is free.")
@click.option("--workers-inline", is_flag=True, help="Embed what waits in this process, too.")
@click.option("--behind-proxy", is_flag=True, help="A proxy ends TLS, and says in X-Forwarded-For for whom it asks.")
@click.option("--tls-certificate", type=FILE, help="The certificate and its chain, as PEM.")
@click.option("--tls-key", type=FILE, help="Its private key, as PEM without a passphrase.")
@click.option("--allow-origin", multiple=True, metavar="URL", help="A web site whose pages may ask. Repeatable.")
@click.option("--model", multiple=True, metavar="MODEL", help="New collections may name this one, too. Repeatable.")
@click.option("--rerank", metavar="MODEL", help="Searches may ask for this cross-encoder.")
@click.option(
    "--grace", type=click.FloatRange(0), metavar="SECONDS", default=30.0, help="What runs at the end may take so long."
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="How to write the log.")
@click.option("--limit", "limits", multiple=True, callback=_limits, metavar="NAME=NUMBER", help="Another limit; below.")
def command(
    allow_origin: tuple[str, ...],
    model: tuple[str, ...],
    log_format: logs.LogFormat,
    limits: dict[str, float],
    **options: Any,
) -> None:
    """Serve an HTTP API for applications, and a page for people.

    On the loopback address of a database without any key, everybody on this machine may do everything. As soon as a
    key was made (`semsearch keys create`) all need one: put no proxy on this machine before a server without keys, for
    who comes through one that adds no header seems to ask from here. Beyond this machine it listens with a key only,
    and with TLS: its own, or that of a proxy.

    /healthz says whether the process lives, /readyz whether it can answer, /metrics how it does; /openapi.json
    describes the API. A database that is not there yet is waited for. SIGTERM or Ctrl-C: what runs is answered, within
    --grace; again: ends at once.

    Limits and their defaults, in seconds and bytes: rate=50 requests a second by a key, burst=100, failures=30 wrong
    keys a minute from an address, searches=16 at once for each processor, search_wait=2, search_deadline=5,
    admin_deadline=30, pool_wait=2, search_bytes, ingest_bytes, upload_bytes, stream_bytes, header_bytes=16384,
    header_seconds=10, body_seconds=10, send_seconds=30, idle_seconds=30, connections=500, max_batch_queries=32,
    max_batch_documents=1000, max_document_bytes, max_collections=1000, streams=200.

    \b
    Examples:
      semsearch serve
      semsearch serve --workers-inline --port 0
      semsearch serve --host 0.0.0.0 --tls-certificate cert.pem --tls-key key.pem
      semsearch serve --host 0.0.0.0 --behind-proxy --log-format json --limit rate=200
    """
    _server()
    from semsearch.web.options import DEFAULT_MODEL, limited

    models = tuple(dict.fromkeys((DEFAULT_MODEL, *model)))
    run(limited(limits, allow_origins=allow_origin, models=models, **options), log_format)


def run(options: Options, log_format: logs.LogFormat) -> None:
    """Serve until a signal stops it. Raises InvalidInput where it may not."""
    _server().check(options)
    with stopping.by_signals() as stop, logs.written(log_format), _database(stop) as database:
        if database is not None:
            _serve(database, options, stop)


def _serve(database: Database, options: Options, stop: threading.Event) -> None:
    server = _server()
    keys = "needed" if server.needs_keys(database, options) else "not needed on this machine"
    with closing(server.listen(options)) as listening:
        logs.tell("listening", url=server.url(options, listening), keys=keys)
        server.run(database, options, listening, stop)
    logs.tell("stopped")


def _server() -> Any:
    """What needs the extra. Raises InvalidInput without it."""
    try:
        from semsearch.web import server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("fastapi", "starlette", "uvicorn", "h11", "jinja2"):
            raise
        raise InvalidInput(f"to serve, {error.name} is needed: pip install 'semsearch[serve]'") from None
    return server


@contextmanager
def _database(stop: threading.Event) -> Iterator[Database | None]:
    """Services start in any order: a database that is not there yet is waited for; None when told to stop before."""
    from semsearch.store.complaints import is_away
    from semsearch.worker.outage import Outage

    outage = Outage()
    while not stop.is_set():
        try:
            opened = connection.database()
            database = opened.__enter__()
            break
        except DatabaseUnavailable as error:
            if not is_away(error):
                raise
            stop.wait(outage.met(error))
    else:
        yield None
        return
    with database:
        yield database
