"""The bytes of PostgreSQL's binary COPY format, read back by the rules of its documentation."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semsearch.store import binary_copy

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)


def content(value: bytes) -> bytes:
    """The bytes of a value after its length, which must be right."""
    (length,) = struct.unpack(">i", value[:4])
    assert length == len(value) - 4
    return value[4:]


@given(texts)
def test_text_is_utf8(value: str) -> None:
    assert content(binary_copy.text(value)).decode() == value


def test_null_has_the_length_minus_one() -> None:
    assert binary_copy.text(None) == binary_copy.vector(None, "vector") == struct.pack(">i", -1)


@given(st.integers(-(2**31), 2**31 - 1))
def test_integer_is_four_bytes_big_endian(value: int) -> None:
    assert struct.unpack(">i", content(binary_copy.integer(value))) == (value,)


def test_data_is_itself() -> None:
    assert content(binary_copy.data(b"\x00\xff")) == b"\x00\xff"


@given(
    st.dictionaries(
        texts, texts | st.integers() | st.none() | st.lists(st.floats(allow_nan=False, allow_infinity=False))
    )
)
def test_jsonb_is_version_1_and_the_text(value: dict[str, Any]) -> None:
    encoded = content(binary_copy.jsonb(value))
    assert encoded[0] == 1
    assert json.loads(encoded[1:]) == value


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_a_vector_is_its_dimensions_and_big_endian_floats(values: list[float]) -> None:
    encoded = content(binary_copy.vector(np.array(values, np.float32), "vector"))
    assert struct.unpack(">hh", encoded[:4]) == (len(values), 0)
    assert np.array_equal(np.frombuffer(encoded[4:], ">f4"), np.array(values, np.float32))


@given(st.lists(st.floats(width=16, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_a_halfvec_has_half_as_many_bytes(values: list[float]) -> None:
    encoded = content(binary_copy.vector(np.array(values, np.float32), "halfvec"))
    assert struct.unpack(">hh", encoded[:4]) == (len(values), 0)
    assert np.array_equal(np.frombuffer(encoded[4:], ">f2"), np.array(values, np.float16))


@pytest.mark.parametrize("vector_type", ["vector", "halfvec"])
def test_many_vectors_are_each_as_one(vector_type: str) -> None:
    many = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
    assert binary_copy.vectors(many, vector_type) == [binary_copy.vector(each, vector_type) for each in many]
    assert binary_copy.vectors(many[:0], vector_type) == []


@given(st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=4), max_size=20), st.integers(1, 200))
def test_blocks_put_together_are_header_rows_and_trailer(rows: list[list[bytes]], block: int) -> None:
    before = binary_copy.BLOCK
    binary_copy.BLOCK = block
    try:
        blocks = list(binary_copy._blocks(iter([[binary_copy.data(value) for value in row] for row in rows])))
    finally:
        binary_copy.BLOCK = before
    stream = b"".join(blocks)
    assert stream[:19] == b"PGCOPY\n\xff\r\n\x00" + bytes(8)
    at, found = 19, []
    while (count := struct.unpack(">h", stream[at : at + 2])[0]) != -1:
        at, row = at + 2, []
        for _ in range(count):
            (length,) = struct.unpack(">i", stream[at : at + 4])
            row.append(stream[at + 4 : at + 4 + length])
            at += 4 + length
        found.append(row)
    assert (found, at + 2) == (rows, len(stream))
