"""Filters on a real PostgreSQL: what they match, against an evaluator in Python, and that indexes serve them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from semsearch import fields, filters
from semsearch import sql as sql_files

DECLARED: dict[str, fields.FieldType] = {
    "lang": "text",
    "year": "integer",
    "score": "float",
    "draft": "boolean",
    "day": "date",
    "at": "timestamp",
}
ROWS = sa.Table(
    "rows",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("metadata", JSONB, nullable=False),
    *(fields.generated_column(number, *field) for number, field in enumerate(DECLARED.items(), 1)),
    sa.Index(
        "rows_metadata",
        "metadata",
        postgresql_using="gin",
        postgresql_ops={"metadata": "jsonb_path_ops"},
        # with a pending list the planner counts reading all of it, and takes a sequential scan after a load
        postgresql_with={"fastupdate": "off"},
    ),
    *(sa.Index(f"rows_{name}", f"field_{number}") for number, name in enumerate(DECLARED, 1)),
)
FIELDS = {name: ROWS.c[f"field_{number}"] for number, name in enumerate(DECLARED, 1)}


@pytest.fixture
def connection(empty_database_url: str) -> Iterator[sa.Connection]:
    """A connection to a database with the table above, empty, in a transaction."""
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(empty_database_url))
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE SCHEMA semsearch")
        for statement in sql_files.statements():
            if "FUNCTION semsearch.to_" in statement:
                connection.exec_driver_sql(statement)
        ROWS.metadata.create_all(connection)
        yield connection
    engine.dispose()


def load(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    connection.execute(sa.insert(ROWS), [{"id": id, "metadata": metadata} for id, metadata in enumerate(rows)])


def condition(filter: dict[str, Any]) -> sa.ColumnElement[bool]:
    return filters.compile(filters.parse(filter), ROWS.c.metadata, FIELDS)


def matching(connection: sa.Connection, filter: dict[str, Any]) -> list[int]:
    return list(connection.scalars(sa.select(ROWS.c.id).where(condition(filter)).order_by(ROWS.c.id)))


# ---- the evaluator: the tables of the docstring of semsearch.filters, on the JSON itself

MISSING = object()


def holds(filter: dict[str, Any], metadata: dict[str, Any]) -> bool:
    return all(_entry(key, value, metadata) for key, value in filter.items())


def _entry(key: str, value: Any, metadata: dict[str, Any]) -> bool:
    match key:
        case "$and":
            return all(holds(each, metadata) for each in value)
        case "$or":
            return any(holds(each, metadata) for each in value)
        case "$not":
            return not holds(value, metadata)
    operators = value if isinstance(value, dict) else {"$eq": value}
    return _applies(operators, _found(metadata, key), DECLARED.get(key))


def _found(metadata: Any, key: str) -> Any:
    for part in key.split("."):
        metadata = metadata.get(part, MISSING) if isinstance(metadata, dict) else MISSING
    return metadata


def _applies(operators: dict[str, Any], found: Any, type_: fields.FieldType | None) -> bool:
    return all(_operator(operator, operand, found, type_) for operator, operand in operators.items())


def _operator(operator: str, operand: Any, found: Any, type_: fields.FieldType | None) -> bool:
    match operator:
        case "$exists":
            return (found is not MISSING) == operand
        case "$not":
            return not _applies(operand, found, type_)
        case "$ne":
            return not _compares("$eq", operand, found, type_)
        case "$in":
            return any(_compares("$eq", each, found, type_) for each in operand)
        case "$nin":
            return not any(_compares("$eq", each, found, type_) for each in operand)
    return _compares(operator, operand, found, type_)


def _compares(operator: str, operand: Any, found: Any, type_: fields.FieldType | None) -> bool:
    if operand is None or found is None:
        return operand is found
    if type_:
        found, operand = fields.convert(found, type_), fields.convert(operand, type_)
    kind, value = _kind(found)
    if kind != _kind(operand)[0] or kind == "other":
        return False
    other = _kind(operand)[1]
    return {"$eq": value == other, "$gt": value > other, "$gte": value >= other, "$lt": value < other}.get(
        operator, value <= other
    )


def _kind(value: Any) -> tuple[str, Any]:
    match value:
        case bool():
            return "boolean", value
        case int() | float():
            return "number", Decimal(repr(value))  # exact: the digits that JSON holds
        case str():
            return "text", value.encode()  # the order of UTF-8's bytes is that of code points
        case date():
            return "moment", value
    return "other", None


# ---- random filters on random rows

NUMBERS = [0, 1, -1, 5, 2020, 2020.0, 2020.5, 0.1, 0.30000000000000004, 1e300, 5e-324, 2**53 + 1, 2**63 - 1, -(2**62)]
TEXTS = [
    "",
    "a",
    "A",
    "Z",
    "ä",
    "aa",
    "b",
    "2020",
    "true",
    "null",
    "a%",
    "a'b",
    '"',
    "\\",
    "ʼ",
    "𝄞",
    "\uffff",
    "en",
    "de",
]
DATES = ["2024-02-29", "2024-03-01", "1999-12-31", "0001-01-01", "9999-12-31"]
MOMENTS = [
    "2024-02-29",
    "2024-02-29T00:00:00.000001Z",
    "2024-02-29T02:00+02:00",
    "2024-02-28 23:00-01",
    "1999-12-31T23:59",
]
VALUES: dict[fields.FieldType | None, list[Any]] = {
    "text": TEXTS,
    "integer": [number for number in NUMBERS if fields.convert(number, "integer") is not None],
    "float": NUMBERS,
    "boolean": [True, False],
    "date": DATES,
    "timestamp": MOMENTS,
    None: [*NUMBERS, *TEXTS, True, False],
}
KEYS = ["a", "b", "Year", "0", "tags", "author.name", "author.name.first", "author.0"]


class Draw:
    """Random rows and filters over few values of each type, so that they meet."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.values = {type_: self.random.sample(values, min(6, len(values))) for type_, values in VALUES.items()}

    def stored(self, type_: fields.FieldType | None) -> Any:
        """A value of the type, or null, or anything else that JSON can hold."""
        any_type = self.random.choice(list(VALUES))
        value = self.random.choice(self.values[self.random.choice([type_] * 5 + [any_type])])
        return self.random.choice([value] * 10 + [None, [value], {"x": value}, []])

    def row(self) -> dict[str, Any]:
        row = {name: self.stored(type_) for name, type_ in DECLARED.items() if self.random.random() < 0.85}
        for key in KEYS:
            if self.random.random() < 0.7:
                *outer, last = key.split(".")
                place: Any = row
                for part in outer:
                    place = place.setdefault(part, {}) if isinstance(place, dict) else {}
                if isinstance(place, dict):
                    place[last] = self.stored(None)
        return row

    def filter(self, depth: int = 3) -> dict[str, Any]:
        if depth == 0 or self.random.random() < 0.5:
            return dict(self.condition() for _ in range(self.random.choice([0, 1, 1, 1, 1, 1, 2])))
        several = [self.filter(depth - 1) for _ in range(self.random.choice([1, 2, 2, 3]))]
        together = self.random.choice(["$and", "$or", "$or", "$not"])
        joined = {together: several[0] if together == "$not" else several}
        return {**dict([self.condition()]), **joined} if self.random.random() < 0.3 else joined

    def condition(self) -> tuple[str, Any]:
        key = self.random.choice([*DECLARED, *KEYS])
        operators = dict(self.operator(DECLARED.get(key)) for _ in range(self.random.choice([1, 1, 1, 2])))
        if self.random.random() < 0.2:
            return key, self.random.choice(self.values[DECLARED.get(key)])
        return key, {"$not": operators} if self.random.random() < 0.2 else operators

    def operator(self, type_: fields.FieldType | None) -> tuple[str, Any]:
        scalars = [*self.values[type_], None]
        ordered = [value for value in self.values[type_] if not isinstance(value, bool)]
        match self.random.choice(["single", "single", "order", "order", "order", "list", "exists"]):
            case "order" if ordered:
                return self.random.choice(["$gt", "$gte", "$lt", "$lte"]), self.random.choice(ordered)
            case "list":
                return self.random.choice(["$in", "$nin"]), self.random.sample(scalars, self.random.randrange(3))
            case "exists":
                return "$exists", self.random.choice([True, False])
        return self.random.choice(["$eq", "$ne"]), self.random.choice(scalars)


