"""Filters without a database: what is read, what is refused and where, and that no user's string becomes SQL text."""

from __future__ import annotations

import enum
import json
import string
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any, get_args

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from semsearch import fields as declared
from semsearch import filters
from semsearch.errors import FilterError
from semsearch.filters import And, Comparison, Exists, In, Not, Or

METADATA = sa.column("metadata", JSONB())
FIELDS = {type_: sa.column(f"field_{type_}", declared.sql_type(type_)) for type_ in get_args(declared.FieldType)}
DIALECT = postgresql.psycopg.dialect()  # type: ignore[attr-defined]


def compiled(filter: dict[str, Any]) -> Any:
    return filters.compile(filters.parse(filter), METADATA, FIELDS).compile(dialect=DIALECT)


# ---- reading


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
        (-(2**63) + 1, -(2**63) + 1),
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
        ({"$where": "1"}, "$.$where", "unknown operator '$where'; use one of $and, $or, $not."),
        ({"year": {"$xyz": 5}}, "$.year.$xyz", "use one of $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $not."),
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
        ({"a": -(2**63)}, "$.a", "an integer has at most 64 bits"),
        ({"a": 10**5000}, "$.a", "an integer has at most 64 bits"),
        ({"a": float("nan")}, "$.a", "a number is finite, and an integer has at most 64 bits; got the number nan."),
        ({"a": {"$lt": float("inf")}}, "$.a.$lt", "got the number inf."),
        ({"a": "ä" * 513}, "$.a", "a text has at most 1,024 bytes"),
        ({"a": "x\0"}, "$.a", "a text holds no NUL and no lone surrogate"),
        ({"a": {"$in": ["\ud800"]}}, "$.a.$in[0]", "a text holds no NUL and no lone surrogate"),
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


@pytest.mark.parametrize("around", ["$not", "$and", "a"])
def test_filter_nested_100_000_deep_is_refused_like_any_other(around: str) -> None:
    deep: Any = {"b": 1}
    for _ in range(100_000):
        deep = {around: [deep] if around == "$and" else {"$not": deep} if around == "a" else deep}
    with pytest.raises(FilterError):
        filters.parse(deep)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "a.b", "$and", "$or", "$not", "$eq", "$in", "$gt", "$nin", "$exists", "$x"])
            | st.text(),
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
        filters.compile(filters.parse(written), METADATA, FIELDS)
    except FilterError as error:
        assert error.path.startswith("$")


# ---- compiling


VALUE = "(metadata -> %(param_1)s::VARCHAR)"


