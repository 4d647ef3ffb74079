"""Senders that keep to no rule, and what is said to who is refused."""

from __future__ import annotations

import socket
from typing import ClassVar
from urllib.parse import urlsplit

import httpx2
import pytest


def refused(answer: httpx2.Response, status: int, code: str) -> str:
    """The detail of a refusal."""
    told = answer.json()
    assert (answer.status_code, told["code"]) == (status, code), told
    return str(told["detail"])


class Raw:
    """A sender that sends what and when it wants."""

    opened: ClassVar[list[socket.socket]] = []

    def __init__(self, url: str) -> None:
        host, port = urlsplit(url).netloc.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.opened.append(self.socket)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def let_in(self) -> None:
        """After `Expect: 100-continue`: what was sent has its place, and its body is waited for."""
        told = b""
        while not told.endswith(b"\r\n\r\n"):
            told += self.socket.recv(1) or pytest.fail(f"ended after {told!r}")
        assert told.startswith(b"HTTP/1.1 100 "), told

    def read(self) -> bytes:
        """Everything until the server ends the connection."""
        parts = []
        while part := self.socket.recv(65536):
            parts.append(part)
        return b"".join(parts)