def answers(connection: sa.Connection, asked: list[dict[str, Any]]) -> list[set[int]]:
    """What each filter matches, as a WHERE of its own, all in one statement."""
    parts = [sa.select(sa.literal(number), ROWS.c.id).where(condition(filter)) for number, filter in enumerate(asked)]
    found: list[set[int]] = [set() for _ in asked]
    for number, id in connection.execute(sa.union_all(*parts)):
        found[number].add(id)
    return found


@pytest.mark.parametrize("indexes", [True, False])
def test_random_filters_match_what_the_evaluator_says(connection: sa.Connection, indexes: bool) -> None:
    # Whichever plan is chosen, the answer is the same. "off" means "if there is another way", at a cost that calls jit.
    connection.exec_driver_sql("SET jit = off")
    connection.exec_driver_sql(f"SET enable_seqscan = {'off' if indexes else 'on'}")
    connection.exec_driver_sql(f"SET enable_bitmapscan = {'on' if indexes else 'off'}")
    connection.exec_driver_sql(f"SET enable_indexscan = {'on' if indexes else 'off'}")
    some = 0
    for seed in range(60):
        draw = Draw(seed)
        stored, asked = [draw.row() for _ in range(40)], [draw.filter() for _ in range(40)]
        with connection.begin_nested() as savepoint:
            load(connection, stored)
            for filter, found in zip(asked, answers(connection, asked), strict=True):
                expected = {id for id, metadata in enumerate(stored) if holds(filter, metadata)}
                assert found == expected, (filter, [stored[id] for id in found ^ expected])
                some += 0 < len(found) < len(stored)
            savepoint.rollback()
    assert some > 60 * 40 / 2  # most filters tell rows apart


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
}


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
    ({"x": {"$lt": "a"}}, ["text 1", "Z"]),
    ({"x.y": "a"}, ["object"]),  # not through a list
    ({"x.0": {"$exists": True}}, ["object"]),  # nor by a place in it
    ({"x.y": {"$gt": ""}}, ["object"]),
    ({"x.y.z": {"$exists": True}}, []),
    ({"$not": {"x": {"$gt": 1}, "$or": [{"x": 2}]}}, [name for name in KINDS if name != "2"]),
]


