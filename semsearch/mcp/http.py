"""The server over HTTP (streamable HTTP, without sessions: a request in, one JSON object out), as an ASGI application.

`Assistants` is mounted in another application, whose lifespan is `running()`, and which answers what it raises.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from semsearch.database import Database
from semsearch.errors import Overloaded
from semsearch.mcp import server
from semsearch.mcp.bounds import Bounds
from semsearch.mcp.door import Open

MAX_BODY = 2**20  # bytes of a request

Who = Callable[[MutableMapping[str, Any]], Bounds]  # of an ASGI scope


class Assistants:
    """Who calls, from where and how often, is checked by the application around it."""

    def __init__(self, database: Database, open: Open, who: Who, deadline: float) -> None:
        def caller(context: server.Context) -> Bounds:
            assert isinstance(context.request, Request)
            return who(context.request.scope)

        self._server = server.build(database, open, caller, deadline)
        self._manager: StreamableHTTPSessionManager | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """For as long as it can answer."""
        manager = StreamableHTTPSessionManager(
            self._server, json_response=True, stateless=True, max_request_body_size=MAX_BODY
        )
        async with manager.run():
            self._manager = manager
            try:
                yield
            finally:
                self._manager = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises HTTPException for what is not asked by POST here, Overloaded outside `running()`."""
        if scope["path"].removeprefix(scope.get("root_path", "")).strip("/"):
            raise HTTPException(404)
        if scope["method"] != "POST":  # there are no sessions to listen to or to end
            raise HTTPException(405, headers={"Allow": "POST"})
        if self._manager is None:
            raise Overloaded("assistants are not answered at the moment: the server begins or ends.", retry_after=1)
        await self._manager.handle_request(scope, receive, send)
