"""Filters without a database: the SQL they become, and what cannot be compiled."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, get_args

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from semsearch import fields as declared
from semsearch import filters
from semsearch.errors import FilterError

METADATA = sa.column("metadata", JSONB())
FIELDS = {type_: sa.column(f"field_{type_}", declared.sql_type(type_)) for type_ in get_args(declared.FieldType)}
DIALECT = postgresql.psycopg.dialect()  # type: ignore[attr-defined]


COLUMNS = filters.Columns(
    METADATA,
    FIELDS,
    document_id=sa.column("document_id", sa.Text()),
    text=sa.column("text", sa.Text()),
    terms=sa.column("terms", TSVECTOR()),
    language="english",
)


def compiled(filter: dict[str, Any], columns: filters.Columns = COLUMNS) -> Any:
    return filters.compile(filters.parse(filter), columns).compile(dialect=DIALECT)


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
        ({"a": {"$null": True}}, "metadata @> %(param_1)s::JSONB", [{"a": None}]),
        (
            {"a": {"$empty": True}},
            f"{VALUE} IS NULL OR {VALUE} IN ('null', '\"\"', '[]', '{{}}')",
            ["a"],
        ),
        ({"a.b": {"$contains": "x"}}, "metadata @> %(param_1)s::JSONB", [{"a": {"b": ["x"]}}]),
        ({"a": {"$contains_all": ["x", 5]}}, "metadata @> %(param_1)s::JSONB", [{"a": ["x", 5]}]),
        ({"a": {"$contains_any": ["x", 5]}}, "metadata @> ANY (%(param_1)s::JSONB[])", [[{"a": ["x"]}, {"a": [5]}]]),
        ({"a": {"$overlaps": []}}, "false", []),
        (
            {"a": {"$size": 2}},
            "CASE WHEN (jsonb_typeof(metadata -> %(param_1)s::VARCHAR) = 'array') "
            "THEN jsonb_array_length(metadata -> %(param_1)s::VARCHAR) END = %(param_2)s::INTEGER",
            ["a", 2],
        ),
        (
            {"a": {"$regex": "x+"}},
            "jsonb_typeof(metadata -> %(param_1)s::VARCHAR) = 'string' "
            f"AND (({VALUE} #>> '{{}}') COLLATE \"C\" ~ %(param_2)s::VARCHAR)",
            ["a", "x+"],
        ),
        ({"text": {"$starts_with": "x"}}, "field_text ^@ %(param_1)s::VARCHAR", ["x"]),
        ({"text": {"$like": "x%"}}, "field_text LIKE %(param_1)s::VARCHAR", ["x%"]),
        ({"text": {"$ilike": "x%"}}, '(field_text COLLATE "default") ILIKE %(param_1)s::VARCHAR', ["x%"]),
        ({"$id": "x"}, "document_id = %(param_1)s::VARCHAR", ["x"]),
        ({"$id": {"$in": ["x", "y"]}}, "document_id = ANY (%(param_1)s::TEXT[])", [["x", "y"]]),
        (
            {"$text": {"$match": "x"}},
            "terms @@ plainto_tsquery(%(param_1)s::REGCONFIG, %(param_2)s::VARCHAR)",
            ["english", "x"],
        ),
        ({"$text": {"$contains": "x_"}}, "strpos(text, %(param_1)s::VARCHAR) > 0", ["x_"]),
        ({"$text": {"$icontains": "x_"}}, '(text COLLATE "default") ILIKE %(param_1)s::VARCHAR', ["%x\\_%"]),
        (
            {"$at_least": {"count": 2, "of": [{"boolean": True}, {"integer": 1}, {"integer": 2}]}},
            "CASE WHEN (field_boolean = %(param_1)s) THEN 1 ELSE 0 END"
            " + CASE WHEN (field_integer = %(param_2)s::BIGINT) THEN 1 ELSE 0 END"
            " + CASE WHEN (field_integer = %(param_3)s::BIGINT) THEN 1 ELSE 0 END >= %(param_4)s::INTEGER",
            [True, 1, 2, 2],
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
        ({"integer": {"$like": "20%"}}, "$.integer.$like", "field 'integer' is an integer; got the text '20%'."),
        ({"date": {"$starts_with": "2024"}}, "$.date.$starts_with", "field 'date' is a date (YYYY-MM-DD); got"),
        ({"text": {"$contains": "x"}}, "$.text.$contains", "field 'text' is declared as text, which is never a list."),
        (
            {"integer": {"$size": 1}},
            "$.integer.$size",
            "field 'integer' is declared as integer, which is never a list.",
        ),
    ],
)
def test_value_that_does_not_fit_its_field_is_refused_with_its_path(written: Any, path: str, problem: str) -> None:
    with pytest.raises(FilterError) as error:
        compiled(written)
    assert error.value.path == path
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ({"$id": "a"}, "filter $.$id: there are no document ids here."),
        ({"$text": {"$contains": "a"}}, "filter $.$text.$contains: there is no text here."),
        (
            {"$text": {"$phrase": "a"}},
            "filter $.$text.$phrase: the collection has no text search: it was made with language=None.",
        ),
    ],
)
def test_column_that_is_not_there_cannot_be_asked_for(written: Any, problem: str) -> None:
    with pytest.raises(FilterError) as error:
        compiled(written, filters.Columns(METADATA))
    assert str(error.value) == problem


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ({}, True),
        ({"a": 1, "b": None, "c": {"$in": [1, "x"]}, "d": {"$contains": 1}, "e": {"$null": False}}, True),
        ({"integer": {"$between": [1, 5]}, "text": {"$starts_with": "x"}}, True),
        ({"$id": {"$in": ["a"]}, "$text": {"$match": "a"}}, True),
        ({"$or": [{"a": 1}, {"$not": {"integer": {"$gt": 5}}}]}, True),
        ({"a": {"$gt": 5}}, False),
        ({"$or": [{"b": 1}, {"$not": {"a": {"$gt": 5}}}]}, False),
        ({"a": {"$starts_with": "x"}}, False),
        ({"text": {"$regex": "x"}}, False),
        ({"integer": {"$exists": True}}, False),
        ({"a": {"$empty": True}}, False),
        ({"a": {"$size": 1}}, False),
        ({"$text": {"$contains": "a"}}, False),
        ({"$text": {"$phrase": "a"}}, False),
        ({"$at_least": {"count": 2, "of": [{"a": 1}, {"b": 1}, {"c": 1}]}}, False),
    ],
)
def test_filter_is_estimable_where_postgresql_has_statistics_for_all_of_it(written: Any, known: bool) -> None:
    assert filters.estimable(filters.parse(written), COLUMNS) is known
