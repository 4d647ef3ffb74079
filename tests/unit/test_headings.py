"""Headings: which lines are headings, and what a place in the text lies under."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semsearch.headings import outline
from semsearch.records import Format


def found(text: str, format: Format) -> dict[str, str]:
    """The line at each heading's offset -> the path there."""
    headings = outline(text, format)
    return {text[start:].splitlines()[0]: " > ".join(headings.path(start)) for start in headings.starts}


def test_markdown_headings_nest_by_level() -> None:
    text = "# A\n\ntext\n\n### C\n\n## B ##\n\n# D\n"
    assert found(text, "markdown") == {"# A": "A", "### C": "A > C", "## B ##": "A > B", "# D": "D"}


def test_underlined_markdown_headings_are_seen() -> None:
    text = "Top\n===\n\nBelow\r\n---\r\nText\n"
    assert found(text, "markdown") == {"Top": "Top", "Below": "Top > Below"}


@pytest.mark.parametrize(
    "text",
    [
        "```\n# not a heading\n```\n",
        "~~~ python\n# not\n```\n# not\n~~~\n",
        "````\n```\n# not\n````",
        "```\n# never closed",
        "    # code",
        "#hashtag",
        "####### seven",
        "#",
        "# " + "x" * 201,
        "a paragraph\nof two lines\n---\n",
        "- item\n---\n",
        "> quote\n===\n",
        "| a |\n---\n",
        "text\n\n---\n",
        "---\ntitle: front matter\n---\ntext",
        "===",
    ],
)
def test_markdown_that_only_looks_like_headings(text: str) -> None:
    assert found(text, "markdown") == {}


def test_markdown_goes_on_after_a_fence() -> None:
    assert found("```py\n# no\n```\n# yes\nTwo\n---\n", "markdown") == {"# yes": "yes", "Two": "yes > Two"}
    assert found("```a`b\n# yes\n", "markdown") == {"# yes": "yes"}


def test_restructuredtext_levels_follow_the_order_of_their_marks() -> None:
    text = "=====\n Top\n=====\n\nOne\n===\n\nDeep\n----\n\nTwo\n===\n"
    assert found(text, "rst") == {"=====": "Top", "One": "Top > One", "Deep": "Top > One > Deep", "Two": "Top > Two"}


@pytest.mark.parametrize(
    "text",
    [
        "text\n\n----\n\ntext",
        "    inset\n====\n",
        "a paragraph\nof two lines\n----\n",
        "=====  =====\nA      B\n=====  =====\n",
        "Example\n::\n",
        "long title\n--\n",
        "====\n----\n",
        "\n====\n",
    ],
)
def test_restructuredtext_that_only_looks_like_headings(text: str) -> None:
    assert found(text, "rst") == {}


def test_a_place_lies_under_the_headings_above_it() -> None:
    text = "before\n\n# A\ntext\n## B\ntext"
    headings = outline(text, "markdown")
    assert headings.path(0) == ()
    assert headings.path(text.index("# A")) == ("A",)
    assert headings.path(text.index("text")) == ("A",)
    assert headings.path(len(text)) == ("A", "B")


def test_plain_text_has_no_headings() -> None:
    assert outline("# A\nB\n=\n", "text").starts == ()


@given(st.text("#=-`~ \t\r\na1.:é", max_size=200), st.sampled_from(["markdown", "rst"]))
def test_headings_are_lines_of_the_text_in_order(text: str, format: Format) -> None:
    headings = outline(text, format)
    assert list(headings.starts) == sorted(set(headings.starts))
    for start, path in zip(headings.starts, headings.paths, strict=True):
        assert start == 0 or text[start - 1] == "\n"
        assert path[-1] in text[start:]


@pytest.mark.parametrize(
    "text", ["# " + " #" * 100_000 + "x", "=\n" * 100_000, "-" * 300_000 + "x", "a\n=\n\n" * 50_000, "`" * 300_000]
)
@pytest.mark.parametrize("format", ["markdown", "rst"])
def test_many_marks_takes_no_time(text: str, format: Format) -> None:
    started = time.process_time()
    outline(text, format)
    assert time.process_time() - started < 10  # 0.5 s was measured; a square would be minutes
