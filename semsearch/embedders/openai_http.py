"""The line to an OpenAI-compatible server: one origin, no proxy, no redirect, bounded in time and size."""

from __future__ import annotations

import ipaddress
import time
from urllib.parse import urlsplit

import httpx2
import openai

from semsearch.errors import InvalidInput

OPENAI = "https://api.openai.com/v1"
LARGEST_RESPONSE = 64 * 2**20  # 2,048 embeddings of 3,072 dimensions are 34 MB in base64
CONNECT_SECONDS = 10.0
KEPT_HEADERS = {"content-type", "date", "retry-after", "x-request-id"}


def base_url(setting: str | None) -> str:
    """The address to call. Raises InvalidInput for one that would send the key in the clear or somewhere unclear."""
    try:
        parts = urlsplit(setting or OPENAI)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise InvalidInput("OPENAI_BASE_URL is not a URL: it looks like https://host:port/v1.") from None
    if parts.username or parts.password or parts.query or parts.fragment or not host or "@" in parts.netloc:
        raise InvalidInput("OPENAI_BASE_URL must be like https://host:port/v1, without user, password, ? and #.")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise InvalidInput(
            f"OPENAI_BASE_URL must start with https://, so that the key is not sent to {host} in the clear."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def origin(url: str) -> str:
    """Scheme, host and port, written in one way: the port only where it is not the usual one."""
    parts = urlsplit(url)
    usual = {"https": ":443", "http": ":80"}[parts.scheme]
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(usual)}"


def connect(url: str, key: str, timeout: float) -> openai.OpenAI:
    """OpenAI's own client, which keeps to `url`; a request takes `timeout` seconds at most, and is not repeated."""
    transport = _Bounded(timeout)
    # A redirect would take texts and key to another origin; proxies in the environment would, too.
    client = httpx2.Client(
        transport=transport,
        follow_redirects=False,
        trust_env=False,
        timeout=httpx2.Timeout(timeout, connect=min(CONNECT_SECONDS, timeout)),
        # A small compressed answer can be a very large one.
        headers={"Accept-Encoding": "identity"},
    )
    return openai.OpenAI(api_key=key, base_url=url, max_retries=0, http_client=client)


class _Bounded(httpx2.HTTPTransport):
    """Reads each answer whole, so that no one can be endless in time or size."""

    def __init__(self, timeout: float) -> None:
        super().__init__(trust_env=False)
        self._timeout = timeout

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        # httpx limits each read only. The time is looked at between reads: an answer that drips takes twice as long.
        deadline = time.monotonic() + self._timeout
        answer = super().handle_request(request)
        try:
            body = self._read(request, answer, deadline)
        finally:
            answer.close()
        headers = {name: value for name, value in answer.headers.items() if name in KEPT_HEADERS}
        return httpx2.Response(answer.status_code, headers=headers, content=body, extensions=answer.extensions)

    def _read(self, request: httpx2.Request, answer: httpx2.Response, deadline: float) -> bytes:
        if answer.headers.get("content-encoding", "identity") != "identity":
            return b""  # compressed though we asked for the contrary: not worth the risk, the status says enough
        body = bytearray()
        for part in answer.iter_raw():
            body += part
            if len(body) > LARGEST_RESPONSE:
                raise httpx2.RemoteProtocolError("the response is too large", request=request)
            if time.monotonic() > deadline:
                raise httpx2.ReadTimeout("the response takes too long", request=request)
        return bytes(body)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
