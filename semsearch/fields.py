"""The declared metadata fields of a collection: their types, and the typed columns they are kept in.

A declared field is a key of the metadata whose values are also stored in a column of their own, with an index and
statistics, so that filters on it are fast. A document may lack the key or hold null there; any other value must fit:

| type | fits | column |
|---|---|---|
| text | text of at most 1,024 bytes (an index entry has 2,704) | `text COLLATE "C"`: ordered by code point |
| integer | a number without a fraction, of 64 bits: 2020 and 2020.0 | `bigint` |
| float | any number of double precision | `double precision` |
| boolean | true, false | `boolean` |
| date | `YYYY-MM-DD` | `date` |
| timestamp | ISO 8601: `2024-05-01T09:30:00Z`, `2024-05-01 09:30+02:00`, `2024-05-01`; no zone is UTC | `timestamptz` |

`convert` here, and the expressions of `generated_column` with semsearch.to_date and semsearch.to_timestamp in the
database, say the same thing twice: the tests compare them.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.dialects.postgresql import JSONB

from semsearch.errors import InvalidInput

FieldType = Literal["text", "integer", "float", "boolean", "date", "timestamp"]
Value = str | int | float | date | datetime

MAX_FIELDS = 64
MAX_TEXT_BYTES = 1024
RESERVED = frozenset({
    "document_id", "ordinal", "text", "metadata", "heading", "embedding", "distance", "start", "end", "terms",
})  # fmt: skip

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,47}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?(Z|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)?)?"
)

_PHRASES: dict[FieldType, str] = {
    "text": "a text of at most 1,024 bytes",
    "integer": "an integer",
    "float": "a number",
    "boolean": "true or false",
    "date": "a date (YYYY-MM-DD)",
    "timestamp": "a timestamp (ISO 8601, such as 2024-05-01T09:30:00Z)",
}
_SQL_TYPES: dict[FieldType, sa.types.TypeEngine[Any]] = {
    "text": sa.Text(collation="C"),
    "integer": sa.BigInteger(),
    "float": sa.Double(),
    "boolean": sa.Boolean(),
    "date": sa.Date(),
    "timestamp": sa.DateTime(timezone=True),
}

# Outside of these PostgreSQL's cast to double precision raises: less than the smallest double becomes zero, more than
# what still rounds to the largest (1.7976931348623157e308, IEEE 754 binary64) infinity.
_SMALLEST = Decimal("5e-324")
_LARGEST = Decimal("1.7976931348623158e308")


def validate(declared: Mapping[str, str]) -> dict[str, FieldType]:
    """The fields as declared, checked: names, number, types. Raises InvalidInput."""
    if not isinstance(declared, Mapping):
        raise InvalidInput(f"fields are a mapping of names to types, such as {{'year': 'integer'}}; got {declared!r}.")
    if len(declared) > MAX_FIELDS:
        raise InvalidInput(f"a collection has at most {MAX_FIELDS} fields; got {len(declared)}.")
    return {_name(name): _type(name, type_) for name, type_ in declared.items()}


def _name(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInput(
            f"field name {name!r} will not do: use a letter, then up to 47 letters, digits and underscores."
        )
    if name in RESERVED:
        raise InvalidInput(f"field name {name!r} is taken by a column of the collection's view; choose another.")
    return name


def _type(name: str, type_: Any) -> FieldType:
    known: tuple[FieldType, ...] = get_args(FieldType)
    for each in known:
        if type_ == each:
            return each
    near = difflib.get_close_matches(str(type_), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(known)}."
    raise InvalidInput(f"field {name!r} has the unknown type {type_!r}: {hint}")


def check(metadata: Mapping[str, Any], declared: Mapping[str, FieldType]) -> None:
    """Raise InvalidInput at the first declared field whose value does not fit; a missing key or null does."""
    for name, type_ in declared.items():
        value = metadata.get(name)
        if value is not None and convert(value, type_) is None:
            raise InvalidInput(misfit(name, type_, value))


def misfit(name: str, type_: FieldType, value: Any) -> str:
    """The sentence that says which value does not fit which field."""
    return f"field {name!r} is {_PHRASES[type_]}; got {describe(value)}"


def describe(value: Any) -> str:
    """A JSON value in words, short enough for a message whatever it is."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() if not -(2**63) <= value < 2**63:  # str() of more than 4,300 digits raises ValueError
            return "a number beyond 64 bits"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value!r}" if len(value) <= 40 else f"the text {value[:40] + '...'!r}"
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
        case _:
            return f"a value of type {type(value).__name__}"


