"""Filters as expressions of Python and in the text form of the command line: both lead to the same tree as JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semsearch import F, FilterError, filters
from semsearch.cli import options
from semsearch.filters import from_text, syntax, values
from tests.filtering.drawing import Draw
from tests.filtering.spelling import TextForm, expression, simple

sources = st.integers(0, 2**32).map(random.Random)


@pytest.fixture(autouse=True, scope="module")
def wide_limits() -> Iterator[None]:
    """Some spellings need more conditions than are allowed, and go deeper, for `$and`s of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(syntax, "MAX_CONDITIONS", 1000)
        patch.setattr(values, "MAX_DEPTH", 20)
        yield


def tree(written: Mapping[str, Any]) -> filters.Filter:
    return simple(filters.parse(written))


@settings(max_examples=500, deadline=None)
@given(sources)
def test_text_form_leads_to_the_tree_of_the_json(source: random.Random) -> None:
    written = Draw(source).filter(depth=2)
    spelt = TextForm(source).filter(written)
    assert tree(from_text(spelt)) == tree(written), spelt


@settings(max_examples=500, deadline=None)
@given(sources)
def test_expression_leads_to_the_tree_of_the_json(source: random.Random) -> None:
    written = Draw(source).filter(depth=2)
    made = expression(written)
    assert tree(made) == tree(written)
    assert tree(json.loads(json.dumps(dict(made)))) == tree(made)


# ---- expressions


@pytest.mark.parametrize(
    ("made", "written"),
    [
        (F("year") >= 2020, {"year": {"$gte": 2020}}),
        (F("year") == None, {"year": {"$eq": None}}),  # noqa: E711
        (F("author.name") != "Ann", {"author.name": {"$ne": "Ann"}}),
        (2020 <= F("year"), {"year": {"$gte": 2020}}),  # noqa: SIM300
        (F("day") > date(2024, 5, 1), {"day": {"$gt": "2024-05-01"}}),
        (F("at").between(datetime(2024, 5, 1), 5), {"at": {"$between": ["2024-05-01T00:00:00", 5]}}),
        (F("lang").in_({"en": 1}), {"lang": {"$in": ["en"]}}),
        (F("tags").size == 2, {"tags": {"$size": {"$eq": 2}}}),
        (F.id.starts_with("a"), {"$id": {"$starts_with": "a"}}),
        (F.text.match("a b"), {"$text": {"$match": "a b"}}),
        (~F("a").exists(), {"$not": {"a": {"$exists": True}}}),
        ((F("a") == 1) & {"b": 2}, {"$and": [{"a": {"$eq": 1}}, {"b": 2}]}),
        ({"b": 2} | (F("a") == 1), {"$or": [{"b": 2}, {"a": {"$eq": 1}}]}),
        ({"b": 2} & (F("a") == 1), {"$and": [{"b": 2}, {"a": {"$eq": 1}}]}),
        (F.at_least(2, F("a") == 1, {"b": 2}), {"$at_least": {"count": 2, "of": [{"a": {"$eq": 1}}, {"b": 2}]}}),
    ],
)  # fmt: skip
def test_expression_is_its_json_form(made: filters.Expression, written: dict[str, Any]) -> None:
    assert dict(made) == written
    assert repr(made) == f"Expression({written!r})"


def test_long_chains_do_not_get_deeper() -> None:
    chain, other = F("a") == 0, F("a") == 0
    for number in range(1, 40):
        chain = chain | (F("a") == number)
        other = (F("a") == number) & other
    assert len(chain["$or"]) == len(other["$and"]) == 40
    filters.parse(chain)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: (F("a") == 1) and (F("b") == 2),
        lambda: not F("a").exists(),
        lambda: 1 < F("a") < 5,
        lambda: bool(F.text.match("a")),
    ],
)
def test_and_or_not_say_what_to_write_instead(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"join filters by & \| ~ instead of and, or, not"):
        wrong()


def test_forgotten_parentheses_are_told_apart() -> None:
    with pytest.raises(TypeError, match=r"a filter is joined to a filter.*got 5"):
        (F("a") == 1) & 5  # type: ignore[operator]
    with pytest.raises(FilterError, match=r"\$\.a\.\$eq: it takes a text, number, .* type F"):
        filters.parse(F("a") == F("b"))


# ---- the text form

