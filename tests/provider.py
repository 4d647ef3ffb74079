"""A server that speaks OpenAI's /v1/embeddings, and fails on request.

    python -m tests.provider                 # prints its address, serves until its standard input closes

    with Provider.start() as provider:       # the same as a process of its own
        provider.script({"fault": "status", "status": 429}, {"fault": "hang"})
        provider.rules(poison="bad", max_inputs=8)
        ... ask provider.url ...
        provider.calls                       # what arrived: [{"inputs": [...], "authorization": ..., ...}]

Embeddings are made from sha256 of the text (`vector`), so a test can say what the right answer is. Each request takes
the next fault of the script; when there is none left, it is answered well. Rules hold for all requests.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DIMENSIONS = 8


def vector(text: str, dimensions: int = DIMENSIONS) -> npt.NDArray[np.float32]:
    """The embedding of a text: of length 1, different for different texts."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    found = np.random.default_rng(seed).standard_normal(dimensions).astype(np.float32)
    return found / np.linalg.norm(found)


class State:
    """What the server was told and what it saw."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.script: list[dict[str, Any]] = []
        self.rules: dict[str, Any] = {}
        self.calls: list[dict[str, Any]] = []

    def next_fault(self) -> dict[str, Any]:
        with self.lock:
            return self.script.pop(0) if self.script else self.rules.get("always", {"fault": "none"})


Answer = dict[str, Any]
Faults = dict[str, Callable[["Handler", dict[str, Any], Answer], None]]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body waits 40 ms for the acknowledgement of its head
    state: State

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.reply(200, self.state.calls)

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/script":
            self.state.script = content
        elif self.path == "/rules":
            self.state.rules = content
        elif self.path == "/reset":
            self.state.reset()
        else:
            self.embed(content)
            return
        self.reply(200, {})

    def embed(self, request: dict[str, Any]) -> None:
        inputs = request["input"]
        with self.state.lock:
            headers = {name.lower(): value for name, value in self.headers.items()}
            call = {"inputs": inputs, "path": self.path, "authorization": headers.pop("authorization", None)}
            self.state.calls.append(call | {"headers": headers} | {k: v for k, v in request.items() if k != "input"})
        fault = self.state.next_fault()
        problem = self.refusal(inputs)
        if problem and fault["fault"] == "none":
            self.reply(400, {"error": {"param": None, "code": None, **problem}})
        else:
            FAULTS[fault["fault"]](self, fault, self.answer(request))

    def refusal(self, inputs: list[str]) -> dict[str, Any] | None:
        rules = self.state.rules
        if rules.get("poison") and any(rules["poison"] in text for text in inputs):
            return {"message": "'$.input' is invalid. Please check the API reference.", "type": "invalid_request_error"}
        if len(inputs) > rules.get("max_inputs", 10**9):
            message = f"Invalid 'input': array too long. Expected at most {rules['max_inputs']} items."
            return {"message": message, "type": "invalid_request_error", "code": "array_above_max_length"}
        if sum(map(len, inputs)) > rules.get("max_characters", 10**9):
            message = f"Requested {sum(map(len, inputs))} tokens, max {rules['max_characters']} tokens per request"
            return {"message": message, "type": "max_tokens_per_request", "code": "max_tokens_per_request"}
        return None

    def answer(self, request: dict[str, Any]) -> Answer:
        dimensions = request.get("dimensions", DIMENSIONS)
        packed = request.get("encoding_format") == "base64" and not self.state.rules.get("floats")
        odd = self.state.rules.get("odd", {"word": "\0"})
        data = []
        for index, text in enumerate(request["input"]):
            found = vector(self.state.rules.get("seed", "") + text, dimensions)
            embedding = base64.b64encode(found.tobytes()).decode() if packed else found.tolist()
            if odd["word"] in text:
                embedding = odd["embedding"]
            data.append({"object": "embedding", "index": index, "embedding": embedding})
        each = self.state.rules.get("tokens")
        usage = {} if each is None else {"usage": {"total_tokens": each * len(data)}}
        return {"object": "list", "data": data, "model": request["model"], **usage}

    def reply(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        self.send(status, content if isinstance(content, bytes) else json.dumps(content).encode(), headers)

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def none(handler: Handler, fault: dict[str, Any], answer: Answer) -> None:
    handler.reply(200, answer)


def status(handler: Handler, fault: dict[str, Any], answer: Answer) -> None:
    """Any status, with `body` and `headers`. `{key}` in the body is the key that was sent."""
    body = fault.get("body", {"error": {"message": "scripted", "type": "scripted", "code": None}})
    key = (handler.headers["Authorization"] or "").removeprefix("Bearer ")
    text = body if isinstance(body, str) else json.dumps(body)
    handler.send(fault["status"], text.replace("{key}", key).encode(), fault.get("headers"))


def hang(handler: Handler, fault: dict[str, Any], answer: Answer) -> None:
    time.sleep(fault.get("seconds", 5))
    handler.close_connection = True


def slow(handler: Handler, fault: dict[str, Any], answer: Answer) -> None:
    """The right answer, after some `seconds`."""
    time.sleep(fault["seconds"])
    handler.reply(200, answer)


def drip(handler: Handler, fault: dict[str, Any], answer: Answer) -> None:
    """A body that comes byte by byte: no read times out, yet it never ends."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    try:
        for _ in range(200):
            handler.wfile.write(b" ")
            time.sleep(0.05)
    except OSError:
        handler.close_connection = True  # the client has had enough


