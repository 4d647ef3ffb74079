"""A server that speaks OpenAI's /v1/embeddings and does no more than it must: every text has the same embedding.

    python -m tests.benchmarks.fast_provider       # prints its address, serves until its standard input closes

What is left is our own overhead. For right answers and faults there is tests/provider.py.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent.parent
DIMENSIONS = 8


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body waits 40 ms for the acknowledgement of its head
    embedding = base64.b64encode(np.full(DIMENSIONS, DIMENSIONS**-0.5, dtype=np.float32).tobytes()).decode()

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        one = '{"object":"embedding","index":%d,"embedding":"' + self.embedding + '"}'
        data = ",".join(one % index for index in range(len(asked["input"])))
        body = f'{{"object":"list","data":[{data}],"model":"fast"}}'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def started() -> Iterator[str]:
    """Its base URL; a process of its own, for its work must not be counted as ours."""
    command = [sys.executable, "-m", "tests.benchmarks.fast_provider"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield f"{process.stdout.readline().strip()}/v1"
        finally:
            process.stdin.close()
            process.wait(10)


def main() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
