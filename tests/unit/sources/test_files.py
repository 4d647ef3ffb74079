"""Single files: kinds, encodings, headers, and what is refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semsearch import InvalidInput, sources
from semsearch.records import Document
from semsearch.sources import Broken, Options, encoding, kinds
from semsearch.sources.opening import open_regular
from semsearch.sources.source import Unreadable

Read = Callable[..., tuple[list[Document], list[Broken]]]


@pytest.mark.parametrize(
    ("name", "format"), [("a.txt", "text"), ("a.md", "markdown"), ("a.MARKDOWN", "markdown"), ("a.rst", "rst")]
)
def test_the_name_says_the_kind(tmp_path: Path, read: Read, name: str, format: str) -> None:
    (tmp_path / name).write_text("# text\n")
    (document,), _ = read(tmp_path / name)
    assert (document.id, document.text, document.format) == (name, "# text\n", format)
    assert document.metadata == {"path": name}
    assert sources.open(tmp_path / name).total == 1


def test_text_under_an_unknown_name_is_text(tmp_path: Path, read: Read) -> None:
    (tmp_path / "Makefile").write_text("all:\n\techo hello\n")
    (document,), _ = read(tmp_path / "Makefile")
    assert document.text == "all:\n\techo hello\n"


def test_html_under_an_unknown_name_is_html(tmp_path: Path, read: Read) -> None:
    (tmp_path / "page").write_text("<!DOCTYPE HTML><title>T</title><p>text")
    (document,), _ = read(tmp_path / "page")
    assert (document.title, document.text) == ("T", "text")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("photo", b"\xff\xd8\xff\xe0" + bytes(50)),
        ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(50)),
        ("letter", b"{\\rtf1 hello}"),
        ("notes.rtf", b"hello"),
        ("feed", b"  <?xml version='1.0'?>"),
        ("data.bin", bytes(range(32)) * 10),
        ("padded.tar", b"name" + bytes(100) + b"text " * 1_000),
        ("archive.tar.gz", b"\x1f\x8b"),
        ("paper.pdf.gz", b"\x1f\x8b"),
    ],
)
def test_an_unsupported_file_asked_for_by_name_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match="unsupported kind"):
        sources.open(tmp_path / name)


def test_a_missing_extra_is_refused_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-")
    with pytest.raises(InvalidInput, match=r"pip install 'semsearch\[files\]'"):
        sources.open(tmp_path / "a.pdf")


def test_format_overrules_the_name(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.xml").write_text("plain after all")
    (document,), _ = read(tmp_path / "a.xml", format="text")
    assert document.text == "plain after all"


@pytest.mark.parametrize("options", [{"format": "docm"}, {"encoding": "klingon"}, {"encoding": "base64"}])
def test_options_that_make_no_sense_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="unknown"):
        Options(**options)  # type: ignore[arg-type]


def test_an_empty_file_is_an_empty_document(tmp_path: Path, read: Read) -> None:
    """Broken would leave what it held before searchable."""
    (tmp_path / "a.txt").write_bytes(b"")
    (document,), broken = read(tmp_path / "a.txt")
    assert document.text == ""
    assert broken == []


def test_binary_under_the_name_of_text_is_broken(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.txt").write_bytes(bytes(range(256)) * 20)
    documents, (item,) = read(tmp_path / "a.txt")
    assert documents == []
    assert (item.id, item.reason) == ("a.txt", "is binary, not text")


def test_a_text_beyond_the_limit_is_broken_not_cut(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 20_000_001)
    documents, (item,) = read(tmp_path / "a.txt")
    assert documents == []
    assert item.reason == "holds more than 20 MB of text"


def test_gzip_is_unpacked_for_text(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.md.gz").write_bytes(gzip.compress(b"# hello"))
    (document,), _ = read(tmp_path / "a.md.gz")
    assert (document.id, document.text, document.format) == ("a.md.gz", "# hello", "markdown")


def test_broken_gzip_is_broken(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"x" * 10_000)[:-10])
    (tmp_path / "b.txt.gz").write_bytes(b"not gzip")
    assert "broken gzip" in read(tmp_path / "a.txt.gz")[1][0].reason
    assert "broken gzip" in read(tmp_path / "b.txt.gz")[1][0].reason


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("größe", "utf-8"),
        ("größe", "utf-8-sig"),
        ("größe", "utf-16"),
        ("größe", "utf-32"),
        ("café crème à la carte", "latin-1"),
        ("naïve", "cp1252"),
        ("“quoted” text — with dashes", "cp1252"),
        ("Привет, мир. Это русский текст, довольно короткий.", "cp1251"),
        ("日本語のテキストです。日本語のテキストです。", "shift_jis"),
        ("中文文本在这里，用于测试编码检测。", "gb18030"),
    ],
)
def test_encodings_are_detected(text: str, codec: str) -> None:
    assert encoding.decode(text.encode(codec)) == text


def test_the_encoding_that_is_named_is_used(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.txt").write_bytes("łódź".encode("cp1250"))
    assert read(tmp_path / "a.txt", encoding="cp1250")[0][0].text == "łódź"
    assert "utf-8" in read(tmp_path / "a.txt", encoding="utf-8")[1][0].reason


def test_bytes_in_no_encoding_are_broken() -> None:
    rubbish = bytes(range(128, 256)) * 40
    with pytest.raises(Unreadable, match="encoding"):
        encoding.decode(rubbish + b"\x81\x8d\x8f\x90\x9d\xff\xfe\x80" * 99)


def test_a_wrong_byte_far_into_a_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"plain ascii\n" * 20_000 + "café".encode("cp1252"))
    with open_regular(path) as stream:
        assert encoding.detect(stream) == "cp1252"
        assert stream.tell() == 0


def test_one_wrong_byte_does_not_make_all_the_rest_wrong() -> None:
    assert encoding.decode("größe und straße, größe".encode() + b" \xe9 x") == "größe und straße, größe \ufffd x"


def test_line_ends_become_newlines() -> None:
    assert encoding.decode(b"a\r\nb\rc\n") == "a\nb\nc\n"


@given(st.binary(max_size=2_000))
def test_no_bytes_raise_anything_but_unreadable(data: bytes) -> None:
    try:
        text = encoding.decode(data)
    except Unreadable:
        return
    text.encode("utf-8")  # in particular no lone surrogates


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=500))
def test_any_text_in_utf8_comes_back_as_it_was(text: str) -> None:
    assert encoding.decode(text.encode("utf-8")) == text.removeprefix("\ufeff")


def test_front_matter_becomes_title_and_metadata(tmp_path: Path, read: Read) -> None:
    text = (
        "---\ntitle: 'The guide'\nYear: 2024\nversion: 3.10\nzip: 01234\ndraft: false\ntags:\n  - nested\n"
        "list: [a, b]\nempty:\n---\n# Heading\n"
    )
    (tmp_path / "a.md").write_text(text)
    (document,), _ = read(tmp_path / "a.md")
    assert document.title == "The guide"
    assert document.text == text
    assert document.metadata == {"year": 2024, "version": "3.10", "zip": "01234", "draft": False, "path": "a.md"}


@pytest.mark.parametrize("text", ["---\nno end", "text\n---\na: b\n---\n", "----\na: b\n---\n"])
def test_what_is_not_front_matter_is_text(tmp_path: Path, read: Read, text: str) -> None:
    (tmp_path / "a.md").write_text(text)
    (document,), _ = read(tmp_path / "a.md")
    assert document.metadata == {"path": "a.md"}


def test_a_long_title_is_cut(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.md").write_text(f"---\ntitle: {'T' * 1001}\n---\ntext\n")
    (document,), _ = read(tmp_path / "a.md")
    assert document.title == "T" * 1000


def test_the_header_of_a_pep_becomes_title_and_metadata(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.rst").write_text(
        "PEP: 8\nTitle: A title\nAuthor: One,\n        Two\nPost-History:\nPython-Version: 3.10\n\nBody: not a field\n"
    )
    (document,), _ = read(tmp_path / "a.rst")
    assert document.title == "A title"
    assert document.metadata == {"pep": 8, "author": "One, Two", "python-version": "3.10", "path": "a.rst"}


@pytest.mark.parametrize(
    "text",
    ["Note: one line only\n\nText", "Title: x\nand prose\n\nText", "\nA: 1\nB: 2\n", "  indented\nA: 1\n", ""],
)
def test_prose_is_no_header(tmp_path: Path, read: Read, text: str) -> None:
    (tmp_path / "a.rst").write_text(text)
    assert read(tmp_path / "a.rst")[0][0].metadata == {"path": "a.rst"}


def test_a_file_that_vanished_is_broken(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    source = sources.open(tmp_path / "a.txt")
    (tmp_path / "a.txt").unlink()
    (item,) = source
    assert isinstance(item, sources.Broken)
    assert item.reason == "cannot be read: no such file or directory"
