"""Compresses answers for who takes gzip: Starlette's middleware, with what RFC 9110 asks for beside it."""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Message, Receive, Scope, Send

COMPRESSED = "-gzip"  # at the end of the ETag of what is compressed: a strong one is of these very bytes (8.8.3)
REFUSED = re.compile(r"0(\.0*)?")


class Compression(GZipMiddleware):
    """Heeds `gzip;q=0`, and gives what it compresses an ETag of its own, which is known again."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        known = ", ".join(headers.getlist("if-none-match"))

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                own = answered.get("etag", "").removesuffix('"') + COMPRESSED + '"'
                if "etag" in answered and (answered.get("content-encoding") == "gzip" or own in known):
                    answered["etag"] = own
                if message["status"] == 304:
                    answered.add_vary_header("Accept-Encoding")  # as what it stands for, which has a body (15.4.5)
            await send(message)

        if not takes_gzip(", ".join(headers.getlist("accept-encoding"))):
            others = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
            scope = {**scope, "headers": others}
        await super().__call__(scope, receive, tagged)


def takes_gzip(accepted: str) -> bool:
    """
    >>> takes_gzip("br, gzip;q=0.5"), takes_gzip("GZip"), takes_gzip("gzip; q=0.0"), takes_gzip("identity, *")
    (True, True, False, False)
    """
    for part in accepted.replace(" ", "").lower().split(","):
        coding, _, quality = part.partition(";q=")
        if coding == "gzip":
            return not REFUSED.fullmatch(quality)
    return False
