"""What of a text is shown where there is no room for all of it."""

from __future__ import annotations

import pytest
from rich.console import Console
from rich.text import Text

from semsearch.cli import passages

WORDS = " ".join(f"word{number:03}" for number in range(300))


def bold(lines: list[Text]) -> str:
    return " ".join(line.plain[span.start : span.end].strip() for line in lines for span in line.spans)


def test_code_in_a_text_keeps_its_lines() -> None:
    assert passages.reflow("An\nexample:\n\n>>> 1 + 1\n2\n\tindented\r\nYear: 2020\nLang: en") == (
        "An example:\n>>> 1 + 1\n2\n    indented\nYear: 2020\nLang: en"
    )


def test_a_mark_that_is_among_the_first_lines_moves_nothing() -> None:
    marked = passages.around(Console(), WORDS, 40, 5, (0, 15))
    assert [line.plain for line in marked] == [line.plain for line in passages.beginning(Console(), WORDS, 40, 5)]
    assert bold(marked) == "word000 word001"


@pytest.mark.parametrize("first", [30, 60, 150, 298])
def test_a_mark_further_on_is_shown_with_what_is_around_it(first: int) -> None:
    start = WORDS.index(f"word{first:03}")
    lines = passages.around(Console(), WORDS, 40, 5, (start, start + 15))
    assert bold(lines) == f"word{first:03} word{first + 1:03}"
    assert lines[0].plain.startswith("…")
    assert lines[-1].plain.endswith("…") == (first < 290)
    assert len(lines) <= 5
    assert max(line.cell_len for line in lines) <= 40


@pytest.mark.parametrize("sought", ["An odd sentence.", "Indented code", "- in a list", "Year: 2020", "Last one."])
def test_a_mark_is_found_again_in_the_text_that_was_reflowed(sought: str) -> None:
    text = "First line,\n\n  and more.  \n\tIndented code\n\nAn odd\nsentence.\n- in a list\nYear: 2020\n\nLast one."
    place = text.replace("odd\nsentence", "odd sentence").index(sought)
    lines = passages.around(Console(), text, 60, 20, (place, place + len(sought)))
    assert bold(lines) == sought


def test_the_end_of_a_text_begins_with_an_ellipsis() -> None:
    lines = passages.end(Console(), WORDS, 40, 2)
    assert lines[0].plain.startswith("…")
    assert lines[-1].plain.endswith("word299")
    assert len(lines) == 2
    assert [line.plain for line in passages.end(Console(), "short", 40, 2)] == ["short"]
