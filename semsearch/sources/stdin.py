"""Standard input as a source: JSONL line by line as it comes, or one text."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

from semsearch.errors import InvalidInput
from semsearch.records import Document
from semsearch.sources import jsonl
from semsearch.sources.files import read
from semsearch.sources.kinds import ROWS, missing_extra
from semsearch.sources.lines import as_utf8
from semsearch.sources.sandbox import Sandbox
from semsearch.sources.source import Broken, Kind, MissingField, Options, Place, Unreadable

_PLACE = Place(id="stdin", path="stdin", where="stdin")


class StandardInput:
    """What is piped in. It can be read once. `format` in the options says what it is; without it, it is JSONL if each
    line that has arrived begins with a brace, else one text document with the id `stdin`."""

    name = "stdin"
    total = None

    def __init__(self, options: Options) -> None:
        self._options = options
        if options.format and (missing := missing_extra(options.format)):
            raise InvalidInput(f"standard input {missing}.")

    def __iter__(self) -> Iterator[Document | Broken]:
        stream = cast(io.BufferedReader, sys.stdin.buffer)
        kind = self._options.format or _kind(stream.peek(1))
        try:
            if kind == "jsonl":
                lines = as_utf8(stream, self._options.encoding or "utf-8")
                yield from jsonl.read_lines(lines, _PLACE, self._options)
            else:
                yield from self._spooled(stream, kind)
        except MissingField as error:
            raise InvalidInput(f"standard input: the first row {error.reason}.") from None
        except Unreadable as error:
            yield Broken(_PLACE.where, error.reason, error.id if kind in ROWS else _PLACE.id)

    def _spooled(self, stream: BinaryIO, kind: Kind) -> Iterator[Document | Broken]:
        """Other kinds are read more than once, or from their end."""
        with tempfile.TemporaryFile() as file, Sandbox() as sandbox:
            shutil.copyfileobj(stream, file)
            file.seek(0)
            yield from read(cast(BinaryIO, file), kind, False, _PLACE, self._options, sandbox)


def _kind(arrived: bytes) -> Kind:
    lines = [line.strip() for line in arrived.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)]
    begun = [line for line in lines if line]
    return "jsonl" if begun and all(line.startswith(b"{") for line in begun) else "text"