def reset(handler: Handler, fault: dict[str, Any], answer: Answer) -> None:
    """Half a body, then the connection is closed."""
    body = json.dumps(answer).encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True


def raw(handler: Handler, fault: dict[str, Any], answer: Answer) -> None:
    """The right answer, or `body`, with `content_type`; `cut` drops its second half."""
    body = fault["body"].encode() if "body" in fault else json.dumps(answer).encode()
    body = body[: len(body) // 2] if fault.get("cut") else body
    handler.send(200, body, {"Content-Type": fault.get("content_type", "application/json")})


def bomb(handler: Handler, fault: dict[str, Any], answer: Answer) -> None:
    """100 MB of spaces in 100 kB."""
    handler.send(fault.get("status", 200), _bomb(), {"Content-Encoding": "gzip"})


@cache
def _bomb() -> bytes:
    return gzip.compress(b" " * 100_000_000, compresslevel=1)


def flood(handler: Handler, fault: dict[str, Any], answer: Answer) -> None:
    """More than 64 MiB, uncompressed."""
    try:
        handler.send(200, b" " * (65 * 2**20))
    except OSError:
        handler.close_connection = True


def items(handler: Handler, fault: dict[str, Any], answer: Answer) -> None:
    """`change`: what is done to the list of embeddings."""
    data = answer["data"]
    change = fault["change"]
    if change == "fewer":
        data.pop()
    elif change == "more":
        data.append({**data[0], "index": len(data)})
    elif change == "reorder":
        data.reverse()
    elif change == "duplicate":
        data[-1]["index"] = 0
    elif change == "missing":
        del data[0]["index"]
    elif change == "negative":
        data[0]["index"] = -1
    handler.reply(200, answer)


def embedding(handler: Handler, fault: dict[str, Any], answer: Answer) -> None:
    """`embedding` in the place of the last one, as JSON text (NaN and 1e39 have a place there)."""
    answer["data"][-1]["embedding"] = "PLACE"
    handler.send(200, json.dumps(answer).replace('"PLACE"', fault["embedding"]).encode())


FAULTS: Faults = {
    found.__name__: found for found in (none, status, hang, slow, drip, reset, raw, bomb, flood, items, embedding)
}


class Provider:
    """The server as a process of its own, seen from a test."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.url = f"{address}/v1"

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[Provider]:
        command = [sys.executable, str(Path(__file__).resolve())]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin
            assert process.stdout
            try:
                yield cls(process.stdout.readline().strip())
            finally:
                process.stdin.close()
                process.wait(60)

    def script(self, *faults: dict[str, Any]) -> None:
        """The faults of the next requests, in order."""
        self._post("/script", list(faults))

    def rules(self, **rules: Any) -> None:
        """What holds for all requests.

        `poison`: a word no text may have; `max_inputs` and `max_characters` of a request; `floats`: never base64;
        `odd`: {"word", "embedding"}, what texts with the word become; `seed`: another model under the same name;
        `tokens`: what each text is said to have cost; `always`: the fault of every request that the script does not
        reach.
        """
        self._post("/rules", rules)

    def reset(self) -> None:
        self._post("/reset", {})

    @property
    def calls(self) -> list[dict[str, Any]]:
        with _opener.open(f"{self.address}/calls", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)
            return found

    def _post(self, path: str, content: Any) -> None:
        _opener.open(f"{self.address}{path}", json.dumps(content).encode(), timeout=10).close()


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def main() -> None:
    class Bound(Handler):
        state = State()

    with ThreadingHTTPServer(("127.0.0.1", 0), Bound) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        sys.stdin.read()  # until whoever started it goes away
        server.shutdown()


if __name__ == "__main__":
    main()
