"""Filters on a real PostgreSQL: what they match, against an evaluator in Python."""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from semsearch.filters.patterns import problem_of_regex
from tests.filtering.comparing import FILTERS, compare
from tests.filtering.drawing import DECLARED, TEXTS, Draw
from tests.filtering.evaluator import Evaluator, Row, in_python
from tests.filtering.table import ROWS, WITHOUT_COLUMNS, answers, condition, create, load, plan_freely


@pytest.fixture
def connection(empty_database_url: str) -> Iterator[sa.Connection]:
    """A connection to a database with the table of tests.filtering, empty, in a transaction."""
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(empty_database_url))
    with engine.connect() as connection:
        create(connection)
        yield connection
    engine.dispose()


def matching(connection: sa.Connection, filter: dict[str, Any]) -> list[int]:
    return list(connection.scalars(sa.select(ROWS.c.id).where(condition(filter)).order_by(ROWS.c.id)))


def load_metadata(connection: sa.Connection, stored: list[dict[str, Any]]) -> None:
    load(connection, [Row(metadata) for metadata in stored])


@pytest.mark.parametrize("indexes", [True, False])
def test_random_filters_match_what_the_evaluator_says(connection: sa.Connection, indexes: bool) -> None:
    plan_freely(connection, indexes)
    telling = sum(compare(connection, seed) for seed in range(40))
    assert telling > 40 * FILTERS / 2  # most filters tell rows apart


def test_declared_fields_without_a_column_of_their_own_match_alike(connection: sa.Connection) -> None:
    assert sum(compare(connection, seed, WITHOUT_COLUMNS) for seed in range(100, 115)) > 15 * FILTERS / 2


# ---- the tables of the docstring, case by case

KINDS: dict[str, Any] = {
    "missing": {},
    "null": {"x": None},
    "true": {"x": True},
    "1": {"x": 1},
    "1.0": {"x": 1.0},
    "2": {"x": 2},
    "text 1": {"x": "1"},
    "Z": {"x": "Z"},
    "a": {"x": "a"},
    "ä": {"x": "ä"},
    "list of a": {"x": ["a", 1]},
    "object": {"x": {"y": "a", "0": "z"}},
    "list of object": {"x": [{"y": "a"}]},
    "list of list": {"x": [["a", 1]]},
    "empty text": {"x": ""},
    "empty list": {"x": []},
    "empty object": {"x": {}},
}
LISTS = ["list of a", "list of object", "list of list", "empty list"]
EMPTY = ["missing", "null", "empty text", "empty list", "empty object"]


