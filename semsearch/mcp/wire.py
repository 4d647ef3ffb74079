"""Standard input and output, kept for the protocol alone: whatever else the program prints goes to standard error."""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from semsearch.errors import InvalidInput

PORTION = 65536  # bytes


class Wire:
    """`input` and `output` are the client's. To be opened before anything could print; `end` may be called by signals.

    Meanwhile descriptor 0 reads nothing and descriptor 1 is standard error, for libraries and children, too. Raises
    InvalidInput where one of them is closed.
    """

    def __init__(self) -> None:
        try:
            self._client, output = os.dup(0), os.dup(1)
        except OSError as error:
            raise InvalidInput("the protocol needs standard input and output, and one of them is closed.") from error
        self._before = self._client, os.dup(1)
        relayed, relay = os.pipe()
        self._asked, self._ask = os.pipe()
        self._relay = os.fdopen(relay, "wb")
        self.input = io.TextIOWrapper(os.fdopen(relayed, "rb"), encoding="utf-8", errors="replace")
        self.output = io.TextIOWrapper(os.fdopen(output, "wb"), encoding="utf-8")

    def __enter__(self) -> Self:
        sys.stdout.flush()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        threading.Thread(target=self._copy, name="standard input", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.end()
        with suppress(OSError):  # the client may be gone
            self.output.close()
        self.input.close()
        sys.stdout.flush()
        for own, before in enumerate(self._before):
            os.dup2(before, own)

    def end(self) -> None:
        """As if the client had closed its end."""
        os.write(self._ask, b".")

    def _copy(self) -> None:
        """A read that waits for the client can be neither cancelled nor interrupted: only this thread is ever in it."""
        with suppress(OSError), self._relay:
            while portion := self._read():
                self._relay.write(portion)
                self._relay.flush()

    def _read(self) -> bytes:
        """What the client sends next; nothing at its end, or ours."""
        ready, _, _ = select.select([self._client, self._asked], [], [])
        return b"" if self._asked in ready else os.read(self._client, PORTION)
