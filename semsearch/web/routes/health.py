"""Whether the process lives, and whether it can answer: for whoever starts, watches and balances servers."""

from __future__ import annotations

from typing import Any

import anyio
from anyio import CapacityLimiter
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from semsearch.web import access, problems
from semsearch.web.state import Shared

SECONDS = 2.0  # within which /readyz answers, whatever the database does
AT_ONCE = CapacityLimiter(2)  # a look at a database that does not answer goes on in its thread for a while

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz(_: access.Anybody) -> dict[str, str]:
    """The process lives. Looks at nothing else, so that a database that is away restarts no server."""
    return {"status": "ok"}


@router.get("/readyz", response_model=dict[str, Any])
async def readyz(request: Request, state: Shared, _: access.Anybody) -> Response:
    """Requests can be answered: the database is there, its schema is right, the worker of this process is at work."""
    parts = {"database": "no answer"}
    with anyio.move_on_after(SECONDS):
        parts = await anyio.to_thread.run_sync(state.readiness.look, abandon_on_cancel=True, limiter=AT_ONCE)
    wrong = ", ".join(f"{name}: {what}" for name, what in parts.items() if what != "ok")
    if wrong:
        return problems.problem(request.scope, 503, "not_ready", f"{wrong}.", {"parts": parts}, {"retry-after": "5"})
    return JSONResponse({"status": "ok", "parts": parts})
