"""A file, or a folder of files, as a source."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, assert_never

from semsearch.errors import InvalidInput, NotFound
from semsearch.records import Document
from semsearch.sources import delimited, jsonl, parquet, text
from semsearch.sources.encoding import SAMPLE, detect, is_binary, mark
from semsearch.sources.kinds import ROWS, by_content, by_name, missing_extra
from semsearch.sources.lines import as_utf8
from semsearch.sources.opening import open_regular, unpacked, why
from semsearch.sources.sandbox import Sandbox
from semsearch.sources.source import Broken, Kind, MissingField, Options, Place, Unreadable, Unsupported
from semsearch.sources.walk import File, Refused, walk


class SingleFile:
    """One file, asked for by its name: what makes it unfit as a whole is raised, not reported."""

    def __init__(self, path: Path, options: Options) -> None:
        self._path = path
        self._options = options
        absolute = _absolute(path)
        name = printable(absolute.name)
        self._place = Place(id=name, path=name, where=printable(str(path)))
        self.name = "file:" + printable(str(absolute))
        self._kind, self._gzipped = self._checked_kind()

    @cached_property
    def total(self) -> int | None:
        """1 for a text, the rows of a Parquet file, None for other rows: nobody knows before reading them."""
        if self._kind == "parquet":
            with self._open() as content:
                return parquet.count(content)
        return None if self._kind in ROWS else 1

    def __iter__(self) -> Iterator[Document | Broken]:
        try:
            with self._open() as content, Sandbox() as sandbox:
                yield from read(content, self._kind, self._gzipped, self._place, self._options, sandbox)
        except MissingField as error:
            raise InvalidInput(f"{self._place.where}: the first row {error.reason}.") from None
        except Unreadable as error:
            yield _broken(error, error.reason, self._place, self._kind)

    def _checked_kind(self) -> tuple[Kind, bool]:
        try:
            with self._open() as content:
                kind, gzipped = kind_of(self._path.name, content, self._options)
        except Unreadable as error:
            raise InvalidInput(f"{self._place.where} {error.reason}.") from None
        if missing := missing_extra(kind):
            raise InvalidInput(f"{self._place.where} {missing}.")
        return kind, gzipped

    def _open(self) -> BinaryIO:
        return open_regular(os.path.realpath(self._path))  # a link that is named is meant


class Folder:
    """All files below a folder; ids are the folder's name and the path below it, as in `docs/guide/install.md`."""

    def __init__(self, path: Path, options: Options) -> None:
        self._path = path
        self._options = options
        absolute = _absolute(path)
        self._folder = absolute.name
        self.name = "file:" + printable(str(absolute))

    @cached_property
    def total(self) -> int | None:
        """The number of files; None where one of them holds rows."""
        count = 0
        for found in walk(self._path, self._options):
            if isinstance(found, File):
                count += 1
                if self._may_hold_rows(found.parts[-1]):
                    return None
        return count

    def _may_hold_rows(self, name: str) -> bool:
        try:
            return (self._options.format or by_name(name).kind) in ROWS
        except Unreadable:
            return False

    def __iter__(self) -> Iterator[Document | Broken]:
        without: Counter[tuple[Kind, str]] = Counter()
        with Sandbox() as sandbox:
            for found in walk(self._path, self._options):
                place = self._place(found.parts)
                if isinstance(found, Refused):
                    yield Broken(place.where, found.reason, None if found.is_folder else place.id)
                else:
                    yield from self._read(found, place, sandbox, without)
        for (kind, reason), count in without.items():
            files = "file" if count == 1 else "files"
            yield Broken(printable(str(self._path)), f"holds {count:,} {kind} {files}, not read: {kind} {reason}")

    def _read(
        self, found: File, place: Place, sandbox: Sandbox, without: Counter[tuple[Kind, str]]
    ) -> Iterator[Document | Broken]:
        kind: Kind | None = None
        try:
            with open_regular(found.parts[-1], directory=found.directory) as content:
                kind, gzipped = kind_of(found.parts[-1], content, self._options)
                if missing := missing_extra(kind):
                    without[kind, missing] += 1
                else:
                    yield from read(content, kind, gzipped, place, self._options, sandbox)
        except Unreadable as error:
            reason = f"the first row {error.reason}" if isinstance(error, MissingField) else error.reason
            yield _broken(error, reason, place, kind)

    def _place(self, parts: tuple[str, ...]) -> Place:
        path = printable("/".join(parts))
        id = "/".join(filter(None, (printable(self._folder), path)))
        return Place(id=id, path=path, where=printable(str(self._path.joinpath(*parts))))