COMPARISON = "a comparison is missing, such as = >= in between exists contains like"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("year >= 2020 and lang in (en, de)", {"$and": [{"year": {"$gte": 2020}}, {"lang": {"$in": ["en", "de"]}}]}),
        ("a=1 or b=2 and c=3", {"$or": [{"a": {"$eq": 1}}, {"$and": [{"b": {"$eq": 2}}, {"c": {"$eq": 3}}]}]}),
        ("not a = 1 and b = 2", {"$and": [{"$not": {"a": {"$eq": 1}}}, {"b": {"$eq": 2}}]}),
        ("NOT (a = 1 AND b = 2)", {"$not": {"$and": [{"a": {"$eq": 1}}, {"b": {"$eq": 2}}]}}),
        ("day between 2024-05-01 and 2024-05-31", {"day": {"$between": ["2024-05-01", "2024-05-31"]}}),
        ("zip = 01067 and n = -1.5e3", {"$and": [{"zip": {"$eq": "01067"}}, {"n": {"$eq": -1500.0}}]}),
        ("a = '5' and b = 'it''s'", {"$and": [{"a": {"$eq": "5"}}, {"b": {"$eq": "it's"}}]}),
        ('"text" = x and "id" = 5', {"$and": [{"text": {"$eq": "x"}}, {"id": {"$eq": 5}}]}),
        ("text = x or size = 5 or at = 6", {"$or": [{"text": {"$eq": "x"}}, {"size": {"$eq": 5}}, {"at": {"$eq": 6}}]}),
        ("id = 5", {"$id": {"$eq": "5"}}),
        ("id != a/1 and id not in (b, 2)", {"$and": [{"$id": {"$ne": "a/1"}}, {"$id": {"$nin": ["b", "2"]}}]}),
        ("id starts with a", {"$id": {"$starts_with": "a"}}),
        ("id not starts with a", {"$id": {"$not": {"$starts_with": "a"}}}),
        ("a = true or a = 'true'", {"$or": [{"a": {"$eq": True}}, {"a": {"$eq": "true"}}]}),
        ("a = null or a = FALSE", {"$or": [{"a": {"$eq": None}}, {"a": {"$eq": False}}]}),
        ("tags contains x", {"tags": {"$contains": "x"}}),
        ("tags contains any", {"tags": {"$contains": "any"}}),
        ("tags not contains any (x)", {"tags": {"$not": {"$contains_any": ["x"]}}}),
        ("tags contains none ()", {"tags": {"$contains_none": []}}),
        ("a not between 1 and 2", {"a": {"$not": {"$between": [1, 2]}}}),
        ("a not like '%x%'", {"a": {"$not": {"$like": "%x%"}}}),
        ("a matches '^\\d+$'", {"a": {"$regex": "^\\d+$"}}),
        ("a is not null", {"a": {"$null": False}}),
        ("size(tags) between 1 and 3", {"tags": {"$size": {"$between": [1, 3]}}}),
        ("at least 1 of (b exists, text match 'x y')",
         {"$at_least": {"count": 1, "of": [{"b": {"$exists": True}}, {"$text": {"$match": "x y"}}]}}),
    ],
)  # fmt: skip
def test_text_form_is_read(text: str, written: dict[str, Any]) -> None:
    assert from_text(text) == written
    filters.parse(written)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "character 1: a key of the metadata is missing: -->"),
        ("year", "character 5: COMPARISON: year-->"),
        ("year >=", "character 8: a value is missing: year >=-->"),
        ("year >= and b = 1", "character 9: a value is missing: year >= --> and b = 1"),
        ("year = 1 lang = 2", "character 10: 'and' or 'or' is missing: year = 1 --> lang = 2"),
        ("(year = 1", "character 10: ')' is missing: (year = 1-->"),
        ("year = 'x", "character 8: the quote is not closed: year = --> 'x"),
        ("year ! 1", "character 6: '!' means nothing here: year --> ! 1"),
        ("year in 1", "character 9: '(' is missing: year in --> 1"),
        ("year in (1, )", "character 13: a value is missing: year in (1, --> )"),
        ("year between 1 or 2", "character 16: 'and' is missing: year between 1 --> or 2"),
        ("year is 5", "character 9: 'null' or 'empty' is missing: year is --> 5"),
        ("a starts x", "character 10: 'with' is missing: a starts --> x"),
        ("a not = 1", "character 7: COMPARISON: a not --> = 1"),
        ("id > 5", "character 4: ids are compared by = != in, starts with: id --> > 5"),
        ("text match (", "character 12: a text is missing: text match --> ("),
        ("size(a) in (1)", "character 9: a comparison such as >= is missing: size(a) --> in (1)"),
        ("a = " + "1" * 5000, "character 5: the number is too long: a = --> 111111111111111111111111111111..."),
        ("(" * 10_000, "character 9: filters go at most 8 deep: ((((((((--> ((((((((((((((((((((((((((((((..."),
        ("not " * 99, f"character 33: filters go at most 8 deep: ...t {'not ' * 7}--> {'not ' * 7}no..."),
        ("a = 1\nand\n\tb ~ 2", "character 14: COMPARISON: a = 1 and b --> ~ 2"),
    ],
    ids=lambda value: value[:20],
)  # fmt: skip
def test_wrong_text_is_refused_in_one_line_that_shows_the_place(text: str, message: str) -> None:
    with pytest.raises(FilterError) as error:
        from_text(text)
    assert str(error.value) == f"filter at {message.replace('COMPARISON', COMPARISON)}"


WORDS = ["a", "1", "'x'", "(", ")", ",", "=", ">=", "and", "or", "not", "in", "is", "null", "between", "text", "match"]
WORDS += ["id", "size", "at", "least", "of", "starts", "with", "contains", "any"]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=3)))
def test_nothing_but_filter_error_escapes(words: list[str]) -> None:
    try:
        filters.parse(from_text(" ".join(words)))
    except FilterError as error:
        assert "\n" not in str(error)


# ---- the option of the command line


def option(value: str | None) -> Any:
    return options.filter_form(click.Context(click.Command("x")), click.Option(["--filter"]), value)


def test_option_takes_json_and_the_text_form() -> None:
    assert option(None) is None
    assert option(' {"year": {"$gte": 2020}}') == {"year": {"$gte": 2020}}
    assert option("year >= 2020") == {"year": {"$gte": 2020}}


@pytest.mark.parametrize("wrong", ['{"year"', '{"a":' * 100_000, "[]", "year >", ""])
def test_option_refuses_what_is_neither(wrong: str) -> None:
    with pytest.raises((click.BadParameter, FilterError)):
        option(wrong)
