"""Serves the application by HTTP: where it may listen, what runs beside it, how it ends."""

from __future__ import annotations

import asyncio
import math
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI

from semsearch.database import Database
from semsearch.errors import InvalidInput
from semsearch.store import api_keys
from semsearch.store.complaints import translated
from semsearch.web import app as application
from semsearch.web.background import InlineWorker, answering
from semsearch.web.options import Options
from semsearch.web.protocol import limited

ORIGIN = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
WAITING = 512  # connections that the system accepts before we do
STARTS_WITHIN = 60.0  # seconds


@dataclass(frozen=True)
class Running:
    """A server that listens at `url`."""

    url: str


def check(options: Options) -> None:
    """Raise InvalidInput for options that do not go together."""
    for origin in options.allow_origins:
        if not ORIGIN.fullmatch(origin):
            raise InvalidInput(f"--allow-origin is a web site such as https://example.org, without a path: {origin}")
    if (options.tls_certificate is None) != (options.tls_key is None):
        raise InvalidInput("--tls-certificate and --tls-key go together.")
    if not (options.is_local or options.tls_certificate or options.behind_proxy):
        raise InvalidInput(
            f"--host {options.host} can be reached from elsewhere, and keys would pass in the clear: give "
            "--tls-certificate and --tls-key, or --behind-proxy where a proxy ends TLS."
        )
    if options.tls_certificate:
        tls(options)


@translated
def needs_keys(database: Database, options: Options) -> bool:
    """Whether who asks must have a key. Raises InvalidInput where one is needed, and none is valid."""
    with database.pools.writing.connect() as connection:
        is_any_there, is_any_valid = api_keys.are_there(connection), api_keys.is_any_valid(connection)
    if (not options.is_local or options.behind_proxy) and not is_any_valid:
        raise InvalidInput(
            "whoever asks from elsewhere needs a key, and there is none that is valid: make one with "
            "`semsearch keys create NAME`."
        )
    return is_any_there


def listen(options: Options) -> socket.socket:
    """A socket at the address. Raises InvalidInput when it cannot be had."""
    host = "127.0.0.1" if options.host == "localhost" else options.host
    try:
        family = socket.getaddrinfo(host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listening = socket.create_server((host, options.port), family=family, backlog=WAITING)
    except OSError as error:
        told = (error.strerror or str(error)).partition(" (while")[0]
        raise InvalidInput(
            f"cannot listen at {options.host}:{options.port}: {told}. --port 0 takes any that is free."
        ) from error
    # Connections inherit it. asyncio sets it only where the protocol number is known, which create_server leaves out;
    # without it the body of an answer waits 40 ms for the client's acknowledgement of the head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def url(options: Options, listening: socket.socket) -> str:
    """What to type into a browser."""
    host, port = listening.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if options.tls_certificate else 'http'}://{name}:{port}"


def run(database: Database, options: Options, listening: socket.socket, stop: threading.Event) -> None:
    """Answer until `stop` is set, and then no more than what was asked already; that may take `grace` seconds."""
    _run(application.create(database, options), listening, stop)


def _run(app: FastAPI, listening: socket.socket, stop: threading.Event) -> None:
    state = app.state.semsearch
    settings, options = state.database.settings, state.options
    with ExitStack() as stack:
        if options.workers_inline:
            worker = stack.enter_context(closing(InlineWorker(settings, options.grace, stop)))
            state.readiness.worker = lambda: worker.failure
        else:  # a worker does this by itself
            stack.enter_context(answering(settings, stop))
        stack.callback(stop.set)  # what runs beside is told before it is waited for
        Server(app, options, stop, state.stopping).run(sockets=[listening])


@contextmanager
def running(database: Database, options: Options) -> Iterator[Running]:
    """Serve in a thread for the time of a block: for tests, and for programs that bring the door along."""
    check(options)
    needs_keys(database, options)
    stop, app = threading.Event(), application.create(database, options)
    with closing(listen(options)) as listening:
        found = Running(url(options, listening))
        thread = threading.Thread(target=_run, args=(app, listening, stop), name="semsearch serve")
        thread.start()  # the socket listens already: who connects too early waits
        try:
            yield found
        finally:
            stop.set()
            thread.join(options.grace + STARTS_WITHIN)


class Loop(asyncio.SelectorEventLoop):
    """Waits for the end of a handshake of TLS for no longer than for a head."""

    handshake_seconds = 0.0

    async def create_server(self, *arguments: Any, **options: Any) -> asyncio.Server:
        if options.get("ssl") is not None:
            options["ssl_handshake_timeout"] = self.handshake_seconds
        return await super().create_server(*arguments, **options)


class Server(uvicorn.Server):
    """uvicorn's, told to end by an event instead of by signals."""

    def __init__(self, app: FastAPI, options: Options, stop: threading.Event, stopping: threading.Event) -> None:
        super().__init__(_config(app, options))
        self._stop, self._stopping = stop, stopping

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        if self._stop.is_set():
            self.should_exit = True
            self._stopping.set()
        return await super().on_tick(counter)


def _config(app: FastAPI, options: Options) -> uvicorn.Config:
    def loop() -> Loop:
        made = Loop()
        made.handshake_seconds = options.header_seconds
        return made

    made = uvicorn.Config(
        app,
        http=limited(options),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=options.header_bytes,
        timeout_keep_alive=math.ceil(options.idle_seconds),
        timeout_graceful_shutdown=max(1, int(options.grace)),
    )
    made.get_loop_factory = lambda: loop  # type: ignore[method-assign]
    if options.tls_certificate is not None:
        made.ssl_context_factory = lambda *_: tls(options)
    return made


def tls(options: Options) -> ssl.SSLContext:
    """TLS with the certificate. Raises InvalidInput for files that do not hold one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    assert options.tls_certificate and options.tls_key
    try:
        # Without the function a key with a passphrase would have OpenSSL ask for it on the terminal.
        context.load_cert_chain(options.tls_certificate, options.tls_key, password=lambda: "")
    except OSError as error:  # ssl.SSLError is one
        told = error.strerror or error
        raise InvalidInput(
            f"{options.tls_certificate} and {options.tls_key} are no certificate and its key without a passphrase: "
            f"{told}."
        ) from error
    return context