@pytest.mark.parametrize(
    ("written", "sql", "bound"),
    [
        ({}, "true", []),
        ({"a": "x"}, "metadata @> %(param_1)s::JSONB", [{"a": "x"}]),
        ({"a.b": 5}, "metadata @> %(param_1)s::JSONB", [{"a": {"b": 5}}]),
        ({"a": {"$ne": "x"}}, "(metadata @> %(param_1)s::JSONB) IS NOT true", [{"a": "x"}]),
        ({"a": {"$in": ["x", 5]}}, "metadata @> ANY (%(param_1)s::JSONB[])", [[{"a": "x"}, {"a": 5}]]),
        ({"a": {"$nin": ["x"]}}, "(metadata @> ANY (%(param_1)s::JSONB[])) IS NOT true", [[{"a": "x"}]]),
        ({"a": {"$in": []}}, "false", []),
        ({"a": {"$exists": True}}, f"{VALUE} IS NOT NULL", ["a"]),
        ({"a": {"$exists": False}}, f"({VALUE} IS NOT NULL) IS NOT true", ["a"]),
        (
            {"a": {"$gte": 5}},
            f"jsonb_typeof(metadata -> %(param_1)s::VARCHAR) = 'number' AND {VALUE} >= %(param_2)s::JSONB",
            ["a", 5],
        ),
        (
            {"a": {"$lt": "x"}},
            "jsonb_typeof(metadata -> %(param_1)s::VARCHAR) = 'string' "
            f"AND (({VALUE} #>> '{{}}') COLLATE \"C\") < %(param_2)s::VARCHAR",
            ["a", "x"],
        ),
        ({"text": {"$gt": "x"}}, "field_text > %(param_1)s::VARCHAR", ["x"]),
        ({"text": None}, "metadata @> %(param_1)s::JSONB", [{"text": None}]),
        ({"integer": 2020.0}, "field_integer = %(param_1)s::BIGINT", [2020]),
        ({"integer": {"$ne": 5}}, "(field_integer = %(param_1)s::BIGINT) IS NOT true", [5]),
        ({"integer": {"$in": [1, 2]}}, "field_integer = ANY (%(param_1)s::BIGINT[])", [[1, 2]]),
        (
            {"integer": {"$in": [1, None]}},
            "(metadata @> ANY (%(param_1)s::JSONB[])) OR field_integer = ANY (%(param_2)s::BIGINT[])",
            [[{"integer": None}], [1]],
        ),
        ({"float": {"$lte": 5}}, "field_float <= %(param_1)s", [5.0]),
        ({"boolean": True}, "field_boolean = %(param_1)s", [True]),
        ({"date": date(2024, 5, 1)}, "field_date = %(param_1)s::DATE", [date(2024, 5, 1)]),
        (
            {"timestamp": {"$lt": "2024-05-01T12:00+02:00"}},
            "field_timestamp < %(param_1)s::TIMESTAMP WITH TIME ZONE",
            [datetime(2024, 5, 1, 10, tzinfo=UTC)],
        ),
        (
            {"$not": {"$or": [{"text": "x"}, {"integer": 5, "boolean": False}]}},
            "(field_text = %(param_1)s::VARCHAR OR field_integer = %(param_2)s::BIGINT AND field_boolean = %(param_3)s)"
            " IS NOT true",
            ["x", 5, False],
        ),
    ],
)
def test_filter_compiles_to_sql_with_bound_parameters(written: Any, sql: str, bound: list[Any]) -> None:
    result = compiled(written)
    assert str(result) == sql
    assert [result.params[name] for name in sorted(result.params)] == bound


@pytest.mark.parametrize(
    ("written", "path", "problem"),
    [
        ({"integer": "2020"}, "$.integer", "field 'integer' is an integer; got the text '2020'."),
        ({"integer": {"$gt": 2019.5}}, "$.integer.$gt", "field 'integer' is an integer; got the number 2019.5."),
        ({"$or": [{"float": {"$in": [1, "a"]}}]}, "$.$or[0].float.$in[1]", "is a number; got the text 'a'."),
        ({"text": True}, "$.text", "field 'text' is a text of at most 1,024 bytes; got true."),
        ({"boolean": 1}, "$.boolean", "field 'boolean' is true or false; got the number 1."),
        ({"date": {"$ne": "1.5.2024"}}, "$.date.$ne", "field 'date' is a date (YYYY-MM-DD); got the text '1.5.2024'."),
        ({"date": datetime(2024, 5, 1)}, "$.date", "got the text '2024-05-01T00:00:00'."),
        ({"timestamp": {"$nin": ["now"]}}, "$.timestamp.$nin[0]", "is a timestamp (ISO 8601, such as"),
    ],
)
def test_value_that_does_not_fit_its_field_is_refused_with_its_path(written: Any, path: str, problem: str) -> None:
    with pytest.raises(FilterError) as error:
        compiled(written)
    assert error.value.path == path
    assert problem in str(error.value)


# ---- no injection
#
# A filter is drawn with numbered holes instead of the user's strings and numbers, then filled twice.

HOLES = st.integers(0, 10**6)


class Hole(int):
    """Stands for a text, as key or as value; equal holes get equal texts."""


scalars = HOLES.map(Hole) | st.sampled_from(["5", "2.5"]) | st.booleans() | st.none()
ordered = HOLES.map(Hole) | st.sampled_from(["5", "2.5"])
conditions = st.one_of(
    scalars.map(lambda value: {"$eq": value}),
    scalars.map(lambda value: {"$ne": value}),
    st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), ordered).map(lambda pair: {pair[0]: pair[1]}),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(scalars, max_size=3)).map(lambda pair: {pair[0]: pair[1]}),
    st.booleans().map(lambda value: {"$exists": value}),
)
keys = st.lists(HOLES.map(Hole), min_size=1, max_size=3).map(tuple)
leaves = st.dictionaries(keys, conditions, max_size=2) | st.dictionaries(
    st.just(("text",)), HOLES.map(lambda hole: {"$in": [Hole(hole)]}), max_size=1
)
templates = st.recursive(
    leaves,
    lambda inner: st.lists(inner, min_size=1, max_size=3).flatmap(
        lambda filters: st.sampled_from([{"$and": filters}, {"$or": filters}, {"$not": filters[0]}])
    ),
    max_leaves=4,
)