def test_every_kind_of_value_matches_as_documented(connection: sa.Connection) -> None:
    load(connection, list(KINDS.values()))
    for filter, names in DOCUMENTED:
        assert [list(KINDS)[id] for id in matching(connection, filter)] == names, filter


def test_declared_field_that_does_not_fit_counts_as_missing(connection: sa.Connection) -> None:
    load(connection, [{}, {"year": None}, {"year": "2020"}, {"year": 2020}, {"year": 2020.5}])
    assert matching(connection, {"year": {"$gte": 0}}) == [3]
    assert matching(connection, {"year": {"$ne": 2020}}) == [0, 1, 2, 4]
    assert matching(connection, {"year": {"$exists": True}}) == [1, 2, 3, 4]
    assert matching(connection, {"year": {"$in": [2020, None]}}) == [1, 3]


def test_not_of_a_condition_matches_the_rest_whatever_is_missing(connection: sa.Connection) -> None:
    load(connection, list(KINDS.values()))
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
    for payload in PAYLOADS:
        key = payload.lstrip("$").replace(".", "") or "x"  # a key begins with no dollar sign, and dots part it
        stored = [{"a": payload}, {key: "x"}, {"lang": payload}, {"a": {key: payload}}, {"a": "other"}]
        operations: list[dict[str, Any]] = [{op: payload} for op in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")]
        operations += [{"$in": [payload]}, {"$nin": ["x", payload]}, {"$exists": True}]
        asked = [{name: operation} for name in ("a", "lang", key, f"a.{key}") for operation in operations]
        with connection.begin_nested() as savepoint:
            load(connection, stored)
            for filter, found in zip(asked, answers(connection, asked), strict=True):
                assert found == {id for id, metadata in enumerate(stored) if holds(filter, metadata)}, filter
            savepoint.rollback()


# ---- indexes


@pytest.fixture
def many(connection: sa.Connection) -> sa.Connection:
    """20,000 rows; each year, src and city stands in 20 of them, the lang and kind "en" in about half of them."""
    connection.exec_driver_sql(
        "INSERT INTO rows (id, metadata) SELECT i, jsonb_build_object('lang', lang, 'kind', lang, 'year', i / 20,"
        " 'src', i / 20, 'at', to_char(timestamp '2000-01-01' + i * interval '1 day', 'YYYY-MM-DD'),"
        " 'author', jsonb_build_object('city', 'city ' || i / 20))"
        " FROM generate_series(0, 19999) i, LATERAL (SELECT (ARRAY['en', 'de'])[1 + mod(i / 7, 2)]) l (lang)"
    )
    connection.exec_driver_sql("ANALYZE rows")
    return connection


def plan(connection: sa.Connection, filter: dict[str, Any]) -> dict[str, Any]:
    """PostgreSQL's plan for the rows that match, as EXPLAIN (FORMAT JSON) gives it."""

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> tuple[str, Any]:
        return f"EXPLAIN (FORMAT JSON) {statement}", parameters

    sa.event.listen(connection, "before_cursor_execute", explain, retval=True)
    try:
        found: Any = connection.scalar(sa.select(ROWS.c.id).where(condition(filter)))
        return dict(found[0]["Plan"])
    finally:
        sa.event.remove(connection, "before_cursor_execute", explain)


def indexes(node: dict[str, Any]) -> set[str]:
    """The names of the indexes that a plan reads."""
    below = [indexes(each) for each in node.get("Plans", [])]
    return set().union({node["Index Name"]} if "Index Name" in node else set(), *below)


def test_index_serves_equality_and_declared_ranges(many: sa.Connection) -> None:
    served: list[tuple[dict[str, Any], set[str]]] = [
        ({"src": 5}, {"rows_metadata"}),
        ({"author.city": "city 7"}, {"rows_metadata"}),
        ({"src": {"$in": [5, 6, "x"]}}, {"rows_metadata"}),
        ({"src": 5, "kind": {"$ne": "en"}, "year": {"$exists": True}}, {"rows_metadata"}),
        ({"$or": [{"src": 5}, {"author.city": "city 7"}]}, {"rows_metadata"}),
        ({"year": 5}, {"rows_year"}),
        ({"year": {"$gte": 990}}, {"rows_year"}),
        ({"year": {"$gt": 10, "$lt": 15}, "lang": {"$ne": "en"}}, {"rows_year"}),
        ({"year": {"$in": [1, 2, 3]}}, {"rows_year"}),
        ({"at": {"$lt": "2000-03-01"}}, {"rows_at"}),
        ({"$or": [{"year": 5}, {"src": 7}]}, {"rows_year", "rows_metadata"}),
    ]
    assert [indexes(plan(many, filter)) for filter, _ in served] == [used for _, used in served]


def test_planner_knows_how_many_rows_are_half_of_them(many: sa.Connection) -> None:
    halves: list[dict[str, Any]] = [
        {"lang": "en"},
        {"lang": {"$ne": "en"}},
        {"lang": {"$nin": ["en", "fr"]}},
        {"kind": "en"},
        {"kind": {"$ne": "en"}},
        {"$not": {"lang": "en"}},
        {"year": {"$gte": 500}},
    ]
    # "en" stands in 1,429 runs of 7 rows: 10,003. For @> the planner asks the 100 bounds of its histogram.
    assert [len(matching(many, filter)) for filter in halves] == [10_003, 9_997, 9_997, 10_003, 9_997, 9_997, 10_000]
    estimates = [plan(many, filter)["Plan Rows"] for filter in halves]
    assert all(6_000 < estimate < 14_000 for estimate in estimates), estimates
