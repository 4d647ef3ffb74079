"""Standard input: rows as they come, or one text."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

from semsearch import InvalidInput, sources
from semsearch.records import Document
from semsearch.sources import Broken, Options, kinds

Piped = Callable[..., list[Document | Broken]]


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Piped:
    """What comes of bytes that are piped in."""

    def piped(content: bytes, **options: object) -> list[Document | Broken]:
        stream = io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
        return list(sources.open("-", Options(**options)))  # type: ignore[arg-type]

    return piped


def test_lines_that_begin_with_a_brace_are_rows(piped: Piped) -> None:
    assert piped(b'\xef\xbb\xbf{"id": 1, "text": "x"}\n\n {"id": 2, "text": "y"}\n') == [
        Document("1", "x"),
        Document("2", "y"),
    ]


@pytest.mark.parametrize("text", ["prose\n{not rows}", '{\n "text": "x"\n}', ""])
def test_all_else_is_one_text(piped: Piped, text: str) -> None:
    assert piped(text.encode()) == [Document("stdin", text, {"path": "stdin"})]


def test_format_says_what_it_is(piped: Piped) -> None:
    assert piped(b"id,text\n1,x\n", format="csv") == [Document("1", "x")]
    assert piped(b'[{"id": 1, "text": "x"}]', format="json") == [Document("1", "x")]
    (page,) = piped(b"<title>T</title><h1>x</h1>", format="html")
    assert page == Document("stdin", "# x", {"path": "stdin"}, "T", "markdown")


def test_what_is_broken_is_reported(piped: Piped) -> None:
    assert piped(b"\x00\x01\x02" * 100) == [Broken("stdin", "is binary, not text", "stdin")]
    assert piped(b'{"id": 1, "text": "x"}\n{broken\n')[1].where == "stdin:2"  # type: ignore[union-attr]


def test_rows_without_a_text_field_are_refused(piped: Piped) -> None:
    with pytest.raises(InvalidInput, match="standard input: the first row has no text field"):
        piped(b'{"id": 1}')


def test_the_encoding_that_is_named_is_used(piped: Piped) -> None:
    assert piped('{"id": 1, "text": "größe"}'.encode("cp1252"), encoding="cp1252") == [Document("1", "größe")]


def test_its_name_and_total() -> None:
    source = sources.open("-")
    assert (source.name, source.total) == ("stdin", None)


def test_a_missing_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match="pip install"):
        sources.open("-", Options(format="parquet"))
