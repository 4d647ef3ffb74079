"""Generated columns on a real PostgreSQL: they hold what Python reads from the same JSON, and never raise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import JSONB

from semsearch import fields
from semsearch import sql as sql_files

TYPES: tuple[fields.FieldType, ...] = get_args(fields.FieldType)
ROWS = sa.Table(
    "rows",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("metadata", JSONB, nullable=False),
    # every column is made from the same key
    *(fields.generated_column(number, "x", type_) for number, type_ in enumerate(TYPES, 1)),
)


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


def held(connection: sa.Connection, values: list[str]) -> list[dict[fields.FieldType, Any]]:
    """What the columns hold for each of these JSON texts as the value of the key."""
    insert = sa.text("""INSERT INTO rows (id, metadata) VALUES (:id, CAST('{"x": ' || :value || '}' AS jsonb))""")
    connection.execute(insert, [{"id": id, "value": value} for id, value in enumerate(values)])
    # what psycopg can read; west of Greenwich the year 1 begins in the year before
    connection.exec_driver_sql("SET DateStyle = 'ISO'; SET TimeZone = 'UTC'")
    columns = [ROWS.c[f"field_{number}"] for number in range(1, len(TYPES) + 1)]
    found = connection.execute(sa.select(*columns).order_by(ROWS.c.id))
    return [dict(zip(TYPES, row, strict=True)) for row in found]


def check_equal_to_python(connection: sa.Connection, values: list[Any]) -> None:
    for value, found in zip(values, held(connection, [json.dumps(value) for value in values]), strict=True):
        assert found == {type_: fields.convert(value, type_) for type_ in TYPES}, value


NUMBERS: list[tuple[str, int | None, float | None]] = [
    ("1e400", None, None),
    ("-1e400", None, None),
    ("1e-400", None, None),
    ("5e-324", None, 5e-324),
    ("-5e-324", None, -5e-324),
    ("1.7976931348623158e308", None, 1.7976931348623157e308),
    ("1.7976931348623159e308", None, None),
    ("-0", 0, 0.0),
    ("0e10", 0, 0.0),
    ("2020.00", 2020, 2020.0),
    ("2020.00000000000000000001", None, 2020.0),
    ("9223372036854775807", 2**63 - 1, 2.0**63),
    ("9223372036854775808", None, 2.0**63),
    ("-9223372036854775808", -(2**63), -(2.0**63)),
    ("-9223372036854775809", None, -(2.0**63)),
    ("1e18", 10**18, 1e18),
]


def test_number_of_json_beyond_those_of_python_is_held_or_null(connection: sa.Connection) -> None:
    found = held(connection, [number for number, _, _ in NUMBERS])
    assert [(row["integer"], row["float"]) for row in found] == [row[1:] for row in NUMBERS]
    assert all(row[type_] is None for row in found for type_ in ("text", "boolean", "date", "timestamp"))


def test_columns_of_other_kinds_and_long_texts_hold_what_python_reads(connection: sa.Connection) -> None:
    texts = ["", "a" * 1024, "a" * 1025, "ä" * 512, "ä" * 513, "𝄞" * 256, "𝄞" * 257, "1", "true", "x\n"]
    check_equal_to_python(connection, [True, False, None, [], {}, [1], ["2024-01-01"], {"a": 1}, 1, 0, *texts])


def test_missing_key_is_null_in_every_column(connection: sa.Connection) -> None:
    connection.execute(sa.insert(ROWS), [{"id": 1, "metadata": {"X": 1}}, {"id": 2, "metadata": {"y": {"x": 1}}}])
    for row in connection.execute(sa.select(ROWS)):
        assert row[2:] == (None,) * len(TYPES)


DAYS = ["2024-02-29", "2023-02-29", "2100-02-29", "2000-02-29", "2024-04-31", "2024-12-31", "2024-13-01", "2024-00-01"]
DAYS += ["2024-01-00", "0000-01-01", "0001-01-01", "9999-12-31", "10000-01-01", "2024-1-1", "20240101", "-2024-01-01"]
DAYS += [" 2024-01-01", "today", "infinity", "epoch", "2024-W01-1", "２０２４-01-01"]
TIMES = [
    "",
    "T00:00",
    " 23:59",
    "T23:59:59",
    "T23:59:59.9",
    "T23:59:59.999999",
    "T23:59:59.999999999",
    "T24:00",
    "T23:60",
]
TIMES += ["T12:00:60", "T12", "T1200", "t12:00", "x12:00", "T12:00:00.", "T12:00:00.1234567890", "T12:00:00,5", "\n"]
ZONES = [
    "",
    "Z",
    "z",
    "+00",
    "-00:00",
    "+05:30",
    "-0530",
    "+23:59",
    "-23:59",
    "+24:00",
    "+05:60",
    "+5",
    " Z",
    "UTC",
    "\n",
]


@pytest.mark.parametrize("setup", ["SELECT 1", "SET DateStyle = 'German'; SET TimeZone = 'America/New_York'"])
def test_dates_and_moments_are_those_of_python_whatever_the_settings(connection: sa.Connection, setup: str) -> None:
    connection.exec_driver_sql(setup)
    check_equal_to_python(connection, [day + time + zone for day in DAYS for time in TIMES for zone in ZONES])


def test_random_json_is_held_as_python_reads_it(connection: sa.Connection) -> None:
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    nearly = st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9](T[0-2][0-9]:[0-6][0-9]([+-][0-2][0-9])?)?", fullmatch=True)
    number = st.integers() | st.floats(allow_nan=False, allow_infinity=False)

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(text | nearly | number | st.dates().map(str) | st.datetimes().map(str), min_size=20, max_size=40))
    def check(values: list[Any]) -> None:
        with connection.begin_nested() as savepoint:
            check_equal_to_python(connection, values)
            savepoint.rollback()

    check()


def test_functions_run_in_parallel_workers(connection: sa.Connection) -> None:
    """A subtransaction inside of them would be refused there by PostgreSQL 15 and 16."""
    connection.exec_driver_sql(
        "SET debug_parallel_query = on" if _version(connection) >= 16 else "SET force_parallel_mode = on"
    )
    connection.execute(sa.insert(ROWS), [{"id": 1, "metadata": {"x": "2024-02-30"}}])
    for function in ("to_date", "to_timestamp"):
        query = sa.text(f"SELECT count(semsearch.{function}(metadata -> 'x')) FROM rows")
        assert connection.scalar(query) == 0


def _version(connection: sa.Connection) -> int:
    return (connection.dialect.server_version_info or (0,))[0]
