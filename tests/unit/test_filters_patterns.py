"""Patterns of `$like` and `$regex`: what is refused before anything is sent, and that Python reads the rest alike."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semsearch.filters.patterns import problem_of_like, problem_of_regex
from tests.filtering.drawing import Draw
from tests.filtering.evaluator import in_python


@pytest.mark.parametrize(
    "pattern",
    [
        "a",
        "ä b,c;'\"<>=!/:@&~`#_-",
        "^a$",
        "a.c",
        "[abc][^a-z][a-]",
        "[-a][\\]\\[\\^\\-\\\\]",
        "[\\d\\s\\w_]",
        "(a|bc)(?:d|(e))",
        "a*b+c?d{3}e{2,}f{0,100}",
        "a*?b+?c??d{1,2}?",
        "\\d\\D\\s\\S\\w\\W\\n\\t",
        "\\.\\*\\+\\?\\(\\)\\[\\]\\{\\}\\|\\^\\$\\\\\\/",
        "((a*)*)*b",
        "(ab){65}",
        "x{129}",
        "a|^b$|c",
        "\u2028\n\t",
    ],
)
def test_usual_regular_expression_is_allowed(pattern: str) -> None:
    assert problem_of_regex(pattern) is None
    re.compile(in_python(pattern))


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("", "an alternative is empty."),
        ("a|", "an alternative is empty."),
        ("()", "an alternative is empty."),
        ("(|a)", "an alternative is empty."),
        ("(a", "a parenthesis is not closed."),
        ("a)", "a parenthesis is closed that was not opened."),
        ("*a", "there is nothing that '*' could repeat."),
        ("***=a", "there is nothing that '*' could repeat."),
        ("a**", "there is nothing that '*' could repeat."),
        ("a*+", "there is nothing that '+' could repeat."),
        ("a{2}{3}", "there is nothing that '{3}' could repeat."),
        ("^*", "there is nothing that '*' could repeat."),
        ("a|+", "there is nothing that '+' could repeat."),
        ("(?=a)", "there is no lookaround"),
        ("(?<!a)b", "there is no lookaround"),
        ("(?i)a", "no name and no flag."),
        ("(?P<x>a)", "no name and no flag."),
        ("(a)\\1", "\\1 has no meaning here"),
        ("\\ba", "\\b has no meaning here"),  # a backspace in PostgreSQL
        ("\\y", "\\y has no meaning here"),
        ("\\A", "\\A has no meaning here"),
        ("\\x41", "\\x has no meaning here"),
        ("a\\", "\\ has no meaning here"),
        ("\\ä", "\\ä has no meaning here"),
        ("[]", "brackets hold characters"),
        ("[^]", "brackets hold characters"),
        ("[]a]", "brackets hold characters"),
        ("[a", "brackets hold characters"),
        ("[[:alpha:]]", "brackets hold characters"),
        ("[a[b]", "brackets hold characters"),
        ("[a-\\d]", "brackets hold characters"),
        ("[--a]", "brackets hold characters"),
        ("[\\D]", "brackets hold characters"),
        ("[z-a]", "the range z-a is empty."),
        ("[\\\\b-a]", "the range b-a is empty."),
        ("a{", "'{' is written with a backslash"),
        ("a{,5}", "'{' is written with a backslash"),
        ("a}", "'}' is written with a backslash"),
        ("a]", "']' is written with a backslash"),
        ("a{256}", "the bounds ascend, up to 255."),
        ("a{3,2}", "the bounds ascend, up to 255."),
        ("a{1000}", "'{' is written with a backslash"),
        ("(a{9}){16}", "written out they add more than 128 characters."),
        ("((a{255}){255}){255}", "written out they add more than 128 characters."),
        ("(ab){66}", "written out they add more than 128 characters."),
        ("a{129,}b", "written out they add more than 128 characters."),
        ("a" * 257, "a regular expression has at most 256 bytes."),
        ("ä" * 129, "a regular expression has at most 256 bytes."),
    ],
)
def test_what_postgresql_refuses_reads_otherwise_or_cannot_bear_is_refused(pattern: str, problem: str) -> None:
    assert problem in (problem_of_regex(pattern) or "")


@given(st.text("ab1-^$.*+?{},()[]|\\dwÄ:=!", max_size=12))
def test_every_pattern_is_allowed_or_refused_with_a_sentence(pattern: str) -> None:
    problem = problem_of_regex(pattern)
    assert problem is None or problem.endswith(".")
    if problem is None:
        re.compile(in_python(pattern))  # raises where Python reads no regular expression


def test_drawn_regular_expressions_are_allowed() -> None:
    draw = Draw(random.Random(1))
    assert {problem_of_regex(draw.regex()) for _ in range(1000)} <= {
        None,
        "a regular expression has at most 256 bytes.",
        "its repetitions are too long: written out they add more than 128 characters.",
    }


@pytest.mark.parametrize(("pattern", "wrong"), [("a\\", True), ("a\\\\\\", True), ("a\\\\", False), ("\\%", False)])
def test_like_pattern_may_not_end_with_a_lone_backslash(pattern: str, wrong: bool) -> None:
    assert (problem_of_like(pattern) is not None) is wrong
