"""Filters without a database: what is read into the tree, what is refused and where."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semsearch import filters
from semsearch.errors import FilterError
from semsearch.filters import And, AtLeast, Comparison, Contains, Empty, Exists, In, Matches, Not, Or, Size, Text
from semsearch.filters.operators import OF_KEYS, OF_TEXT
from tests.filtering.table import COLUMNS


def eq(key: str, value: Any) -> Comparison:
    return Comparison(key, "$eq", value, "$")


@pytest.mark.parametrize(
    ("written", "tree"),
    [
        ({}, And(())),
        ({"lang": "en"}, eq("lang", "en")),
        ({"lang": {"$eq": None}}, eq("lang", None)),
        ({"author.name": True}, eq("author.name", True)),
        ({"lang": {"$ne": "en"}}, Not(eq("lang", "en"))),
        ({"year": {"$gt": 1}}, Comparison("year", "$gt", 1, "")),
        ({"year": {"$gte": 1.5}}, Comparison("year", "$gte", 1.5, "")),
        ({"year": {"$lt": "a"}}, Comparison("year", "$lt", "a", "")),
        ({"year": {"$lte": -1}}, Comparison("year", "$lte", -1, "")),
        ({"lang": {"$in": ["en", 5, None, False]}}, In("lang", ("en", 5, None, False), "")),
        ({"lang": {"$nin": ()}}, Not(In("lang", (), ""))),
        ({"lang": {"$exists": True}}, Exists("lang", "")),
        ({"lang": {"$exists": False}}, Not(Exists("lang", ""))),
        ({"year": {"$gt": 1, "$lt": 3}}, And((Comparison("year", "$gt", 1, ""), Comparison("year", "$lt", 3, "")))),
        ({"year": {"$not": {"$gt": 1}}}, Not(Comparison("year", "$gt", 1, ""))),
        ({"a": 1, "b": 2}, And((eq("a", 1), eq("b", 2)))),
        ({"$and": [{"a": 1}]}, And((eq("a", 1),))),
        ({"$or": [{"a": 1}, {"b": 2, "c": 3}]}, Or((eq("a", 1), And((eq("b", 2), eq("c", 3)))))),
        ({"$not": {"a": 1}}, Not(eq("a", 1))),
        ({"$not": {}}, Not(And(()))),
        (
            {"year": {"$between": [1, 3]}},
            And((Comparison("year", "$gte", 1, ""), Comparison("year", "$lte", 3, ""))),
        ),
        ({"lang": {"$null": True}}, eq("lang", None)),
        ({"lang": {"$null": False}}, Not(eq("lang", None))),
        ({"lang": {"$empty": True}}, Empty("lang", "")),
        ({"lang": {"$empty": False}}, Not(Empty("lang", ""))),
        ({"tags": {"$contains": None}}, Contains("tags", "every", (None,), "")),
        ({"tags": {"$contains_any": ["a", 1]}}, Contains("tags", "any", ("a", 1), "")),
        ({"tags": {"$overlaps": ["a", 1]}}, Contains("tags", "any", ("a", 1), "")),
        ({"tags": {"$contains_all": []}}, Contains("tags", "every", (), "")),
        ({"tags": {"$contains_none": ["a"]}}, Not(Contains("tags", "any", ("a",), ""))),
        ({"tags": {"$size": 2}}, Size("tags", "$eq", 2, "")),
        (
            {"tags": {"$size": {"$gte": 1, "$ne": 3}}},
            And((Size("tags", "$gte", 1, ""), Not(Size("tags", "$eq", 3, "")))),
        ),
        ({"tags": {"$size": {"$between": [1, 2]}}}, And((Size("tags", "$gte", 1, ""), Size("tags", "$lte", 2, "")))),
        ({"lang": {"$like": "a%"}}, Matches("lang", "$like", "a%", "")),
        ({"lang": {"$ilike": "a\\\\"}}, Matches("lang", "$ilike", "a\\\\", "")),
        ({"lang": {"$starts_with": "a"}}, Matches("lang", "$starts_with", "a", "")),
        ({"lang": {"$regex": "^a+"}}, Matches("lang", "$regex", "^a+", "")),
        ({"$at_least": {"count": 2, "of": [{"a": 1}, {"b": 2}, {}]}}, AtLeast(2, (eq("a", 1), eq("b", 2), And(())))),
        ({"$at_least": {"count": 1, "of": [{"a": 1}, {"b": 2}]}}, Or((eq("a", 1), eq("b", 2)))),
        ({"$at_least": {"of": [{"a": 1}, {"b": 2}], "count": 2}}, And((eq("a", 1), eq("b", 2)))),
        ({"$id": "a"}, eq("$id", "a")),
        ({"$id": {"$ne": "a"}}, Not(eq("$id", "a"))),
        ({"$id": {"$not": {"$in": ["a", "b"]}}}, Not(In("$id", ("a", "b"), ""))),
        ({"$id": {"$nin": []}}, Not(In("$id", (), ""))),
        ({"$id": {"$starts_with": "a"}}, Matches("$id", "$starts_with", "a", "")),
        ({"$text": {"$match": "a b"}}, Text("$match", "a b", "")),
        (
            {"$text": {"$phrase": "a", "$not": {"$contains": "b"}}},
            And((Text("$phrase", "a", ""), Not(Text("$contains", "b", "")))),
        ),
        ({"$text": {"$icontains": "a"}}, Text("$icontains", "a", "")),
    ],
)
def test_filter_is_read_into_the_tree(written: dict[str, Any], tree: filters.Filter) -> None:
    assert filters.parse(written) == tree


class Lang(str, enum.Enum):  # noqa: UP042 - its str() is "Lang.EN"
    EN = "en"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (date(2024, 5, 1), "2024-05-01"),
        (datetime(2024, 5, 1, 9, 30), "2024-05-01T09:30:00"),
        (datetime(2024, 5, 1, 9, 30, tzinfo=UTC), "2024-05-01T09:30:00+00:00"),
        (Lang.EN, "en"),
        (enum.IntEnum("Year", {"NOW": 2024}).NOW, 2024),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        ("ä" * 512, "ä" * 512),
    ],
)
def test_value_of_python_is_read_as_plain_json(value: Any, read: Any) -> None:
    tree = filters.parse({"x": value})
    assert isinstance(tree, Comparison)
    assert (tree.value, type(tree.value)) == (read, type(read))


def nested(depth: int) -> dict[str, Any]:
    filter: dict[str, Any] = {"a": 1}
    for _ in range(depth - 1):
        filter = {"$not": filter}
    return filter


@pytest.mark.parametrize(
    ("written", "path", "problem"),
    [
        # the whole
        ([], "$", 'a filter is an object such as {"year": {"$gte": 2020}}; got a list.'),
        (None, "$", "got null"),
        ("year > 5", "$", "got the text 'year > 5'"),
        # keys
        ({1: 2}, "$", "keys are text; got the number 1."),
        ({"a": {None: 2}}, "$.a", "keys are text; got null."),
        ({"ä" * 65: 1}, "$", "a key has at most 128 bytes; got the text 'ääää"),
        ({"a\0b": 1}, "$", "a key holds no NUL and no lone surrogate; got the text 'a\\x00b'."),
        ({"\udc80": 1}, "$", "a key holds no NUL and no lone surrogate; got the text '\\udc80'."),
        ({"": 1}, "$.", "dots join the keys of nested objects"),
        ({"a..b": 1}, "$.a..b", "there is none before, after or between them."),
        ({".a": 1}, "$..a", "dots join"),
        ({"a.": 1}, "$.a.", "dots join"),
        ({".".join("abcdefghi"): 1}, "$.a.b.c.d.e.f.g.h.i", "a key reaches at most 8 objects deep; got 9."),
        # operators
        ({"year": {"$gtee": 5}}, "$.year.$gtee", "unknown operator '$gtee'; did you mean $gte?"),
        ({"$orr": []}, "$.$orr", "unknown operator '$orr'; did you mean $or?"),
        ({"$where": "1"}, "$.$where", "'$where'; use one of $and, $or, $not, $at_least, $id, $text."),
        (
            {"year": {"$xyz": 5}},
            "$.year.$xyz",
            "use one of $eq, $ne, $gt, $gte, $lt, $lte, $between, $in, $nin, $exists, ",
        ),
        ({"$text": {"$size": 5}}, "$.$text.$size", "use one of $match, $phrase, $contains, $icontains, $not."),
        (
            {"$id": {"$gt": "a"}},
            "$.$id.$gt",
            "unknown operator '$gt'; use one of $eq, $ne, $in, $nin, $starts_with, $not.",
        ),
        ({"$text": "reset"}, "$.$text", 'such as {"$match": "some words"}; got the text'),
        ({"$at_least": [{}]}, "$.$at_least", 'it takes {"count": 2, "of": [filter, ...]}; got a list.'),
        (
            {"$at_least": {"count": 2, "of": [{}]}},
            "$.$at_least.count",
            "it takes a number from 1 to 1; got the number 2.",
        ),
        ({"$at_least": {"count": True, "of": [{}]}}, "$.$at_least.count", "got true."),
        ({"$at_least": {"count": 1, "of": [{}, 5]}}, "$.$at_least.of[1]", "a filter is an object"),
        ({"$at_least": {"count": 1, "of": []}}, "$.$at_least.of", "it takes a list of at least one filter"),
        ({"$gte": 5}, "$.$gte", "it stands in a field: {'year': {'$gte': 2020}}."),
        ({"year": {"$or": [{"$gt": 5}]}}, "$.year.$or", "it stands around fields, not in one."),
        ({"year": {"gte": 5}}, "$.year.gte", "operators begin with a dollar sign; did you mean '$gte'?"),
        (
            {"author": {"name": "Ann"}},
            "$.author.name",
            "'name' is not an operator; a nested key is written with a dot: 'author.name'.",
        ),
        ({"year": {}}, "$.year", 'it takes operators, such as {"$gte": 2020}; got an object.'),
        ({"year": {"$not": 5}}, "$.year.$not", 'it takes operators, such as {"$gte": 2020}; got the number 5.'),
        ({"$not": 5}, "$.$not", "a filter is an object"),
        ({"$and": []}, "$.$and", "it takes a list of at least one filter; got a list."),
        ({"$or": {"a": 1}}, "$.$or", "it takes a list of at least one filter; got an object."),
        ({"$or": [{"a": 1}, 5]}, "$.$or[1]", "a filter is an object"),
        ({"$or": [{}, {"lang": []}]}, "$.$or[1].lang", "it takes one value; got a list. Any of several is"),
        # values
        ({"a": {"$eq": {"b": 1}}}, "$.a.$eq", "it takes a text, number, boolean, date or null; got an object."),
        ({"a": b"x"}, "$.a", "got a value of type bytes."),
        ({"a": {"$gt": True}}, "$.a.$gt", "it orders numbers, texts and dates; got true."),
        ({"a": {"$lte": None}}, "$.a.$lte", "it orders numbers, texts and dates; got null."),
        ({"a": {"$exists": 1}}, "$.a.$exists", "it takes true or false; got the number 1."),
        ({"a": {"$in": "en"}}, "$.a.$in", "it takes a list; got the text 'en'."),
        ({"a": {"$nin": [1, [2]]}}, "$.a.$nin[1]", "it takes one value; got a list."),
        ({"a": {"$in": [0] * 257}}, "$.a.$in", "it takes at most 256 values; got 257."),
        ({"a": 2**63}, "$.a", "an integer has at most 64 bits; got a number beyond 64 bits."),
        ({"a": -(2**63) - 1}, "$.a", "an integer has at most 64 bits"),
        ({"a": 10**5000}, "$.a", "an integer has at most 64 bits"),
        ({"a": float("nan")}, "$.a", "a number is finite, and an integer has at most 64 bits; got the number nan."),
        ({"a": {"$lt": float("inf")}}, "$.a.$lt", "got the number inf."),
        ({"a": "ä" * 513}, "$.a", "a text has at most 1,024 bytes"),
        ({"a": "x\0"}, "$.a", "a text holds no NUL and no lone surrogate"),
        ({"a": {"$in": ["\ud800"]}}, "$.a.$in[0]", "a text holds no NUL and no lone surrogate"),
        ({"$id": 5}, "$.$id", "document ids are texts; got the number 5."),
        ({"$id": {"$in": ["a", None]}}, "$.$id.$in", "document ids are texts; got null."),
        ({"a": {"$between": [1]}}, "$.a.$between", "a list of two values, the least and the greatest; got a list."),
        ({"a": {"$between": [1, None]}}, "$.a.$between[1]", "it orders numbers, texts and dates; got null."),
        ({"a": {"$null": "yes"}}, "$.a.$null", "it takes true or false; got the text 'yes'."),
        ({"a": {"$contains": ["x"]}}, "$.a.$contains", "it takes one value; got a list."),
        ({"a": {"$contains_all": "x"}}, "$.a.$contains_all", "it takes a list; got the text 'x'."),
        ({"a": {"$size": -1}}, "$.a.$size", "a whole number from 0 on; got the number -1."),
        ({"a": {"$size": 2**31}}, "$.a.$size", "a whole number from 0 on"),
        ({"a": {"$size": {"$gt": 1.5}}}, "$.a.$size.$gt", "a whole number from 0 on; got the number 1.5."),
        ({"a": {"$size": {"$in": [1]}}}, "$.a.$size", "it takes a number, or an object of $eq, $ne, $gt"),
        ({"a": {"$like": 5}}, "$.a.$like", "it takes a text; got the number 5."),
        ({"a": {"$like": "a\\"}}, "$.a.$like", "a pattern does not end with a lone backslash"),
        ({"a": {"$regex": "(a"}}, "$.a.$regex", "a parenthesis is not closed."),
        # limits
        (nested(9), "$" + ".$not" * 8 + ".a", "filters go at most 8 deep."),
        ({"$or": [{"a": 1}] * 64}, "$.$or[63].a", "a filter has at most 64 conditions."),
        ({"$or": [{}] * 10_000}, "$.$or[63]", "a filter has at most 64 conditions."),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("$") else "",
)
def test_wrong_filter_is_refused_with_its_path(written: Any, path: str, problem: str) -> None:
    with pytest.raises(FilterError) as error:
        filters.parse(written)
    assert error.value.path == path
    assert problem in str(error.value)
    assert len(str(error.value)) < 400
    str(error.value).encode()  # can be printed


def test_filters_at_the_limits_are_read() -> None:
    filters.parse(nested(8))
    filters.parse({".".join("abcdefgh"): 1})
    filters.parse({"ä" * 64: {"$in": ["x"] * 256}})
    filters.parse({"$or": [{"a": 1}] * 63})


@pytest.mark.parametrize(
    "around",
    [
        lambda deep: {"$not": deep},
        lambda deep: {"$and": [deep]},
        lambda deep: {"a": {"$not": deep}},
        lambda deep: {"$at_least": {"count": 1, "of": [deep]}},
        lambda deep: {"$text": {"$not": deep}},
        lambda deep: {"a": {"$size": deep}},
        lambda deep: {"a": {"$in": [deep]}},
    ],
)
def test_filter_nested_100_000_deep_is_refused_like_any_other(around: Any) -> None:
    deep: Any = {"b": 1}
    for _ in range(100_000):
        deep = around(deep)
    with pytest.raises(FilterError):
        filters.parse(deep)


WORDS = ["a", "a.b", "$and", "$or", "$not", "$at_least", "count", "of", "$x", *OF_KEYS, "$id", "$text", *OF_TEXT]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(WORDS) | st.text(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(anything)
def test_nothing_but_filter_error_escapes_the_reader(written: Any) -> None:
    try:
        filters.compile(filters.parse(written), COLUMNS)
    except FilterError as error:
        assert error.path.startswith("$")


def test_expression_inside_a_filter_is_read_like_an_object() -> None:
    """An expression of `F` stands in for an object anywhere, though it has no truth value."""
    for written in ({"tags": {"$size": filters.Expression({})}}, {"a": filters.Expression({})}):
        with pytest.raises(FilterError):
            filters.parse(written)
    assert filters.parse({"$and": [filters.Expression({}), {"a": 1}]}) == And((And(()), eq("a", 1)))
