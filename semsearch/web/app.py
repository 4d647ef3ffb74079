"""Puts the application together: layers around routes, each of which says who may use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response

from semsearch.database import Database
from semsearch.version import __version__
from semsearch.web import access, assistants, description, page, problems, routes
from semsearch.web.compression import Compression
from semsearch.web.envelope import Envelope
from semsearch.web.gate import Gate
from semsearch.web.limits import Places, Turns
from semsearch.web.options import Options, cores
from semsearch.web.problems import Problems
from semsearch.web.reading import Reading
from semsearch.web.rules import Rules
from semsearch.web.state import State

COMPRESSED_FROM = 1000  # bytes
COMPRESSION = 5  # of 9: what more would save is not worth its time
OTHER_THREADS = 16  # for all other requests, so that no crowd of writers keeps searches waiting
SENDERS = 32  # whose streams and files are on their way: they need a thread only for what has arrived
IN_DATABASE = 4  # searches at once, for each processor
SENT = (
    *("authorization", "content-type", "if-match", "if-none-match", "x-request-id"),
    *("mcp-protocol-version", "mcp-session-id"),
)
SHOWN = ("etag", "retry-after", "x-request-id")
METHODS = ("GET", "POST", "PUT", "DELETE")


class Application(FastAPI):
    """With the problems in its description."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            description.complete(super().openapi())
        assert self.openapi_schema is not None
        return self.openapi_schema


def create(database: Database, options: Options) -> FastAPI:
    """Raises RuntimeError for a route that does not say who may use it."""
    threads = OTHER_THREADS + options.searches
    # More threads than connections is no harm: most searches wait for the model, and what they ask then is short.
    searching = min(options.searches, IN_DATABASE * cores()) + 4
    database.pools.widen(writing=OTHER_THREADS, searching=searching, wait=options.pool_wait)
    state = State(database, options)
    app = Application(
        title="semsearch",
        version=__version__,
        description="Makes text in PostgreSQL searchable by meaning.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lambda _: _lifespan(state, threads),
        middleware=_layers(state),
    )
    app.state.semsearch = state
    problems.register(app)
    for router in (*routes.ROUTERS, page.router) if options.assistants is None else routes.OF_OPERATION:
        app.include_router(router)
    assistants.mount(app, state)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(_: access.Anybody) -> Response:
        return JSONResponse(app.openapi())

    state.rules = Rules(app)
    return app


def _layers(state: State) -> list[Middleware]:
    """From the outermost to the innermost."""
    options = state.options
    wait = options.search_wait
    layers = [Middleware(Envelope, state=state)]
    if options.allow_origins:
        layers.append(_other_sites(options.allow_origins))
    return [
        *layers,
        Middleware(Compression, minimum_size=COMPRESSED_FROM, compresslevel=COMPRESSION),
        Middleware(Problems),
        Middleware(Gate, state=state),
        Middleware(Reading, options=options),
        Middleware(
            Turns,
            searches=Places("searches", options.searches, wait, running=state.figures.searches),
            others=Places("other requests", OTHER_THREADS, wait),
            senders=Places("streams and files", SENDERS, wait),
            listeners=Places("streams of events", options.streams, wait, share=max(1, options.streams // 10)),
        ),
    ]


def _other_sites(origins: Sequence[str]) -> Middleware:
    """Named web sites only, which send a key of their own: there are no cookies to send along."""
    return Middleware(
        CORSMiddleware, allow_origins=origins, allow_methods=METHODS, allow_headers=SENT, expose_headers=SHOWN
    )


@asynccontextmanager
async def _lifespan(state: State, threads: int) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = threads
    async with AsyncExitStack() as stack:
        for each in state.lifespans:
            await stack.enter_async_context(each())
        yield
