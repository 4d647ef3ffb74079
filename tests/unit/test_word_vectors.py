"""Files of word vectors: three formats, words as odd as published files have them, and lines that are broken."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semsearch.errors import InvalidInput, NotFound
from semsearch.word_vectors import BLOCK, Vectors

GLOVE = b"the 0.5 -1 2e-1\nking 1 2 3\n"


def write(folder: Path, content: bytes, name: str = "vectors.txt") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read(path: Path, **options: Any) -> tuple[dict[str, list[float]], Vectors]:
    with Vectors(path, **options) as vectors:
        found = {}
        for words, matrix in vectors.blocks():
            assert matrix.dtype == np.float32
            assert matrix.shape == (len(words), vectors.dimensions)
            found.update(zip(words, matrix.tolist(), strict=True))
    return found, vectors


@pytest.mark.parametrize(
    ("content", "total"),
    [
        (GLOVE, None),
        (b"2 3\n" + GLOVE, 2),
        (b"2 3\r\n" + GLOVE.replace(b"\n", b" \r\n"), 2),
        (GLOVE.replace(b" ", b"\t"), None),
        (GLOVE.rstrip(), None),
        (b"2 3\n" + GLOVE + b"\n\n", 2),
        (gzip.compress(b"2 3\n" + GLOVE), 2),
    ],
    ids=["glove", "word2vec", "fasttext on windows", "tabs", "no last newline", "blank lines", "gzip"],
)
def test_every_format_reads_alike(tmp_path: Path, content: bytes, total: int | None) -> None:
    found, vectors = read(write(tmp_path, content))
    assert found == {"the": pytest.approx([0.5, -1, 0.2]), "king": [1, 2, 3]}
    assert (vectors.total, vectors.dimensions, vectors.cased, dict(vectors.skipped)) == (total, 3, False, {})


def test_words_may_be_anything_that_published_files_have(tmp_path: Path) -> None:
    words = [".", "...", "1.5", "don't", "São_Paulo", "猫", "🙂", ". . .", "at name@domain.com"]
    words += ["a\u00a0b", "x\u2028y", "\x85"]  # white space of other kinds
    content = "".join(f"{word} 1 {number}\n" for number, word in enumerate(words)).encode()
    found, vectors = read(write(tmp_path, content))
    assert list(found) == words
    assert vectors.cased
    assert not vectors.skipped


def test_what_cannot_be_a_word_is_left_out_and_counted(tmp_path: Path) -> None:
    lines = [b"ok 1 2", b"\xff\xfe 1 2", b" 1 2", b"a\0b 1 2", b"none 0 -0", b"x" * 1025 + b" 1 2"]
    found, vectors = read(write(tmp_path, b"\n".join([*lines, b"y" * 1024 + b" 1 2"])))
    assert list(found) == ["ok", "y" * 1024]
    assert dict(vectors.skipped) == {
        "not UTF-8": 1,
        "no word": 1,
        "a NUL character": 1,
        "longer than 1,024 bytes": 1,
        "a vector of zeros": 1,
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"bad 1 2", "line 3: 3 numbers are wanted behind the word, there are 2."),
        (b"bad 1 2 3 4", "line 3: 3 numbers are wanted behind the word, there are 4."),
        (b"bad", "line 3: 3 numbers are wanted behind the word, there are 0."),
        (b"bad 1 x 3", "line 3: 'x' is not a number."),
        (b"bad 1 \xff 3", "line 3: '\ufffd' is not a number."),
        (b"bad 1 nan 3", "line 3: a number is infinite, or none (NaN)."),
        (b"bad 1 -inf 3", "line 3: a number is infinite, or none (NaN)."),
        (b"bad 1 1e39 3", "line 3: a number is infinite, or none (NaN)."),
        (b"x" * (2**20 + 1), "line 3: it is too long."),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    path = write(tmp_path, GLOVE + line + b"\nlast 1 2 3\n")
    with pytest.raises(InvalidInput) as refused:
        read(path)
    assert str(refused.value) == f"{path}, {said}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no words"),
        (b"5 3\n", "holds no words"),
        (b"a 0 0\n", "holds no word that can be used"),
        (b"word\n", "a vector has 1 to 16,000 numbers; here there are 0"),
        (b"1 20000\nword 1\n", "a vector has 1 to 16,000 numbers; here there are 20,000"),
        (b"3 3\n" + GLOVE, "ends after 2 words, its first line promises 3: fetch it again"),
        (b"1 2\nking " + struct.pack("<2f", 0.1, -7.3) + b"\n", "KeyedVectors.load_word2vec_format"),
        (b"9 300\nking " + struct.pack("<300f", *range(-150, 150)) * 1000, "KeyedVectors.load_word2vec_format"),
        (struct.pack("<i", 793712314) + bytes(20), "fastText's binary model: give its .vec file"),
        (b"PK\x03\x04glove", "a zip archive: unpack it"),
        (b"\x93NUMPY\x01\x00", "a NumPy array"),
        (b"\x80\x04\x95abc", "a pickle, which is not opened"),
        (gzip.compress(GLOVE * 9, mtime=0)[:-9], "cannot be decompressed"),
        (gzip.compress(b"the " + bytes(range(256)) * 99, mtime=0)[:60] + b"broken" * 9, "cannot be decompressed"),
    ],
)
def test_a_file_that_is_none_says_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InvalidInput) as refused:
        read(path)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        Vectors(tmp_path / "absent.txt")
    with pytest.raises(InvalidInput, match="cannot be read: Is a directory"):
        Vectors(tmp_path)


def test_only_the_first_words_are_read(tmp_path: Path) -> None:
    content = b"".join(b"word%d 1 %d\n" % (number, number) for number in range(3 * BLOCK)) + b"broken\n"
    found, vectors = read(write(tmp_path, content), limit=2 * BLOCK + 1)
    assert len(found) == vectors.total == 2 * BLOCK + 1
    with pytest.raises(InvalidInput, match="line 3,001"):
        read(tmp_path / "vectors.txt")
    for wrong in (0, -1, True, "9"):
        with pytest.raises(InvalidInput, match="limit is a whole number"):
            Vectors(tmp_path / "vectors.txt", limit=wrong)  # type: ignore[arg-type]


def test_a_word_with_an_upper_case_letter_is_told_of(tmp_path: Path) -> None:
    found, vectors = read(write(tmp_path, "The 1 1\nÉcole 2 2\n".encode()))
    assert list(found) == ["The", "École"]
    assert vectors.cased