def open_path(path: Path, options: Options) -> SingleFile | Folder:
    """NotFound where there is nothing, InvalidInput where it is neither a folder nor a file that can be read."""
    try:
        if path.is_dir():
            os.close(os.open(path, os.O_RDONLY))
            return Folder(path, options)
        path.stat()
    except FileNotFoundError:
        raise NotFound(f"{printable(str(path))} does not exist.") from None
    except (OSError, ValueError) as error:
        reason = why(error) if isinstance(error, OSError) else "is not a path"
        raise InvalidInput(f"{printable(str(path))} {reason}.") from None
    if not path.is_file():
        raise InvalidInput(f"{printable(str(path))} is not a regular file; pipe it in and name it '-' instead.")
    return SingleFile(path, options)


def kind_of(name: str, content: BinaryIO, options: Options) -> tuple[Kind, bool]:
    """The kind of a file and whether it is gzip, by the options, its name, or its beginning."""
    if options.format is not None:
        return options.format, name.lower().endswith(".gz")
    kind, gzipped = by_name(name)
    if kind is None:
        kind = by_content(content.read(SAMPLE))
        content.seek(0)
    return kind, gzipped


def read(
    content: BinaryIO, kind: Kind, gzipped: bool, place: Place, options: Options, sandbox: Sandbox
) -> Iterator[Document | Broken]:
    """The documents of one open, seekable file. Raises Unreadable where it goes wrong as a whole."""
    with unpacked(content, gzipped=gzipped) as stream:
        if kind == "text" or kind == "markdown" or kind == "rst":
            yield text.read(stream, kind, place, options)
        elif kind == "html" or kind == "pdf" or kind == "docx":
            found = sandbox.parse(kind, content, options.encoding)
            yield Document(place.id, found.text, {"path": place.path}, found.title, found.format)
        elif kind == "json":
            yield from jsonl.read_file(stream, place, options)
        elif kind == "jsonl":
            yield from jsonl.read_lines(as_utf8(stream, options.encoding or _marked(stream)), place, options)
        elif kind == "csv" or kind == "tsv":
            yield from delimited.read(as_utf8(stream, options.encoding or detect(stream)), kind, place, options)
        elif kind == "parquet":
            yield from parquet.read(stream, place, options)
        else:
            assert_never(kind)


def _marked(stream: BinaryIO) -> str:
    """The encoding of JSONL: UTF-8, or what a byte order mark says. Nothing more is guessed, for a wrong byte is the
    fault of its line, and must not change how the others are read."""
    head = stream.read(SAMPLE)
    stream.seek(0)
    if is_binary(head):
        raise Unreadable("is binary, not text")
    return mark(head) or "utf-8"


def _broken(error: Unreadable, reason: str, place: Place, kind: Kind | None) -> Broken:
    """A broken file of rows has no id: nobody can say which documents were in it."""
    id = error.id if kind in ROWS else place.id
    return Broken(place.where, reason, id, unsupported=isinstance(error, Unsupported))


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  (resolve() follows links, and so changes names)


def printable(name: str) -> str:
    """A file's name as text that can be stored and shown: control characters and bytes that are not UTF-8 escaped, as
    in `caf\\xe9.txt`, the same way every time."""
    if name.isprintable():
        return name
    return "".join(_escaped(character) for character in name)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python carries bytes of a name that are not UTF-8 (PEP 383)
        return f"\\x{ord(character) - 0xDC00:02x}"
    if unicodedata.category(character) in ("Cc", "Cs"):
        return character.encode("unicode_escape").decode()
    return character