DOCUMENTED: list[tuple[dict[str, Any], list[str]]] = [
    ({}, list(KINDS)),
    ({"x": 1}, ["1", "1.0"]),
    ({"x": 1.0}, ["1", "1.0"]),
    ({"x": "1"}, ["text 1"]),
    ({"x": True}, ["true"]),
    ({"x": "a"}, ["a"]),  # not the list that holds it
    ({"x": None}, ["null"]),  # a missing key is not null
    ({"x": {"$ne": None}}, [name for name in KINDS if name != "null"]),
    ({"x": {"$ne": "a"}}, [name for name in KINDS if name != "a"]),  # the missing key too
    ({"x": {"$nin": ["a", 1]}}, [name for name in KINDS if name not in ("a", "1", "1.0")]),
    ({"x": {"$in": ["a", None, 2, False]}}, ["null", "2", "a"]),
    ({"x": {"$in": []}}, []),
    ({"x": {"$nin": []}}, list(KINDS)),
    ({"x": {"$exists": True}}, [name for name in KINDS if name != "missing"]),
    ({"x": {"$exists": False}}, ["missing"]),
    ({"x": {"$gt": 0}}, ["1", "1.0", "2"]),
    ({"x": {"$lte": 1}}, ["1", "1.0"]),
    ({"x": {"$not": {"$gt": 1}}}, [name for name in KINDS if name != "2"]),
    ({"x": {"$gte": "Z"}}, ["Z", "a", "ä"]),  # code points: 0x5A, 0x61, 0xE4
    ({"x": {"$lt": "a"}}, ["text 1", "Z", "empty text"]),
    ({"x": {"$between": [1, 1.5]}}, ["1", "1.0"]),
    ({"x": {"$between": ["Z", "a"]}}, ["Z", "a"]),
    ({"x": {"$between": [2, 1]}}, []),
    ({"x": {"$null": True}}, ["null"]),
    ({"x": {"$null": False}}, [name for name in KINDS if name != "null"]),
    ({"x": {"$empty": True}}, EMPTY),
    ({"x": {"$empty": False}}, [name for name in KINDS if name not in EMPTY]),
    ({"x": {"$contains": "a"}}, ["list of a"]),  # not the text "a", nor a list in the list
    ({"x": {"$contains": 1.0}}, ["list of a"]),
    ({"x": {"$contains": "1"}}, []),
    ({"x": {"$contains_any": ["b", 1]}}, ["list of a"]),
    ({"x": {"$contains_any": []}}, []),
    ({"x": {"$contains_all": ["a", 1]}}, ["list of a"]),
    ({"x": {"$contains_all": ["a", 2]}}, []),
    ({"x": {"$contains_all": []}}, LISTS),
    ({"x": {"$contains_none": ["a"]}}, [name for name in KINDS if name != "list of a"]),  # the missing key too
    ({"x": {"$size": 0}}, ["empty list"]),
    ({"x": {"$size": {"$gte": 1}}}, [name for name in LISTS if name != "empty list"]),
    ({"x": {"$size": {"$ne": 0}}}, [name for name in KINDS if name != "empty list"]),  # what has no size too
    ({"x": {"$like": "_"}}, ["text 1", "Z", "a", "ä"]),
    ({"x": {"$like": "%"}}, ["text 1", "Z", "a", "ä", "empty text"]),
    ({"x": {"$ilike": "A"}}, ["a"]),
    ({"x": {"$starts_with": ""}}, ["text 1", "Z", "a", "ä", "empty text"]),
    ({"x": {"$regex": "^[a-z\\d]$"}}, ["text 1", "a"]),
    ({"x": {"$not": {"$regex": "a"}}}, [name for name in KINDS if name != "a"]),
    ({"$at_least": {"count": 2, "of": [{"x": 1}, {"x": {"$gte": 1}}, {"x": 2}]}}, ["1", "1.0", "2"]),
    (
        {"$not": {"$at_least": {"count": 2, "of": [{"x": 1}, {"x": {"$gte": 1}}, {"y": 2}]}}},
        [name for name in KINDS if name not in ("1", "1.0")],
    ),
    ({"x.y": "a"}, ["object"]),  # not through a list
    ({"x.0": {"$exists": True}}, ["object"]),  # nor by a place in it
    ({"x.y": {"$gt": ""}}, ["object"]),
    ({"x.y.z": {"$exists": True}}, []),
    ({"$not": {"x": {"$gt": 1}, "$or": [{"x": 2}]}}, [name for name in KINDS if name != "2"]),
]


def test_every_kind_of_value_matches_as_documented(connection: sa.Connection) -> None:
    load_metadata(connection, list(KINDS.values()))
    for filter, names in DOCUMENTED:
        assert [list(KINDS)[id] for id in matching(connection, filter)] == names, filter


def test_declared_field_that_does_not_fit_counts_as_missing(connection: sa.Connection) -> None:
    load_metadata(connection, [{}, {"year": None}, {"year": "2020"}, {"year": 2020}, {"year": 2020.5}])
    assert matching(connection, {"year": {"$gte": 0}}) == [3]
    assert matching(connection, {"year": {"$ne": 2020}}) == [0, 1, 2, 4]
    assert matching(connection, {"year": {"$exists": True}}) == [1, 2, 3, 4]
    assert matching(connection, {"year": {"$in": [2020, None]}}) == [1, 3]
    assert matching(connection, {"year": {"$null": True}}) == [1]
    assert matching(connection, {"year": {"$empty": True}}) == [0, 1]
    assert matching(connection, {"year": {"$between": [0, 3000]}}) == [3]


def test_not_of_a_condition_matches_the_rest_whatever_is_missing(connection: sa.Connection) -> None:
    load_metadata(connection, list(KINDS.values()))
    for name in ("x", "year"):
        inner = {"$or": [{name: {"$gt": 1}}, {"nowhere": {"$lt": 5}, "at": {"$gt": "2024-01-01"}}]}
        both = matching(connection, inner) + matching(connection, {"$not": inner})
        assert sorted(both) == list(range(len(KINDS)))


# ---- injection

PAYLOADS = [
    # CVE-2025-1793 and its siblings in LlamaIndex, mem0 and Haystack: a value, or a key, that closes the literal
    "' OR '1'='1",
    "'; DROP TABLE rows; --",
    "x' UNION SELECT id FROM rows --",
    "') OR 1=1 --",
    "a'||(SELECT pg_sleep(10))||'",
    "'; COPY rows TO PROGRAM 'id'; --",
    # langgraph-checkpoint-sqlite CVE-2025-67644: a key that leaves the JSON path
    "a') = '1' OR 1=1 --",
    '$"; DROP TABLE rows; --',
    "a}' OR true --",
    # Spring AI CVE-2026-22730: a value that leaves a JSON path filter
    '" || @.x == "x',
    "@ ? (1 == 1)",
    # a PostgreSQL name instead of a key
    "current_user",
    "metadata",
    "rows_metadata",
    # what drivers and formatters take for their own
    "%s",
    "%(param_1)s",
    "%%",
    ":param_1",
    "$1",
    "{0}",
    "{metadata}",
    "__class__",
    # quoting that depends on settings or encodings: CVE-2025-1094
    "\\' OR 1=1 --",
    "\\",
    "\u02bc OR 1=1",
    "\u2019 OR 1=1",
    "$$; DROP TABLE rows; $$",
    "E'\\x27'",
    "\x01\x1a\x7f",
    "\r\n\t",
    "/* */ --",
]


