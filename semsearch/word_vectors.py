"""Files of word vectors, read as blocks: word2vec's text format, GloVe's, fastText's `.vec`, each also gzip-compressed.

A line is a word and its numbers. word2vec and fastText begin with a line that says how many words and dimensions there
are, GloVe does not. Words of GloVe may hold spaces, so lines are read from the right.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

import numpy as np

from semsearch.errors import InvalidInput, NotFound
from semsearch.fields import describe
from semsearch.records import Embedding

MAX_DIMENSIONS = 16_000  # of pgvector's vector
MAX_WORD_BYTES = 1024  # as for ids of documents; what an index can hold ends at 2,704 bytes an entry
MAX_LINE_BYTES = 2**20  # 16,000 numbers of 60 characters
BLOCK = 1_000  # words handed on at once

HEADER = re.compile(rb"\s*([0-9]{1,12})[ \t]+([0-9]{1,9})\s*")
# What a text file cannot begin with. GloVe is published as .zip, fastText's models as .bin.
MAGIC = {
    b"PK\x03\x04": "a zip archive: unpack it, and name one of the files in it",
    b"\xba\x16O/": "fastText's binary model: give its .vec file, or print the vectors of its words as text",
    b"\x93NUMPY": "a NumPy array, which has no words: write word2vec's text format",
    b"\x80": "a pickle, which is not opened: write word2vec's text format",
    b"BZh": "compressed by bzip2: decompress it, or use gzip",
    b"\xfd7zXZ": "compressed by xz: decompress it, or use gzip",
}
CONVERT = (
    "in word2vec's binary format: convert it to text, as with gensim: "
    "KeyedVectors.load_word2vec_format(FILE, binary=True).save_word2vec_format('vectors.txt')"
)


class Vectors:
    """An open file of word vectors. `skipped` counts, by reason, the lines that were left out so far.

    `cased` says whether a word with an upper-case letter was seen. Raises NotFound, InvalidInput when it is opened, and
    InvalidInput with the line's number for a line that is broken: then what is left of the file cannot be trusted.
    """

    def __init__(self, path: str | Path, *, limit: int | None = None) -> None:
        if limit is not None and (type(limit) is not int or limit < 1):
            raise InvalidInput(f"limit is a whole number of words, at least 1; got {describe(limit)}.")
        self.path = Path(path)
        self.skipped: Counter[str] = Counter()
        self.cased = False
        self._limit = limit
        self._number = 0  # of the line that was read last
        self._stream = _open(self.path)
        try:
            self._first = self._begin()
        except BaseException:
            self._stream.close()
            raise

    def _begin(self) -> bytes:
        """Read the header, if there is one, and the first line behind it."""
        self.announced: int | None = None
        line = self._line()
        if header := HEADER.fullmatch(line):
            self.announced, self.dimensions = int(header[1]), int(header[2])
            line = self._line()
        else:
            self.dimensions = len(_fields(line)) - 1
        if not line:
            raise InvalidInput(f"{self.path} holds no words.")
        if _is_binary(line):
            raise InvalidInput(f"{self.path} is {CONVERT}.")
        if not 1 <= self.dimensions <= MAX_DIMENSIONS:
            raise self._broken(f"a vector has 1 to {MAX_DIMENSIONS:,} numbers; here there are {self.dimensions:,}")
        return line

    @property
    def total(self) -> int | None:
        """How many words there will be at most, where that is known."""
        known = [number for number in (self.announced, self._limit) if number is not None]
        return min(known) if known else None

    def blocks(self) -> Iterator[tuple[list[str], Embedding]]:
        """Words with their vectors, shape (n, dimensions), in the order of the file."""
        words: list[str] = []
        numbers: list[Embedding] = []
        for word, vector in self._usable():
            words.append(word)
            numbers.append(vector)
            if len(words) == BLOCK:
                yield words, np.stack(numbers)
                words, numbers = [], []
        if words:
            yield words, np.stack(numbers)

    def _usable(self) -> Iterator[tuple[str, Embedding]]:
        lines = found = 0
        line = self._first
        while line:
            if line.strip():
                lines += 1
                word, vector = self._parse(line)
                if (reason := _unusable(word, vector)) is not None:
                    self.skipped[reason] += 1
                else:
                    found += 1
                    yield self._seen(word.decode()), vector
                    if found == self._limit:
                        return
            line = self._line()
        if self.announced is not None and lines < self.announced:
            raise InvalidInput(
                f"{self.path} ends after {lines:,} words, its first line promises {self.announced:,}: fetch it again."
            )
        if not found:
            raise InvalidInput(f"{self.path} holds no word that can be used.")

    def _parse(self, line: bytes) -> tuple[bytes, Embedding]:
        fields = _fields(line)
        word, numbers = b" ".join(fields[: -self.dimensions]), fields[-self.dimensions :]
        # One number too many would pass for a part of the word. An empty word is one that was white space.
        extra = len(fields) - 1 - self.dimensions
        if extra < 0 or (extra > 0 and _is_number(fields[extra])):
            found = len(fields) - 1 if extra < 0 else _count_numbers(fields)
            raise self._broken(f"{self.dimensions:,} numbers are wanted behind the word, there are {found:,}")
        try:
            vector = np.array([float(number) for number in numbers], np.float64)
        except ValueError:
            wrong = next(number for number in numbers if not _is_number(number))
            raise self._broken(f"{wrong.decode(errors='replace')!r:.40} is not a number") from None
        if not (np.abs(vector) <= np.finfo(np.float32).max).all():
            raise self._broken("a number is infinite, or none (NaN)")
        return word, vector.astype(np.float32)

    def _seen(self, word: str) -> str:
        self.cased = self.cased or word != word.lower()
        return word

    def _line(self) -> bytes:
        """The next line, b"" at the end of the file."""
        self._number += 1
        try:
            line = self._stream.readline(MAX_LINE_BYTES + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise self._broken(f"it cannot be decompressed ({error}): fetch it again") from error
        if self._number == 1:
            for magic, what in MAGIC.items():
                if line.startswith(magic):
                    raise InvalidInput(f"{self.path} is {what}.")
        if len(line) > MAX_LINE_BYTES:
            raise InvalidInput(f"{self.path} is {CONVERT}.") if _is_binary(line) else self._broken("it is too long")
        return line

    def _broken(self, problem: str) -> InvalidInput:
        return InvalidInput(f"{self.path}, line {self._number:,}: {problem}.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stream.close()


def _open(path: Path) -> IO[bytes]:
    """Decompressed, whatever it is called. Raises NotFound, InvalidInput."""
    try:
        with path.open("rb") as looking:
            compressed = looking.read(2) == b"\x1f\x8b"
        return cast(IO[bytes], gzip.open(path, "rb")) if compressed else path.open("rb")
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}.") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error


def _fields(line: bytes) -> list[bytes]:
    """Cut at spaces and tabs only: words may hold other white space. fastText ends its lines with a space."""
    return line.replace(b"\t", b" ").rstrip(b" \r\n").split(b" ")


def _is_binary(line: bytes) -> bool:
    """Whether what should be the numbers holds characters that no number has."""
    _, _, numbers = line.partition(b" ")
    return bool(re.search(rb"[\x00-\x08\x0e-\x1f\x80-\xff]", numbers[:400])) and not _is_number(numbers.split(b" ")[-1])


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _count_numbers(fields: list[bytes]) -> int:
    return next((count for count, field in enumerate(reversed(fields)) if not _is_number(field)), len(fields))


def _unusable(word: bytes, vector: Embedding) -> str | None:
    """Why a word is left out, in a few words; None when it can be used."""
    try:
        word.decode()
    except UnicodeDecodeError:
        return "not UTF-8"
    if not word.strip():
        return "no word"
    if b"\0" in word:
        return "a NUL character"
    if len(word) > MAX_WORD_BYTES:
        return f"longer than {MAX_WORD_BYTES:,} bytes"
    if not vector.any():
        return "a vector of zeros"
    return None
