"""What was asked before the client closed its end is answered: by itself the library gives up what still runs then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

Message: TypeAlias = SessionMessage | Exception
Reading: TypeAlias = ObjectReceiveStream[Message]
Writing: TypeAlias = ObjectSendStream[SessionMessage]


@asynccontextmanager
async def drained(reading: Reading, writing: Writing, seconds: float) -> AsyncIterator[tuple[Reading, Writing]]:
    """The same streams for a server; reading ends when all requests are answered, or so long after its end."""
    asked, requests = anyio.create_memory_object_stream[Message]()
    answers, answered = anyio.create_memory_object_stream[SessionMessage]()
    waiting = _Waiting()

    async def read() -> None:
        async with asked:
            async for message in reading:
                waiting.note(message)
                await asked.send(message)
            with anyio.move_on_after(seconds):
                await waiting.end()

    async def write() -> None:
        async with writing:
            async for message in answered:
                await writing.send(message)
                waiting.note(message)

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        group.start_soon(write)
        yield requests, answers


class _Waiting:
    """The requests that have no answer yet."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._ending: anyio.Event | None = None

    def note(self, message: Message) -> None:
        """A message of either side. What the client cancels is not answered."""
        match message.message if isinstance(message, SessionMessage) else None:
            case JSONRPCRequest(id=id):
                self._ids.add(str(id))
            case JSONRPCResponse(id=id) | JSONRPCError(id=id):
                self._settle(id)
            case JSONRPCNotification(method="notifications/cancelled", params=params):
                self._settle((params or {}).get("requestId"))

    async def end(self) -> None:
        """No more are asked: wait until there are none."""
        if self._ids:
            self._ending = anyio.Event()
            await self._ending.wait()

    def _settle(self, id: object) -> None:
        self._ids.discard(str(id))
        if self._ending is not None and not self._ids:
            self._ending.set()
