"""The process that parses hostile files within limits it cannot leave; `sandbox` starts and feeds it.

For each file it reads one line of JSON (kind, size, encoding) and `size` bytes, and answers with one line of JSON and
the text in UTF-8: {"size": 5, "title": null, "format": "text"}, or {"error": "is encrypted"} and nothing more.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from semsearch.sources.source import MAX_TEXT, Kind, Unreadable


def main() -> None:
    """Answers until standard input ends. Arguments: bytes of memory, seconds of processor time for each file."""
    memory, seconds = int(sys.argv[1]), int(sys.argv[2])
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a parser prints must not end up among the answers
    limit_memory(memory)
    while line := requests.readline():
        limit_processor(seconds)
        if not answer(json.loads(line), requests, answers):
            return


def answer(request: dict[str, Any], requests: BinaryIO, answers: BinaryIO) -> bool:
    """One file; False when memory ran out, for this process may not be fit to parse another."""
    try:
        data = requests.read(request["size"])
        head, body = parsed(request["kind"], data, request["encoding"])
    except MemoryError:
        answers.write(b'{"error": "needs more memory than a file is given", "unfit": true}\n')
        answers.flush()
        return False
    answers.write(json.dumps(head).encode() + b"\n" + body)
    answers.flush()
    return True


def parsed(kind: Kind, data: bytes, encoding: str | None) -> tuple[dict[str, Any], bytes]:
    """The answer's two parts."""
    try:
        text, title, format = import_module(f"semsearch.sources.{kind}").parse(data, encoding)
        body = text.encode("utf-8", errors="replace")
        if len(body) > MAX_TEXT:
            raise Unreadable(f"holds more than {MAX_TEXT // 1_000_000} MB of text")
    except Unreadable as error:
        return {"error": error.reason}, b""
    except MemoryError:
        raise
    except Exception as error:  # what parsers raise on broken files is not documented by any of them
        return {"error": f"is a broken {kind} file ({type(error).__name__})"}, b""
    title = title and title[:1000].encode("utf-8", errors="replace").decode()  # MAX_TITLE, without numpy
    return {"size": len(body), "title": title, "format": format}, body


def limit_memory(extra: int) -> None:
    """Lets this process grow by `extra` bytes of address space, write no file and leave no core."""
    with suppress(ImportError, ValueError, OSError):  # where the system has no such limits, the others must do
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        # Relative, for numpy alone maps gigabytes on a machine with many cores.
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + extra, now + extra))


def limit_processor(seconds: int) -> None:
    """Lets the system kill this process after so many more seconds of processor time."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds, hard))


if __name__ == "__main__":
    main()
