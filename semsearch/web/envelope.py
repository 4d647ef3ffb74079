"""The outermost layer: a request gets its id, an answer its headers, and both become one line of the log."""

from __future__ import annotations

import logging
import threading
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from semsearch.web import exchange
from semsearch.web.exchange import Exchange
from semsearch.web.state import State

POLICY = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'"),
        *("base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"),
    )
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": POLICY,
    "cross-origin-resource-policy": "same-origin",
}
ABANDONED = 499  # in the log: nobody waited for the answer

log = logging.getLogger("semsearch.web")


class Envelope:
    """Middleware around all others."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # there are none
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = exchange.begin(scope, Headers(scope=scope).get("x-request-id"))
        answer = Answer(send, found, self._state.stopping, is_head=scope["method"] == "HEAD")
        begun = time.perf_counter()
        try:
            # Routes know GET alone; the server leaves out the body of what it was asked by HEAD.
            inner = {**scope, "method": "GET"} if answer.is_head else scope
            await self._app(inner, receive, answer.send)
        except Enough:
            pass
        finally:
            self._tell(scope, found, answer.status, time.perf_counter() - begun)

    def _tell(self, scope: Scope, found: Exchange, status: int, seconds: float) -> None:
        template = found.rule.template if found.rule else "(none)"
        self._state.figures.count(scope["method"], template, status, seconds)
        fields = {
            "method": f"{scope['method']:.20}",
            "route": template,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "request_id": found.request_id,
            "key": found.caller.key_id if found.caller else None,
            "error": found.error,
        }
        log.info("request", extra={"fields": {name: value for name, value in fields.items() if value is not None}})


class Enough(BaseException):
    """What would follow is not needed. No failure, so nothing on the way takes it for one."""


class Answer:
    """What is sent: with the headers of every answer, of a HEAD no more than that, and no event after the end."""

    def __init__(self, send: Send, found: Exchange, stopping: threading.Event, *, is_head: bool) -> None:
        self._send, self._exchange, self._stopping, self.is_head = send, found, stopping, is_head
        self.status, self._is_endless = ABANDONED, False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._complete(MutableHeaders(scope=message))
        await self._send(message)
        if (self.is_head and message["type"] == "http.response.start") or self._is_cut(message):
            await self._send({"type": "http.response.body", "body": b""})
            raise Enough

    def _is_cut(self, message: Message) -> bool:
        """Whether it is a stream of events that would keep a server from ending."""
        return self._is_endless and message.get("more_body", False) and self._stopping.is_set()

    def _complete(self, headers: MutableHeaders) -> None:
        self._is_endless = headers.get("content-type", "").startswith("text/event-stream")
        headers["x-request-id"] = self._exchange.request_id
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("cache-control", "no-store")
