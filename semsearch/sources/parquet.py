"""Parquet files as documents, read a batch of rows at a time."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from semsearch.records import Document
from semsearch.sources import rows
from semsearch.sources.source import Broken, Options, Place, Unreadable

BATCH_ROWS = 1_000


def read(content: BinaryIO, place: Place, options: Options) -> Iterator[Document | Broken]:
    """A document for each row. Nulls are left out of the metadata; times become ISO 8601 text, decimals numbers."""
    return rows.documents(_rows(content, place), options)


def count(content: BinaryIO) -> int | None:
    """How many rows the file says it holds; None where it cannot be read."""
    try:
        return int(_open(content).metadata.num_rows)
    except Unreadable:
        return None


def _rows(content: BinaryIO, place: Place) -> Iterator[tuple[str, rows.Row | Unreadable]]:
    number = 0
    file = _open(content)
    try:
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            for row in _whole_microseconds(batch).to_pylist():
                number += 1
                yield f"{place.where}:{number}", _row(row)
    except (OSError, ValueError, NotImplementedError) as error:  # pyarrow's errors are subclasses of these
        raise Unreadable(f"cannot be read as Parquet after row {number:,}: {_brief(error)}") from None


def _open(content: BinaryIO) -> Any:
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(content)
    except (OSError, ValueError, NotImplementedError) as error:
        raise Unreadable(f"cannot be read as Parquet: {_brief(error)}") from None


def _whole_microseconds(batch: Any) -> Any:
    """Python's datetime holds no nanoseconds, and pyarrow refuses to drop them unasked."""
    import pyarrow

    for at, field in enumerate(batch.schema):
        if pyarrow.types.is_timestamp(field.type) and field.type.unit == "ns":
            times = batch.column(at).cast(pyarrow.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(at, field.name, times)
    return batch


def _row(row: Mapping[str, Any]) -> rows.Row:
    plain = ((name, _plain(value)) for name, value in row.items())
    return {name: value for name, value in plain if value is not None and not name.startswith("__index_level_")}


def _plain(value: Any) -> Any:
    """The value as JSON knows it; None for what JSON has no word for."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, bytes) else str(value)


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