def filled(template: Any, texts: dict[Hole, str], numbers: Iterator[float]) -> Any:
    if isinstance(template, Hole):
        return texts[template]
    if isinstance(template, str):
        return next(numbers) if template[0].isdigit() else template
    if isinstance(template, list):
        return [filled(each, texts, numbers) for each in template]
    if isinstance(template, dict):
        return {
            ".".join(filled(part, texts, numbers) for part in key) if isinstance(key, tuple) else key: filled(
                value, texts, numbers
            )
            for key, value in template.items()
        }
    return template


def holes(template: Any) -> Iterator[Hole]:
    if isinstance(template, Hole):
        yield template
    elif isinstance(template, dict):
        yield from (hole for pair in template.items() for each in pair for hole in holes(each))
    elif isinstance(template, list | tuple):
        yield from (hole for each in template for hole in holes(each))


HOSTILE = [
    "'", '"', "%s", "%(param_1)s", ":x", "--", ";", "\\", "_$1", "{}", "::jsonb", ")", "/*", "\n", "ä", "ʼ", "\x01"
]  # fmt: skip
fillings = st.randoms(use_true_random=False)


@settings(max_examples=500, deadline=None)
@given(st.lists(templates, min_size=3, max_size=6), fillings)
def test_other_strings_and_numbers_leave_the_sql_the_same(drawn: list[Any], random: Any) -> None:
    for template in drawn:
        found = sorted(set(holes(template)))

        def fill(names: list[str]) -> Any:
            numbers = iter(lambda: random.choice([random.random() * 1e9, random.randrange(-(10**9), 10**9)]), None)
            return filled(template, dict(zip(found, names, strict=True)), numbers)

        plain = [f"k{hole}" for hole in found]
        # the number keeps the texts of different holes different, as two equal keys would be one condition less
        other = [f"{random.choice(HOSTILE)}{hole}{random.choice(HOSTILE)}" for hole in found]
        first, second = compiled(fill(plain)), compiled(fill(other))
        assert str(first) == str(second)
        assert first.params.keys() == second.params.keys()
        assert set(str(second)) <= set(string.ascii_letters + string.digits + "_ @>-:%()[]<=#'{},\"")


def test_canary_strings_are_in_the_parameters_only() -> None:
    written = {
        "canary_key": "canary_value",
        "canary_a.canary_b": {"$in": ["canary_1", None], "$exists": True, "$gt": "canary_2", "$ne": "canary_3"},
        "$not": {"text": {"$in": ["canary_4", "canary_5"]}},
    }
    result = compiled(written)
    assert "canary" not in str(result)
    bound = json.dumps(list(result.params.values()))
    assert all(f"canary_{name}" in bound for name in ("key", "value", "a", "b", "1", "2", "3", "4", "5"))


def test_sql_of_single_conditions_has_finitely_many_shapes() -> None:
    """Five kinds of value and as many keys as you like: the shapes are counted, not sampled."""
    values = ["x", 5, 2.5, True, None]
    operators: list[dict[str, Any]] = [{op: value} for op in ("$eq", "$ne") for value in values]
    operators += [{op: value} for op in ("$gt", "$gte", "$lt", "$lte") for value in values[:3]]
    operators += [{op: values[:count]} for op in ("$in", "$nin") for count in range(5)]
    operators += [{"$exists": value} for value in (True, False)]
    shapes = {str(compiled({key: each})) for key in ("a", "another key", "'; --") for each in operators}
    # @>, and not: 2; four orders of numbers and of texts: 8; @> ANY, and not: 2; false, and not: 2; exists, and not: 2
    assert len(shapes) == 16
