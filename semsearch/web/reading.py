"""How a body is read: so many bytes, so fast, not compressed, and looked at before it is believed where it is JSON."""

from __future__ import annotations

import time

import anyio
from anyio import CapacityLimiter
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from semsearch.errors import TooLarge, TooSlow, UnsupportedMedia
from semsearch.web import exchange, json_scan
from semsearch.web.options import MB, Options
from semsearch.web.rules import Rule

BYTES_A_SECOND = 100_000  # a sender that is slower than that is sent away in the end
SMALL = 64 * 2**10  # bytes of JSON that are looked at in no time
AT_ONCE = 2  # larger ones


class Reading:
    """Middleware that limits what the application can receive. Raises TooLarge, TooSlow, UnsupportedMedia.

    JSON is all here before anything else is done with the request; only streams and files are read as they come.
    """

    def __init__(self, app: ASGIApp, options: Options) -> None:
        self._app, self._options = app, options
        self._limiter: CapacityLimiter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rule = exchange.of(scope).rule if scope["type"] == "http" else None
        if rule is None:
            await self._app(scope, receive, send)
            return
        limit, headers = self._limit(scope, rule), Headers(scope=scope)
        if int(headers.get("content-length", 0)) > limit:
            raise _too_large(limit)
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMedia("bodies are read as they are: send this one without Content-Encoding.")
        body = Body(receive, limit, self._options.body_seconds)
        if not rule.is_stream and not rule.is_upload and has_body(headers):
            if not is_json(headers):
                raise UnsupportedMedia("the body is read as JSON: send it with `Content-Type: application/json`.")
            await self._check(body)
        await self._app(scope, body.receive, send)

    def _limit(self, scope: Scope, rule: Rule) -> int:
        if rule.is_stream:
            return self._options.stream_bytes
        if rule.is_upload:
            return self._options.upload_bytes
        caller = exchange.of(scope).caller
        is_large = rule.needs == "write" or (rule.is_texts and caller is not None and caller.may("write"))
        return self._options.ingest_bytes if is_large else self._options.search_bytes

    async def _check(self, body: Body) -> None:
        whole = await body.read()
        if len(whole) <= SMALL:
            if whole:
                json_scan.check(whole)
            return
        if self._limiter is None:
            self._limiter = CapacityLimiter(AT_ONCE)
        await anyio.to_thread.run_sync(json_scan.check, whole, limiter=self._limiter)


class Body:
    """What comes in of one request. The time that is counted is the time for which the sender is waited for."""

    def __init__(self, receive: Receive, limit: int, seconds: float) -> None:
        self._receive, self._limit, self._seconds = receive, limit, seconds
        self._size, self._waited, self._is_whole = 0, 0.0, False
        self._read: bytes | None = None

    async def receive(self) -> Message:
        """The next message, as the application receives it."""
        if self._read is not None:
            whole, self._read = self._read, None
            return {"type": "http.request", "body": whole, "more_body": False}
        if self._is_whole:
            return await self._receive()
        message = await self._next()
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            if self._size > self._limit:
                raise _too_large(self._limit)
        return message

    async def read(self) -> bytes:
        """All of it, which the application will receive again. Raises ClientDisconnect."""
        parts = []
        while not self._is_whole:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
        self._read = b"".join(parts)
        return self._read

    async def _next(self) -> Message:
        allowed = self._seconds + self._size / BYTES_A_SECOND
        begun = time.monotonic()
        with anyio.move_on_after(max(0.0, allowed - self._waited)):
            message = await self._receive()
            self._waited += time.monotonic() - begun
            return message
        raise TooSlow(f"the body did not arrive in time ({allowed:.0f} s).")


def has_body(headers: Headers) -> bool:
    """Whether one is announced, be it of no bytes in the end."""
    return headers.get("content-length", "0").strip("0") != "" or "transfer-encoding" in headers


def is_json(headers: Headers) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _too_large(limit: int) -> TooLarge:
    size = f"{limit / MB:g} MB" if limit >= MB else f"{limit:,} bytes"
    return TooLarge(f"the body is larger than {size}, which is the most that is read here.")
