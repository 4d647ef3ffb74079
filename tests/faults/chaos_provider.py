"""The model of a chaos run: OpenAI's protocol, slow by chance, refusing poison, and true (truth.py)."""

from __future__ import annotations

import base64
import random
import threading
import time
from http.server import ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

from tests import provider
from tests.faults import truth

LATENCIES = (0.005, 0.02, 0.05, 0.2)  # seconds, one by chance for each request


class Handler(provider.Handler):
    state = provider.State()
    chance = random.Random(1)

    def embed(self, request: dict[str, Any]) -> None:
        """Unlike a test's provider this one remembers nothing: it serves for hours."""
        time.sleep(self.chance.choice(LATENCIES))
        if any(truth.POISON in text for text in request["input"]):
            error = {"message": "'$.input' is invalid.", "type": "invalid_request_error", "param": None, "code": None}
            self.reply(400, {"error": error})
        else:
            self.reply(200, self.answer(request))

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        data = [
            {"object": "embedding", "index": index, "embedding": base64.b64encode(truth.vector(text)).decode()}
            for index, text in enumerate(request["input"])
        ]
        return {"object": "list", "data": data, "model": request["model"]}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients are killed in the middle of a request: nothing to tell."""


def serve(begun: Connection) -> None:
    """Serve until the parent closes its end of the pipe; tells the address first."""
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        begun.send(f"http://127.0.0.1:{server.server_port}/v1")
        begun.poll(None)
        server.shutdown()