def test_payload_is_only_ever_a_string(connection: sa.Connection) -> None:
    evaluator = Evaluator(DECLARED)
    for payload in PAYLOADS:
        key = payload.lstrip("$").replace(".", "") or "x"  # a key begins with no dollar sign, and dots part it
        pattern = re.sub(r"[!-/:-@\[-`{-~]", r"\\\g<0>", payload)
        stored = [Row({"a": payload}), Row({key: "x"}), Row({"lang": payload}, payload), Row({"a": {key: payload}})]
        stored += [Row({"a": "other"}), Row({"a": [payload]})]
        operations: list[dict[str, Any]] = [{op: payload} for op in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")]
        operations += [{"$in": [payload]}, {"$nin": ["x", payload]}, {"$exists": True}, {"$between": [payload, "~"]}]
        operations += [{"$starts_with": payload}, {"$like": f"{pattern}%"}]
        operations += [{"$regex": pattern}] * (pattern.isprintable() and len(pattern) < 200)
        asked = [{name: operation} for name in ("a", "lang", key, f"a.{key}") for operation in operations]
        asked += [{name: {"$contains": payload}} for name in ("a", key)]
        asked += [{"$id": payload}, {"$id": {"$in": [payload]}}, {"$text": {"$contains": payload}}]
        with connection.begin_nested() as savepoint:
            load(connection, stored)
            for filter, found in zip(asked, answers(connection, asked), strict=True):
                assert found == {id for id, row in enumerate(stored) if evaluator.holds(filter, row)}, filter
            for operator in ("$match", "$phrase", "$icontains"):
                assert not answers(connection, [{"$text": {operator: payload}}])[0]
            savepoint.rollback()


# ---- patterns


def test_regular_expressions_find_what_python_finds(connection: sa.Connection) -> None:
    """Those that are allowed are accepted by PostgreSQL, and mean the same as in Python."""
    texts = [*TEXTS, "aab", "ab2", "Ä_", "a b", "\\%", "2\t", "bbbb", "äa\nb", "['-_]"]
    load(connection, [Row({"x": text, "lang": text}) for text in texts])
    draw, found_some = Draw(random.Random(1)), 0
    for _ in range(40):
        drawn = [pattern for pattern in (draw.regex() for _ in range(50)) if not problem_of_regex(pattern)]
        asked = [{draw.random.choice(["x", "lang"]): {"$regex": pattern}} for pattern in drawn]
        for pattern, found in zip(drawn, answers(connection, asked), strict=True):
            compiled = re.compile(in_python(pattern), re.ASCII | re.DOTALL)
            assert found == {id for id, text in enumerate(texts) if compiled.search(text)}, pattern
            found_some += 0 < len(found) < len(texts)
    assert found_some > 500


@pytest.mark.parametrize(
    "pattern",
    [
        "[-a]+",
        "[a-]",
        "[\\d-]",
        "[\\]\\[\\^]",
        "a{0}b",
        "(a|^b$|c$)",
        "[&&~~||]",
        "\\'\\<\\>\\`",
        "x^y$z",
        "(a?){3,5}?",
    ],
)
def test_odd_regular_expression_is_accepted_and_means_the_same(connection: sa.Connection, pattern: str) -> None:
    texts = ["a", "b", "-", "-a-", "]", "[", "^", "1", "ab", "c", "bc", "&", "~", "|", "'<>`", "xyz", "", "aaa"]
    load(connection, [Row({"x": text}) for text in texts])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Python's, of && and || in brackets
        expected = [id for id, text in enumerate(texts) if re.search(in_python(pattern), text, re.ASCII | re.DOTALL)]
    assert matching(connection, {"x": {"$regex": pattern}}) == expected


def test_like_is_in_time_for_hostile_patterns(connection: sa.Connection) -> None:
    connection.exec_driver_sql("SET LOCAL statement_timeout = '20s'")
    load(connection, [Row({"x": "a" * 20_000})])
    for pattern in ("%a" * 500 + "b", "%_" * 500 + "b", "%a%" * 300 + "b"):
        assert matching(connection, {"x": {"$like": pattern}}) == []
