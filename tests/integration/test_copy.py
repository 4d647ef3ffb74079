"""Binary COPY into a real table: PostgreSQL and pgvector read back what was written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.sql import Identifier
from sqlalchemy import Connection

from semsearch import Document, cleaning
from semsearch.database import Database
from semsearch.store import binary_copy, nearest

COLUMNS = ("position", "body", "optional", "data", "metadata", "embedding", "half")
texts = st.text(st.characters(), max_size=30)  # NUL and surrogates included: cleaning is part of the way
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | texts
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
# Every finite half: 0x7BFF is the largest, and the sign is the topmost bit.
halves = st.builds(
    lambda bits, sign: float(np.uint16(bits | sign).view(np.float16)),
    st.integers(0, 0x7BFF),
    st.sampled_from([0, 0x8000]),
)
rows = st.tuples(
    texts,
    st.none() | texts,
    st.binary(max_size=20),
    st.dictionaries(texts, values, max_size=3),
    st.lists(floats, min_size=3, max_size=3),
    st.lists(halves, min_size=3, max_size=3),
)


@pytest.fixture(scope="module")
def stage(module_db: Database) -> Iterator[Connection]:
    with module_db._pools.writing.connect() as connection:
        connection.exec_driver_sql(
            "CREATE TEMPORARY TABLE stage (position int, body text, optional text, data bytea, metadata jsonb, "
            "embedding vector(3), half halfvec(3))"
        )
        connection.commit()
        yield connection


def numbers_as_floats(value: Any) -> Any:
    """jsonb keeps digits, not types: 3.7e16 comes back as the whole number 37000000000000000."""
    return json.loads(json.dumps(value), parse_int=float)


def encode(position: int, row: Any) -> tuple[list[bytes], Document]:
    body, optional, data, metadata, embedding, half = row
    document = cleaning.document(Document("a", body, metadata, title=optional), {})
    return [
        binary_copy.integer(position),
        binary_copy.text(document.text),
        binary_copy.text(document.title),
        binary_copy.data(data),
        binary_copy.jsonb(document.metadata),
        binary_copy.vector(np.array(embedding, np.float32), "vector"),
        binary_copy.vector(np.array(half, np.float32), "halfvec"),
    ], document


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(rows, max_size=10))
def test_every_row_comes_back_as_it_was_written(stage: Connection, written: list[Any]) -> None:
    encoded = [encode(position, row) for position, row in enumerate(written)]
    with stage.begin() as transaction:
        binary_copy.load(stage, Identifier("pg_temp", "stage"), COLUMNS, (values for values, _ in encoded))
        found = stage.exec_driver_sql("SELECT * FROM pg_temp.stage ORDER BY position").all()
        transaction.rollback()
    assert len(found) == len(written)
    for row, (_, document), original in zip(found, encoded, written, strict=True):
        assert (row.body, row.optional, bytes(row.data)) == (document.text, document.title, original[2])
        assert numbers_as_floats(row.metadata) == numbers_as_floats(document.metadata)
        assert np.array_equal(nearest.array(row.embedding), np.array(original[4], np.float32))
        assert np.array_equal(nearest.array(row.half), np.array(original[5], np.float16).astype(np.float32))


def test_what_half_precision_cannot_hold_is_refused_by_the_server(stage: Connection) -> None:
    """That is why it is looked at before: here it would take the whole batch along."""
    with np.errstate(over="ignore"):
        values, _ = encode(1, ("x", None, b"", {}, [1, 2, 3], [70000, 0, 0]))
    with pytest.raises(psycopg.DataError, match="infinite"), stage.begin():
        binary_copy.load(stage, Identifier("pg_temp", "stage"), COLUMNS, [values])
