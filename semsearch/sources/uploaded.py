"""A file that somebody has sent, under the name that it has in their folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from semsearch.errors import InvalidInput, UnsupportedMedia
from semsearch.records import Document
from semsearch.sources import files
from semsearch.sources.kinds import ROWS, missing_extra
from semsearch.sources.sandbox import Sandbox
from semsearch.sources.source import Broken, MissingField, Options, Place, Unreadable, Unsupported

MAX_NAME = 1000  # bytes
UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\\]")


class UploadedFile:
    """A regular file that is open, as `name`; its document has the id that a folder of that name would give it.

    Raises InvalidInput for a name that leads elsewhere, UnsupportedMedia for a kind that is not read.
    """

    total = None

    def __init__(self, content: BinaryIO, name: str, options: Options) -> None:
        check_name(name)
        self._content, self._options = content, options
        below = name.partition("/")[2] or name
        self._place = Place(id=name, path=below, where=name)
        self.name = f"upload:{name}"
        try:
            self._kind, self._gzipped = files.kind_of(PurePosixPath(name).name, content, options)
        except Unsupported as error:
            raise UnsupportedMedia(f"{name} {error.reason}.") from None
        except Unreadable as error:
            raise InvalidInput(f"{name} {error.reason}.") from None
        if missing := missing_extra(self._kind):
            raise UnsupportedMedia(f"{name} {missing}.")

    def __iter__(self) -> Iterator[Document | Broken]:
        self._content.seek(0)
        try:
            with Sandbox() as sandbox:
                yield from files.read(self._content, self._kind, self._gzipped, self._place, self._options, sandbox)
        except MissingField as error:
            raise InvalidInput(f"{self._place.where}: the first row {error.reason}.") from None
        except Unreadable as error:
            id = error.id if self._kind in ROWS else self._place.id
            yield Broken(self._place.where, error.reason, id, unsupported=isinstance(error, Unsupported))


def check_name(name: str) -> None:
    """Raise InvalidInput for a name that is not one of a file below a folder.

    >>> check_name("handbook/install.md")
    >>> check_name("handbook/../../etc/passwd")
    Traceback (most recent call last):
    semsearch.errors.InvalidInput: 'handbook/../../etc/passwd' is no name of a file: it has a part '..'.
    """
    if not name or UNFIT.search(name):
        raise InvalidInput(f"{name!r:.200} is no name of a file: it is empty, or has a control character or backslash.")
    if len(name.encode()) > MAX_NAME:
        raise InvalidInput(f"the name of the file is longer than {MAX_NAME:,} bytes.")
    for part in name.split("/"):
        if part in ("", ".", "..") or part != part.strip():
            raise InvalidInput(f"{name!r:.200} is no name of a file: it has a part {part!r:.80}.")
