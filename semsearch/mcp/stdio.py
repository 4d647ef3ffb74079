"""The server over standard input and output, as a client starts it."""

from __future__ import annotations

import logging
from contextlib import nullcontext

import anyio
from mcp.server.stdio import stdio_server

from semsearch.database import Database
from semsearch.mcp import server
from semsearch.mcp.bounds import Bounds
from semsearch.mcp.door import Shelf
from semsearch.mcp.draining import drained
from semsearch.mcp.wire import Wire

DEADLINE = 30.0  # seconds that a search may take; the first one loads the model

log = logging.getLogger(__name__)


def serve(database: Database, bounds: Bounds, wire: Wire | None = None) -> None:
    """Answer until the client closes its end, or the wire is ended, and then what was asked before."""
    made = server.build(database, Shelf(database).collection, lambda _: bounds, DEADLINE)
    with nullcontext(wire) if wire is not None else Wire() as opened:
        try:
            anyio.run(_answer, made, opened)
        except* BrokenPipeError:
            log.info("the client has gone")


async def _answer(made: server.Protocol, wire: Wire) -> None:
    streams = anyio.wrap_file(wire.input), anyio.wrap_file(wire.output)
    async with stdio_server(*streams) as (reading, writing), drained(reading, writing, DEADLINE) as (asked, answers):
        await made.run(asked, answers, made.create_initialization_options())
