"""Has hostile files parsed in a process of its own, so that none can crash, hang or exhaust this one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

from semsearch.sources.source import MAX_INPUT, MAX_TEXT, Kind, Parsed, Unreadable

_KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT", "TMPDIR")


_PIECE = 1 << 16


class Sandbox:
    """Parses one file after another in one process, which is started when the first file comes, killed at a limit
    and started anew for the next file. Close it, or use it in a with statement."""

    def __init__(self, *, memory: int = 1 << 30, processor_seconds: int = 30, wall_seconds: float = 60) -> None:
        self._limits = (str(memory), str(processor_seconds))
        self._wall_seconds = wall_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kills the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                _close_quietly(pipe)
            self._process = None

    def parse(self, kind: Kind, content: BinaryIO, encoding: str | None = None) -> Parsed:
        """What the parser of `kind` finds in a regular file. Unreadable where it fails, or meets a limit."""
        size = os.fstat(content.fileno()).st_size
        if size > MAX_INPUT:
            raise Unreadable(f"is larger than {MAX_INPUT // 1_000_000} MB")
        process = self._process or self._start()
        expired = threading.Event()
        timer = threading.Timer(self._wall_seconds, _kill, (process, expired))
        timer.start()
        try:
            return _exchange(process, {"kind": kind, "size": size, "encoding": encoding}, content)
        except _Lost:
            process.kill()
            raise Unreadable(_why(process.wait(), expired.is_set())) from None
        finally:
            timer.cancel()
            if process.poll() is not None:
                self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            command(*self._limits),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for this process to answer
        )
        return self._process


def command(*limits: str) -> list[str]:
    """What is run. -P: the folder we stand in may be the hostile one, with a docx.py in it."""
    return [sys.executable, "-P", "-m", "semsearch.sources.parse", *limits]


def _environment() -> dict[str, str]:
    """Where to find modules, as this process does, and nothing else: no key, no password."""
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    package = str(Path(__file__).resolve().parents[2])  # last: found only where it is not installed
    path = os.pathsep.join([*(entry for entry in sys.path if entry), package])
    return {**kept, "PYTHONPATH": path, "PYTHONUTF8": "1", "OPENBLAS_NUM_THREADS": "1"}


class _Lost(Exception):
    """The process is gone, or answers what it never should."""


def _exchange(process: subprocess.Popen[bytes], request: dict[str, Any], content: BinaryIO) -> Parsed:
    requests, answers = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
    try:
        requests.write(json.dumps(request).encode() + b"\n")
        _copy(content, requests, request["size"])
        requests.flush()
    except BrokenPipeError:
        pass  # it may have answered before it went
    try:
        answer = json.loads(answers.readline(65_536))
        if answer.get("unfit"):
            process.kill()
            process.wait()
        if reason := answer.get("error"):
            raise Unreadable(str(reason))
        text = answers.read(min(int(answer["size"]), MAX_TEXT))
        if len(text) != answer["size"] or answer["format"] not in ("text", "markdown"):
            raise _Lost
        return Parsed(text.decode("utf-8", errors="replace"), answer["title"], answer["format"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _Lost from None


def _copy(content: BinaryIO, requests: BinaryIO, size: int) -> None:
    """Exactly `size` bytes, without holding them; a file that shrank meanwhile is made up with zeros and so broken."""
    left = size
    while left and (piece := content.read(min(left, _PIECE))):
        requests.write(piece)
        left -= len(piece)
    requests.write(bytes(left))


def _kill(process: subprocess.Popen[bytes], expired: threading.Event) -> None:
    expired.set()
    process.kill()


def _why(code: int, expired: bool) -> str:
    if expired or code == -signal.SIGXCPU:
        return "takes too long to parse"
    return f"crashes its parser, or needs more memory than a file is given (exit status {code})"


def _close_quietly(pipe: Any) -> None:
    with suppress(BrokenPipeError):
        pipe.close()
