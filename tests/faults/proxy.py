"""A network that can be spoiled: a TCP proxy on loopback that delays, swallows, cuts and resets on demand.

The kernel acknowledges what the proxy then drops, as real proxies and balancers do: no keepalive sees it.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

PIECE = 64 * 2**10  # bytes read at once
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: no FIN but RST
FLUSH = b"H\x00\x00\x00\x04"  # libpq sends it after a Sync and waits for nothing: it may come after the answer


@dataclass
class Flow:
    """What becomes of the bytes in one direction; may be changed at any time."""

    latency: float = 0.0  # seconds, for each piece
    bandwidth: float = 0.0  # bytes a second; 0: no limit
    swallow: bool = False  # bytes and the end of the stream vanish
    cut_after: int | None = None  # bytes of one connection, which is then reset
    cut_on: bytes | None = None  # the connection is reset when this comes by; it is not passed on
    cuts_left: int = 1  # so many connections are cut for either reason


class Proxy:
    """Listens on `port` of 127.0.0.1 and hands on to another; `to_server` and `to_client` rule every connection.

    `lose_answer_to`: once these bytes have come by from the client, the connection is reset as soon as the server
    answers. It stands until `answers_to_lose` is used up.
    """

    def __init__(self, target: int) -> None:
        self.to_server = Flow()
        self.to_client = Flow()
        self.lose_answer_to: bytes | None = None
        self.answers_to_lose = 0
        self.accepted = 0
        self.round_trips = 0  # how often a client spoke after its server had
        self.cuts = 0
        self.lock = threading.Lock()
        self._target = target
        self._links: list[Link] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def links(self) -> list[Link]:
        """The connections that are open, or half open."""
        with self.lock:
            ended = [link for link in self._links if link.ended]
            self._links = [link for link in self._links if link not in ended]
            for link in ended:
                link.close()
            return list(self._links)

    def black_hole(self) -> None:
        """Nothing passes any more, of old connections and new ones, and nobody is told."""
        self.to_server.swallow = self.to_client.swallow = True

    def swallow_existing(self) -> None:
        """The connections of now are dead, and nobody is told; new ones pass."""
        for link in self.links:
            link.dead = True

    def heal(self) -> None:
        """Everything passes again; what was swallowed stays lost."""
        self.to_server, self.to_client = Flow(), Flow()
        self.lose_answer_to = None

    def reset(self) -> None:
        """Cut every connection with a reset."""
        for link in self.links:
            link.cut()

    def half_close(self) -> None:
        """The client is told that the server will send no more; the server is told nothing."""
        for link in self.links:
            with suppress(OSError):
                link.client.shutdown(socket.SHUT_WR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    continue
                link = Link(self, client, server)
                with self.lock:
                    self.accepted += 1
                    self._links.append(link)
                link.start()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for link in self.links:
            link.cut(counted=False)
        for link in self.links:
            link.join()
            link.close()


class Link:
    """One connection through the proxy: a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.dead = False  # swallows all
        self._proxy = proxy
        self._server = server
        self._losing_answer = False
        self._heard = True
        self._is_cut = threading.Lock()
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._threads = [
            threading.Thread(target=self._pump, args=(client, server, "to_server"), daemon=True),
            threading.Thread(target=self._pump, args=(server, client, "to_client"), daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        self.client.close()
        self._server.close()

    @property
    def ended(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def cut(self, *, counted: bool = True) -> None:
        """Reset both ends."""
        if not self._is_cut.acquire(blocking=False):
            return
        if counted:
            with self._proxy.lock:
                self._proxy.cuts += 1
        for end in (self.client, self._server):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            with suppress(OSError):
                end.shutdown(socket.SHUT_RD)  # wakes up the thread that reads from it, and sends nothing
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(5)
        self.close()

    def _pump(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        passed = 0
        before = b""  # the end of the last piece: what is looked for may lie across two
        with suppress(OSError):
            while data := source.recv(PIECE):
                flow: Flow = getattr(self._proxy, direction)
                if self.dead or flow.swallow:
                    continue
                if flow.latency or flow.bandwidth:
                    time.sleep(flow.latency + (len(data) / flow.bandwidth if flow.bandwidth else 0))
                allowed = self._allowed(flow, passed, before, data)
                if allowed < len(data):
                    sink.sendall(data[:allowed])
                    return self.cut()
                if direction == "to_server":
                    if data != FLUSH:
                        self._count()
                    self._look_for(before + data)
                elif self._losing_answer:
                    return self.cut()
                if direction == "to_client":
                    self._heard = True
                sink.sendall(data)
                passed += len(data)
                before = data[-64:]
            flow = getattr(self._proxy, direction)
            if not (self.dead or flow.swallow):
                sink.shutdown(socket.SHUT_WR)
        return None

    def _allowed(self, flow: Flow, passed: int, before: bytes, data: bytes) -> int:
        """How many of these bytes may pass before the connection is to be cut; all of them when it is not."""
        allowed = len(data)
        if flow.cut_after is not None and passed + len(data) > flow.cut_after:
            allowed = max(0, flow.cut_after - passed)
        if flow.cut_on and flow.cut_on in before + data:
            allowed = 0
        if allowed < len(data):
            with self._proxy.lock:
                if flow.cuts_left == 0:
                    return len(data)
                flow.cuts_left -= 1
        return allowed

    def _count(self) -> None:
        if self._heard:
            self._heard = False
            with self._proxy.lock:
                self._proxy.round_trips += 1

    def _look_for(self, data: bytes) -> None:
        proxy = self._proxy
        with proxy.lock:
            if proxy.answers_to_lose > 0 and proxy.lose_answer_to and proxy.lose_answer_to in data:
                proxy.answers_to_lose -= 1
                self._losing_answer = True
