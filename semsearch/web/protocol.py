"""HTTP/1.1 for senders that take their time: uvicorn's protocol, with the limits that it has not by itself."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from semsearch.web import problems
from semsearch.web.envelope import HEADERS
from semsearch.web.exchange import new_id
from semsearch.web.options import Options

LINGER = 2.0  # seconds for which what is still sent is thrown away, so that the answer is read before the end
MISSED = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def limited(options: Options) -> type[H11Protocol]:
    """The protocol with these limits, as uvicorn takes it."""
    return type("Protocol", (Protocol,), {"options": options})


class Protocol(H11Protocol):
    """A head must arrive within `header_seconds`, an answer be read within `send_seconds`; so many connections."""

    options: Options
    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    idle_since = 0.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(Lingering(transport, self._is_sending))  # type: ignore[arg-type]
        self.idle_since = time.monotonic()
        self._watch_head()
        if len(self.connections) > self.options.connections:
            self._make_place()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if not self.is_idle and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        elif self.is_idle:
            self._watch_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.idle_since = time.monotonic()
        if self._is_sending():  # a body that nobody wants any more
            self.transport.close()
        elif self.is_idle and self.conn.trailing_data[0]:  # the next head has begun to arrive
            self._watch_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.options.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()

    def send_400_response(self, msg: str) -> None:
        status, code, detail = HTTPStatus.BAD_REQUEST, "invalid_input", "this is not HTTP."
        if getattr(sys.exception(), "error_status_hint", 400) == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            status, code = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too_large"
            detail = problems.head_too_large(self.options.header_bytes)
        body = {"type": "about:blank", "title": status.phrase, "status": status, "code": code}
        told = json.dumps({**body, "detail": detail, "request_id": new_id()}).encode()
        headers = {
            **HEADERS,
            "content-type": problems.MEDIA_TYPE,
            "content-length": str(len(told)),
            "connection": "close",
        }
        for event in (
            h11.Response(status_code=status, headers=list(headers.items()), reason=status.phrase.encode()),
            h11.Data(data=told),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _is_sending(self) -> bool:
        return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

    def _watch_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.options.header_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._timer = None
        if self.is_idle:
            self.transport.close()

    def _make_place(self) -> None:
        """End the connection that has been idle for longest, or this one where all are at work."""
        others = [each for each in self.connections if isinstance(each, Protocol) and each is not self]
        idle = [each for each in others if each.is_idle]
        if idle:
            min(idle, key=lambda each: each.idle_since).transport.abort()
        else:
            self.transport.write(MISSED)
            self.transport.close()


class Lingering:
    """A transport that, when it is closed in the middle of a body, goes on to read for a moment.

    To close at once would reset the connection, and the answer could be lost before it is read.
    """

    def __init__(self, transport: asyncio.Transport, is_sending: Callable[[], bool]) -> None:
        self._transport, self._is_sending = transport, is_sending
        self._lingers = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._lingers or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing() or not self._is_sending() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._lingers = True
        self._transport.write_eof()
        self._transport.resume_reading()
        asyncio.get_running_loop().call_later(LINGER, self._transport.close)
