"""The figures for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from semsearch.errors import Forbidden
from semsearch.store import backlog
from semsearch.store.complaints import translated
from semsearch.web import access
from semsearch.web.state import Shared

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=PlainTextResponse)
@translated
def metrics(state: Shared, caller: access.Reader) -> Response:
    """Requests, searches in flight, and what waits in each collection. Needs a key that sees all of them."""
    if caller.is_bound:
        raise Forbidden("the figures are about all collections; this key is for some of them.")
    with state.database.pools.writing.connect() as connection:
        backlogs = backlog.measure(connection)
    return Response(state.figures.text(backlogs), media_type=CONTENT_TYPE_LATEST)
