"""How far all collections are, told as it changes: server-sent events.

However many listen, the database is asked for all of them together: by whoever wakes first, once a second at most, and
less often where the answer takes long. Only what is told to the keys of one tenant is asked for that tenant alone.
"""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from semsearch.errors import Overloaded
from semsearch.web import problems
from semsearch.web.access import Caller, Reader
from semsearch.web.bodies.collections import Status
from semsearch.web.keyring import Keyring
from semsearch.web.routes.opened import statuses
from semsearch.web.routes.parameters import KNOWN
from semsearch.web.state import Shared, State

router = APIRouter(prefix="/v1", tags=["status"], dependencies=[KNOWN])

EVERY = 1.0  # second
SHARE = 0.1  # of the time is the most that the database is asked for
FORGOTTEN = 60.0  # seconds after which nobody listens any more
HEARTBEAT = 15.0  # seconds of silence after which a comment shows that the line is open
LONGEST = 600.0  # seconds; clients connect anew by themselves

TOLD: dict[str, Any] = {
    "description": "Events `status`, whose data is as /v1/status answers: at once, and whenever something has changed.",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": 'event: status\ndata: {"collections": [{"name": "handbook", "backlog": 3}]}\n\n',
        }
    },
}


@router.get(
    "/events",
    response_class=StreamingResponse,
    summary="Follow how far all collections are",
    operation_id="follow_status",
    responses={200: TOLD},
)
async def follow_status(request: Request, state: Shared, caller: Reader) -> Response:
    """Server-sent events, one a second at most; it ends after ten minutes: connect again. Needs scope `read`.

    It ends within seconds when the key is revoked or expires.
    """
    board = _board(state)
    if board.open >= state.options.streams:
        raise Overloaded(f"{board.open} streams of events are open already; /v1/status tells the same.", 60)
    return Events(board, _events(board, state, caller, request))


@dataclass
class Look:
    """What was seen for a tenant, or for those who are bound to none; it is looked at anew at `following`."""

    seen: Sequence[Status] = ()
    following: float = 0.0


class Board:
    """What all streams of an application share."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.open = 0
        self.asked = 0
        self._lock: anyio.Lock | None = None
        self._looks: dict[str | None, Look] = {}

    async def look(self, tenant: str | None) -> Sequence[Status]:
        """The status of every collection, as it was a moment ago. Raises DatabaseUnavailable."""
        if self._lock is None:
            self._lock = anyio.Lock()
        async with self._lock:
            look = self._looks.setdefault(tenant, Look())
            if time.monotonic() >= look.following:
                await self._renew(look, tenant)
            return look.seen

    async def _renew(self, look: Look, tenant: str | None) -> None:
        begun = time.monotonic()
        self.asked += 1
        try:
            look.seen = await anyio.to_thread.run_sync(statuses, self._state, Caller(tenant=tenant))
        finally:
            took = time.monotonic() - begun
            look.following = begun + max(EVERY, len(self._looks) * took / SHARE)
            self._looks = {of: each for of, each in self._looks.items() if begun - each.following < FORGOTTEN}


_boards: weakref.WeakKeyDictionary[State, Board] = weakref.WeakKeyDictionary()


def _board(state: State) -> Board:
    found = _boards.get(state)
    if found is None:
        found = _boards[state] = Board(state)
    return found


class Events(StreamingResponse):
    """A stream that counts as one of those that are open."""

    def __init__(self, board: Board, content: AsyncIterator[str]) -> None:
        super().__init__(content, media_type="text/event-stream", headers={"cache-control": "no-cache"})
        self._board = board

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._board.open += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._board.open -= 1


async def _events(board: Board, state: State, caller: Caller, request: Request) -> AsyncIterator[str]:
    """Until the client is gone or may no longer listen, the server is to end, or it has been long enough."""
    ends, spoken, last = time.monotonic() + LONGEST, time.monotonic(), ""
    key = request.headers.get("authorization", "").partition(" ")[2].strip()
    while time.monotonic() < ends and not state.stopping.is_set():
        try:
            if not await _may(state.keys, caller.key_id, key):
                return
            told = await _look(board, caller)
        except Exception as error:  # the database is away: it is told again when it is back
            if problems.meaning(error) is None:
                raise
            told = last
        if told != last:
            last = told
            yield f"event: status\ndata: {last}\n\n"
            spoken = time.monotonic()
        elif time.monotonic() - spoken >= HEARTBEAT:
            yield ": still here\n\n"
            spoken = time.monotonic()
        if await request.is_disconnected():
            return
        await anyio.sleep(EVERY)


async def _may(keys: Keyring, id: str | None, key: str) -> bool:
    """Whether who listens may go on: the key is still valid, or still none is needed."""
    if id is None:
        is_open = keys.is_open
        return await anyio.to_thread.run_sync(keys.look_whether_open) if is_open is None else is_open
    seen = keys.known(id)
    if seen is None:
        seen = await anyio.to_thread.run_sync(keys.look_up, id, key)
    return seen.found is not None and seen.found.key.state == "valid"


async def _look(board: Board, caller: Caller) -> str:
    """What this caller may see. Raises DatabaseUnavailable."""
    seen = await board.look(caller.tenant)
    return json.dumps({"collections": [each.model_dump(mode="json") for each in seen if caller.sees(each.name)]})
