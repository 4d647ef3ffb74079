"""Declared fields: which names, types and values are taken, and what is said about the others."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, get_args

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateColumn

from semsearch import fields
from semsearch.errors import InvalidInput

TYPES: tuple[fields.FieldType, ...] = get_args(fields.FieldType)

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)


def test_declared_fields_come_back_as_a_plain_dictionary_in_their_order() -> None:
    declared = {"year": "integer", "Lang_2": "text", "a" * 48: "timestamp"}
    assert list(fields.validate(declared).items()) == list(declared.items())


@pytest.mark.parametrize("name", ["", "1st", "_x", "a-b", "a.b", "a b", "größe", "a" * 49, "year\n", "a'b", 5, None])
def test_name_that_is_no_plain_word_is_refused(name: Any) -> None:
    with pytest.raises(InvalidInput, match="use a letter, then up to 47 letters, digits and underscores"):
        fields.validate({name: "text"})


@pytest.mark.parametrize("name", sorted(fields.RESERVED))
def test_name_of_a_column_of_the_view_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"field name '{name}' is taken by a column"):
        fields.validate({name: "text"})


def test_misspelt_type_suggests_the_near_one() -> None:
    with pytest.raises(InvalidInput, match=r"field 'year' has the unknown type 'int': did you mean 'integer'\?"):
        fields.validate({"year": "int"})


@pytest.mark.parametrize("type_", ["uuid", int, None, [], "Integer "])
def test_unknown_type_is_refused(type_: Any) -> None:
    with pytest.raises(InvalidInput, match="field 'x' has the unknown type"):
        fields.validate({"x": type_})


def test_type_that_resembles_nothing_lists_the_types() -> None:
    with pytest.raises(InvalidInput, match="use one of text, integer, float, boolean, date, timestamp"):
        fields.validate({"x": "uuid"})


def test_sixty_four_fields_are_taken_and_one_more_is_not() -> None:
    declared = {f"field{number}": "text" for number in range(64)}
    assert len(fields.validate(declared)) == 64
    with pytest.raises(InvalidInput, match="at most 64 fields; got 65"):
        fields.validate({**declared, "more": "text"})


def test_fields_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"fields are a mapping.*got \['year'\]"):
        fields.validate(["year"])  # type: ignore[arg-type]


LARGEST = 1.7976931348623157e308


@pytest.mark.parametrize(
    ("type_", "value", "held"),
    [
        ("text", "", ""),
        ("text", "ä" * 512, "ä" * 512),  # two bytes each
        ("integer", 2020, 2020),
        ("integer", 2020.0, 2020),
        ("integer", 1.978422945128579e16, 19_784_229_451_285_790),  # the double is ...792, its JSON ...790
        ("integer", -(2**63), -(2**63)),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("float", 2020, 2020.0),
        ("float", 0.1, 0.1),
        ("float", -LARGEST, -LARGEST),
        ("float", int(LARGEST), LARGEST),
        ("boolean", True, True),
        ("boolean", False, False),
        ("date", "2024-02-29", date(2024, 2, 29)),
        ("date", "0001-01-01", date(1, 1, 1)),
        ("timestamp", "2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
        ("timestamp", "2024-05-01T09:30", datetime(2024, 5, 1, 9, 30, tzinfo=UTC)),
        ("timestamp", "2024-05-01 09:30:15.5Z", datetime(2024, 5, 1, 9, 30, 15, 500_000, tzinfo=UTC)),
        ("timestamp", "2024-05-01T09:30:15.123456999Z", datetime(2024, 5, 1, 9, 30, 15, 123_456, tzinfo=UTC)),
        ("timestamp", "2024-05-01T09:30+02:00", datetime(2024, 5, 1, 7, 30, tzinfo=UTC)),
        ("timestamp", "2024-05-01T09:30-0230", datetime(2024, 5, 1, 12, 0, tzinfo=UTC)),
        ("timestamp", "2024-05-01T00:30+05", datetime(2024, 4, 30, 19, 30, tzinfo=UTC)),
    ],
)
def test_value_that_fits_is_read(type_: fields.FieldType, value: Any, held: Any) -> None:
    found = fields.convert(value, type_)
    assert (found, type(found)) == (held, type(held))
    fields.check({"field": value}, {"field": type_})


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("text", 5),
        ("text", "ä" * 513),
        ("text", "a" * 1025),
        ("integer", "2020"),
        ("integer", 2020.5),
        ("integer", True),
        ("integer", 2**63),
        ("integer", -(2**63) - 1),
        ("integer", 2.0**63),  # in JSON 9.223372036854776e+18
        ("integer", 1e300),
        ("integer", float("inf")),
        ("integer", float("nan")),
        ("float", "0.5"),
        ("float", False),
        ("float", float("inf")),
        ("float", float("nan")),
        ("float", 10**309),
        ("boolean", 1),
        ("boolean", "true"),
        ("date", 20240229),
        ("date", "2023-02-29"),
        ("date", "2024-2-9"),
        ("date", "20240229"),
        ("date", "2024-W09-4"),
        ("date", "0000-01-01"),
        ("date", "2024-02-29T00:00:00Z"),
        ("date", "2024-02-29\n"),
        ("date", "２０２４-02-29"),
        ("timestamp", 1714555800),
        ("timestamp", "2024-02-30T10:00Z"),
        ("timestamp", "2024-05-01T24:00Z"),
        ("timestamp", "2024-05-01T09:30:60Z"),
        ("timestamp", "2024-05-01T09"),
        ("timestamp", "2024-05-01T09:30+24:00"),
        ("timestamp", "2024-05-01T09:30:15.1234567890Z"),
        ("timestamp", "2024-05-01x09:30"),
        ("timestamp", "0001-01-01T00:00+05:00"),
        ("timestamp", "9999-12-31T23:00-05:00"),
        ("timestamp", "yesterday"),
        *((type_, value) for type_ in TYPES for value in ([], {}, [1], b"x")),
    ],
)
def test_value_that_does_not_fit_is_refused_by_name(type_: fields.FieldType, value: Any) -> None:
    assert fields.convert(value, type_) is None
    with pytest.raises(InvalidInput, match=r"^field 'field' is .*; got "):
        fields.check({"field": value}, {"field": type_})


def test_missing_key_and_null_fit_every_type() -> None:
    fields.check({"date": None}, {"date": "date", "year": "integer"})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("2020", "got the text '2020'"),
        ("x" * 41, "got the text '" + "x" * 40 + "...'"),
        (2020.5, "got the number 2020.5"),
        pytest.param(10**5000, "got a number beyond 64 bits", id="5000 digits"),  # str() would raise ValueError
        (True, "got true"),
        ([1], "got a list"),
        ({"a": 1}, "got an object"),
        (b"x", "got a value of type bytes"),
    ],
)
def test_refusal_says_what_it_got(value: Any, words: str) -> None:
    with pytest.raises(InvalidInput) as error:
        fields.check({"year": value}, {"year": "integer"})
    assert str(error.value) == f"field 'year' is an integer; {words}"


@given(json, st.sampled_from(TYPES))
def test_no_json_value_makes_the_check_fail_otherwise(value: Any, type_: fields.FieldType) -> None:
    try:
        fields.check({"x": value}, {"x": type_})
    except InvalidInput as error:
        assert str(error).startswith("field 'x' is ")


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_moment_of_python_is_a_timestamp(moment: datetime) -> None:
    assert fields.convert(moment.isoformat(), "timestamp") == moment


@pytest.mark.parametrize("type_", TYPES)
def test_column_tells_its_field_type(type_: fields.FieldType) -> None:
    assert fields.type_of(sa.column("field_1", fields.sql_type(type_))) == type_


@pytest.mark.parametrize("type_", TYPES)
def test_generated_column_is_stored_and_has_the_type_of_its_field(type_: fields.FieldType) -> None:
    column = fields.generated_column(7, "year", type_)
    assert (column.name, fields.type_of(column)) == ("field_7", type_)
    assert column.computed is not None and column.computed.persisted


def test_generated_column_quotes_the_key() -> None:
    table = sa.Table("chunks", sa.MetaData(), fields.generated_column(3, "year", "boolean"))
    ddl = str(CreateColumn(table.c.field_3).compile(dialect=postgresql.dialect()))
    assert ddl == (
        "field_3 BOOLEAN GENERATED ALWAYS AS (CASE WHEN (jsonb_typeof(metadata -> 'year') = 'boolean') "
        "THEN CAST(metadata -> 'year' AS BOOLEAN) END) STORED"
    )


@pytest.mark.parametrize("name", ["a'b", "x') STORED, y int --", "a\\", "%s", "text"])
def test_generated_column_of_a_name_that_is_no_field_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        fields.generated_column(1, name, "text")
