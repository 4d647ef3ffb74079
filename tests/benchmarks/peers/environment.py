"""The environment of the peers, made once beside the results, and the talk with one at work there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "results" / "peers-venv"
ROOT = Path(__file__).parent.parent.parent.parent
PEERS = {
    "langchain": "langchain-postgres==0.0.19",
    "vecs": "vecs==0.4.5",
    "llama_index": "llama-index-vector-stores-postgres==0.9.0",
    "haystack": "pgvector-haystack==8.1.2",
}


class Unavailable(Exception):
    """A peer cannot be measured; the message says why."""


def install() -> None:
    """All of them in one environment, which takes a minute and a network. Raises Unavailable."""
    stamp, wanted = FOLDER / "installed.txt", "\n".join(PEERS.values())
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"installing the peers in {FOLDER}", flush=True)
    pip = [_python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS.values()]
    for command in ([sys.executable, "-m", "venv", "--clear", str(FOLDER)], pip):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(f"not installed: {_reason(done.stderr or done.stdout)}")
    stamp.write_text(wanted)


def answers(name: str, url: str, folder: Path) -> Iterator[dict[str, Any]]:
    """What the peer says, one answer after the other, to what lies in the folder. Raises Unavailable when it fails."""
    command = [_python(), "-m", "tests.benchmarks.peers", name, url, str(folder)]
    environment = {**os.environ, "HAYSTACK_TELEMETRY_ENABLED": "False"}
    with (
        (folder / f"{name}.log").open("w+") as log,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout
        yield from map(json.loads, process.stdout)
        if process.wait():
            log.seek(0)
            raise Unavailable(f"ended with {process.returncode}: {_reason(log.read())}")


def _python() -> str:
    return str(FOLDER / ("Scripts" if sys.platform == "win32" else "bin") / "python")


def _reason(text: str) -> str:
    """The last line that names an error, for some add advice below it."""
    lines = text.strip().splitlines() or ["no word about why"]
    return next((line for line in reversed(lines) if "error" in line.lower() and line[0] != "("), lines[-1])