def convert(value: Any, type_: FieldType) -> Value | None:
    """A JSON value as the field's column holds it; None where it does not fit."""
    match type_:
        case "text":
            return value if isinstance(value, str) and fits(value, MAX_TEXT_BYTES) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            return _date(value) if isinstance(value, str) else None
        case "timestamp":
            return _timestamp(value) if isinstance(value, str) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return _integer(value) if type_ == "integer" else _float(value)


def fits(text: str, limit: int) -> bool:
    """Whether the text has at most so many bytes in UTF-8."""
    return len(text) <= limit and len(text.encode(errors="surrogatepass")) <= limit


def _integer(value: float) -> int | None:
    if isinstance(value, float):
        if not value.is_integer():  # neither are nan and inf
            return None
        # The digits of the JSON: 1.978422945128579e+16 ends in 790 there, as a double in 792.
        value = int(Decimal(float.__repr__(value)))
    return int(value) if -(2**63) <= value < 2**63 else None


def _float(value: float) -> float | None:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(value) if abs(value) <= _LARGEST else None


def _date(value: str) -> date | None:
    try:
        return date.fromisoformat(value) if _DATE.fullmatch(value) else None
    except ValueError:  # 30 February
        return None


def _timestamp(value: str) -> datetime | None:
    if not _TIMESTAMP.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # 30 February; a zone that leads out of the years 1 to 9999
        return None


def sql_type(type_: FieldType) -> sa.types.TypeEngine[Any]:
    """The type of the column that holds such a field."""
    return _SQL_TYPES[type_]


def type_of(column: ColumnElement[Any]) -> FieldType:
    """The declared type that such a column holds: `sql_type` read backwards."""
    return next(type_ for type_, sql in _SQL_TYPES.items() if isinstance(column.type, type(sql)))


def generated_column(number: int, name: str, type_: FieldType) -> sa.Column[Any]:
    """The column `field_<number>`, kept by PostgreSQL equal to that key of the column `metadata`.

    It is NULL where the key is missing, null or of another type; no value of the metadata makes it raise.
    """
    made = _generated(sa.column("metadata", JSONB()), _name(name), type_)
    return sa.Column(f"field_{number}", sql_type(type_), sa.Computed(made, persisted=True))


def expression(metadata: ColumnElement[Any], name: str, type_: FieldType) -> ColumnElement[Any]:
    """The same value without a column to hold it, for an index on the expression and the filters that it serves."""
    made = sa.type_coerce(_generated(metadata, _name(name), type_), sql_type(type_))
    return sa.type_coerce(sa.collate(made, "C"), sql_type(type_)) if type_ == "text" else made


def _generated(metadata: ColumnElement[Any], name: str, type_: FieldType) -> ColumnElement[Any]:
    item = metadata.op("->", return_type=JSONB())(sa.literal_column(f"'{name}'", sa.Text()))
    text = item.op("#>>", return_type=sa.Text())(sa.literal_column("'{}'"))
    number = sa.cast(item, sa.Numeric())
    match type_:
        case "text":
            return _when(item, "string", sa.case((sa.func.octet_length(text) <= MAX_TEXT_BYTES, text)))
        case "boolean":
            return _when(item, "boolean", sa.cast(item, sa.Boolean()))
        case "date":
            return sa.func.semsearch.to_date(item, type_=sa.Date())
        case "timestamp":
            return sa.func.semsearch.to_timestamp(item, type_=sa.DateTime(timezone=True))
    if type_ == "integer":
        held = (number == sa.func.trunc(number)) & number.between(-(2**63), 2**63 - 1)
    else:
        held = (number == 0) | sa.func.abs(number).between(_SMALLEST, _LARGEST)
    return _when(item, "number", sa.case((held, sa.cast(number, sql_type(type_)))))


def _when(item: ColumnElement[Any], json_type: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
    # CASE, because AND promises no order of evaluation and the casts raise on other types.
    return sa.case((sa.func.jsonb_typeof(item) == json_type, value))
