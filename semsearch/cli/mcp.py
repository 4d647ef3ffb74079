"""`semsearch mcp`: lets an assistant search, over standard input and output or over HTTP."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import connection, keys, logs, serve
from semsearch.cli.serve import FILE
from semsearch.errors import InvalidInput

if TYPE_CHECKING:
    from semsearch.mcp import Bounds
    from semsearch.mcp.wire import Wire

HINT = "speaking MCP on standard input and output, which is for an assistant to start; Ctrl-D ends it"


def _names(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> frozenset[str] | None:
    """Which are shown; None where the option is not given. An empty variable of a script must not show them all."""
    names = keys.names(context, parameter, values)
    if names == ():
        raise InvalidInput("--collections names none: name some, or leave it out to show every collection.")
    return None if names is None else frozenset(names)


@click.command()
@click.option("--collections", metavar="A,B", multiple=True, callback=_names, help="Show these only. Repeatable.")
@click.option("--tenant", metavar="NAME", help="Show this tenant's documents only.")
@click.option("--http", is_flag=True, help="Serve by HTTP, at /mcp, rather than on standard input and output.")
@click.option("--host", help="With --http: the address to listen at.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="With --http: the port, 0 for any.  [default: 8001]")
@click.option("--behind-proxy", is_flag=True, default=None, help="With --http: as of `semsearch serve`.")
@click.option("--tls-certificate", type=FILE, help="With --http: the certificate and its chain, as PEM.")
@click.option("--tls-key", type=FILE, help="With --http: its private key, as PEM without a passphrase.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="How to write the log.")
def command(
    collections: frozenset[str] | None, tenant: str | None, http: bool, log_format: logs.LogFormat, **options: Any
) -> None:
    """Let an assistant search, by the Model Context Protocol.

    It is offered three tools, all of which only read: the list of collections, search, and documents by their ids.

    \b
    Examples:
      semsearch mcp                                     what an assistant is told to start
      semsearch mcp --collections handbook,notes
      semsearch mcp --collections tickets --tenant acme
      semsearch mcp --http --port 8001

    In an assistant's configuration: {"command": "semsearch", "args": ["mcp"], "env": {"SEMSEARCH_DATABASE_URL": "URL"}}

    By HTTP, API keys and limits are those of `semsearch serve`, which offers the same at /mcp beside everything else.
    """
    from semsearch import mcp

    mcp.require()
    bounds = mcp.Bounds(collections, tenant)
    given = {name: value for name, value in options.items() if value is not None}
    if http:
        _serve_http(bounds, given, log_format)
    elif given:
        raise InvalidInput(f"--{min(given).replace('_', '-')} is for --http.")
    else:
        with logs.written(log_format):
            _serve_stdio(bounds)


def _serve_http(bounds: Bounds, given: dict[str, Any], log_format: logs.LogFormat) -> None:
    from semsearch.web import Options

    serve.run(Options(assistants=bounds, **{"port": 8001, **given}), log_format)


def _serve_stdio(bounds: Bounds) -> None:
    from semsearch import mcp
    from semsearch.mcp.wire import Wire

    if sys.stdin is not None and sys.stdin.isatty():
        click.echo(HINT, err=True)
    with Wire() as wire, _ended_by_signals(wire), connection.database() as database:
        mcp.serve(database, bounds, wire)


@contextmanager
def _ended_by_signals(wire: Wire) -> Iterator[None]:
    """The first signal ends it as the client would, the second at once. What is stopped has not failed: exit code 0."""
    received: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        wire.end()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
