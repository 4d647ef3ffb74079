"""Sentences are found in prose, lists and scripts with other punctuation, and never lose a letter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semsearch.ranking.sentences import LONGEST, sentences


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Is it?! Yes... Well.", ["Is it?!", "Yes...", "Well."]),
        ("It costs $3.50 at example.com today.", ["It costs $3.50 at example.com today."]),
        ("Dr. Smith met Mrs. Jones. They spoke.", ["Dr. Smith met Mrs. Jones.", "They spoke."]),
        ("See Fig. 3 and No. 5. Then go.", ["See Fig. 3 and No. 5.", "Then go."]),
        ("Does it work? No. It fails.", ["Does it work?", "No.", "It fails."]),
        ("J. R. R. Tolkien, e.g. The Hobbit.", ["J. R. R. Tolkien, e.g. The Hobbit."]),
        ("It is I. You too.", ["It is I.", "You too."]),
        ("Apples, pears, etc. are fruit.", ["Apples, pears, etc. are fruit."]),
        ('"Stop!" he said. "Why?" She left.', ['"Stop!" he said.', '"Why?"', "She left."]),
        ("(It rained.) We stayed.", ["(It rained.)", "We stayed."]),
        ("wrapped\nby hand. Next\nline.", ["wrapped\nby hand.", "Next\nline."]),
        ("A title\n\nA paragraph\r\n\r\nthe next", ["A title", "A paragraph", "the next"]),
        ("Do:\n1. Open it. Wait.\n2. Close it\n- a\n* b", ["Do:", "1. Open it.", "Wait.", "2. Close it", "- a", "* b"]),
        ("# Title\ntext\n## Next\ntext", ["# Title\ntext", "## Next\ntext"]),
        ("これは文です。次の文！「終わり。」はい", ["これは文です。", "次の文！", "「終わり。」", "はい"]),
        ("你好吗？我很好。", ["你好吗？", "我很好。"]),
        ("สวัสดีครับ วันนี้อากาศดี", ["สวัสดีครับ", "วันนี้อากาศดี"]),
        ("यह वाक्य है। दूसरा वाक्य।", ["यह वाक्य है।", "दूसरा वाक्य।"]),
        ("كيف حالك؟ أنا بخير.", ["كيف حالك؟", "أنا بخير."]),
        ("", []),
        (" \n\t ", []),
        ("...", ["..."]),
    ],
)
def test_sentences_end_where_readers_say(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


def test_what_is_too_long_is_cut_after_a_line_a_clause_or_a_word() -> None:
    assert cut("a" * 200 + "\n" + "b" * 200) == ["a" * 200, "b" * 200]
    assert cut("word " * 40 + "end, " + "word " * 40) == [("word " * 40 + "end,"), ("word " * 40).strip()]
    assert all(set(piece.split()) == {"word"} for piece in cut("word " * 500))
    assert [len(piece) for piece in cut("a" * 700)] == [300, 300, 100]


ALPHABET = st.sampled_from(
    [*"aAbI1.!?,;:-*#\"') \n\t", "\r\n", "Dr.", "e.g.", "。", "「", "」", "ก", " ", "…", "١", "日"]
)


@given(st.lists(ALPHABET | st.characters(), max_size=60).map("".join) | st.lists(ALPHABET, min_size=200).map("".join))
def test_sentences_are_in_order_not_empty_short_and_keep_every_letter(text: str) -> None:
    last = 0
    for start, end in sentences(text):
        assert last <= start < end <= start + LONGEST
        assert not text[last:start].strip()
        assert text[start:end] == text[start:end].strip()
        last = end
    assert not text[last:].strip()


@pytest.mark.parametrize("text", ["a" * 300_000, "\n " * 150_000, " " * 300_000, ". " * 150_000, "」" * 300_000])
def test_no_text_takes_more_than_linear_time(text: str) -> None:
    assert "".join("".join(cut(text)).split()) == "".join(text.split())  # minutes if it were quadratic
