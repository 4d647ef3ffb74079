"""What becomes of a document before it is stored: cleaned by documented rules, or refused by name."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from semsearch import Document, cleaning
from semsearch.errors import InvalidInput

any_text = st.text(st.characters(), max_size=50)  # surrogates and NUL included
nasty_text = st.text(st.sampled_from('a\x00\ud800\udfff\ufffd😀é\\"\n'), max_size=20)
numbers = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | any_text | nasty_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(nasty_text, inner, max_size=4),
    max_leaves=10,
)


def clean(item: Any, **declared: Any) -> Document:
    return cleaning.document(item, declared)


def metadata(value: Any) -> Any:
    return clean(Document("a", "x", value)).metadata


def storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


# Text


@given(any_text | nasty_text)
@example("\x00")
@example("\ud83d\ude00")  # the two halves of an emoji are still two lone surrogates in a Python string
def test_text_keeps_its_length_and_can_be_stored(text: str) -> None:
    cleaned = clean(Document("a", text, title=text)).text
    assert len(cleaned) == len(text)
    assert storable(cleaned)
    assert all(new in (old, "\ufffd") for old, new in zip(text, cleaned, strict=True))
    assert (cleaned == text) is storable(text)


def test_a_clean_document_is_handed_on_as_it_is() -> None:
    document = Document("a", "text", {"lang": "en", "year": 2024, "none": None, "flag": True}, title="T")
    assert clean(document) is document


def test_an_empty_title_is_none() -> None:
    assert clean(Document("a", "x", title="")).title is None
    assert clean(Document("a", "x", title="T\x00")).title == "T\ufffd"


def test_a_title_has_at_most_1000_characters() -> None:
    assert clean(Document("a", "x", title="é" * 1000)).title == "é" * 1000
    with pytest.raises(InvalidInput, match=r"document 'a': its title is longer than 1,000 characters: shorten it"):
        clean(Document("a", "x", title="x" * 1001))


def test_a_text_has_at_most_20_mb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "MAX_TEXT_BYTES", 40)
    assert clean(Document("a", "x" * 40)).text == "x" * 40
    assert clean(Document("a", "é" * 20)).text == "é" * 20  # two bytes each
    for text in ("x" * 41, "é" * 20 + "x", "😀" * 11):
        with pytest.raises(InvalidInput, match=r"document 'a': its text is longer than"):
            clean(Document("a", text))


# Id


@given(any_text | nasty_text)
def test_an_id_is_refused_exactly_when_it_cannot_be_stored(id: str) -> None:
    possible = bool(id) and storable(id)
    assert cleaning.is_id(id) is possible
    if possible:
        assert clean(Document(id, "x")).id == id
    else:
        with pytest.raises(InvalidInput, match="document id"):
            clean(Document(id, "x"))


@pytest.mark.parametrize(
    ("id", "possible"), [("x" * 1024, True), ("x" * 1025, False), ("é" * 512, True), ("é" * 513, False)]
)
def test_an_id_has_at_most_1024_bytes(id: str, possible: bool) -> None:
    assert cleaning.is_id(id) is possible


@pytest.mark.parametrize("id", [None, 7, b"a", ["a"]])
def test_an_id_is_text(id: Any) -> None:
    with pytest.raises(InvalidInput, match="document id"):
        clean(Document(id, "x"))


def test_a_long_id_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidInput) as raised:
        clean(Document("x" * 5000, "x"))
    assert len(str(raised.value)) < 250


# Mappings


def test_a_mapping_is_a_document() -> None:
    item = {"id": "a", "text": "x", "metadata": {"n": 1}, "title": "T", "format": "markdown", "embedding": [1.0]}
    assert clean(item) == Document("a", "x", {"n": 1}, "T", "markdown", [1.0])
    assert clean(MappingProxyType(item)) == clean(item)


@pytest.mark.parametrize("item", [None, 5, "text", ["a", "b"], ("a", "x"), object()])
def test_other_things_are_no_documents(item: Any) -> None:
    with pytest.raises(InvalidInput, match="a document is"):
        clean(item)


@pytest.mark.parametrize("item", [{}, {"id": "a"}, {"text": "x"}, {"id": "a", "text": "x", "page": 1}, {1: 2}])
def test_a_mapping_with_other_keys_names_those_it_has(item: Any) -> None:
    with pytest.raises(InvalidInput, match="got the keys"):
        clean(item)


@pytest.mark.parametrize(
    "wrong", [{"text": None}, {"text": b"x"}, {"title": 5}, {"format": "html"}, {"format": None}, {"metadata": None}]
)
def test_a_wrong_value_names_the_document(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="document 'a': "):
        clean({"id": "a", "text": "x", **wrong})


# Metadata


@given(st.dictionaries(any_text | nasty_text, json_values, max_size=5))
def test_metadata_is_json_that_postgresql_takes(value: dict[str, Any]) -> None:
    cleaned = metadata(value)
    encoded = json.dumps(cleaned, allow_nan=False)
    assert "\\u0000" not in encoded.replace("\\\\", "")
    assert storable(json.dumps(cleaned, ensure_ascii=False))
    assert metadata(cleaned) == cleaned
    if storable(json.dumps(value, ensure_ascii=False).replace("\\u0000", "\x00")):
        assert cleaned == value


@given(
    st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers() | st.none() | st.booleans(), max_size=5)
)
def test_the_quick_look_and_the_walk_agree(value: dict[str, Any]) -> None:
    assert metadata(value) == cleaning._value(value, 1)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"day": date(2024, 5, 1)}, {"day": "2024-05-01"}),
        ({"at": datetime(2024, 5, 1, 9, 30, tzinfo=UTC)}, {"at": "2024-05-01T09:30:00+00:00"}),
        ({"n": np.float32(0.5)}, {"n": 0.5}),
        ({"n": np.int64(7)}, {"n": 7}),
        ({"n": np.bool_(True)}, {"n": True}),
        ({"n": np.datetime64("2024-05-01")}, {"n": "2024-05-01"}),
        ({"t": (1, 2)}, {"t": [1, 2]}),
        ({"o": MappingProxyType({"a": 1})}, {"o": {"a": 1}}),
        ({"emoji": "😀"}, {"emoji": "😀"}),
        ({"escaped": "\\u0000 \\ud800"}, {"escaped": "\\u0000 \\ud800"}),
        ({"bad\x00key": {"\ud800": "\x00"}}, {"bad\ufffdkey": {"\ufffd": "\ufffd"}}),
        (OrderedDict(a=1), {"a": 1}),
        ({}, {}),
    ],
)
def test_what_json_has_another_word_for_is_translated(value: Any, kept: Any) -> None:
    assert metadata(value) == kept


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"n": math.nan}, "NaN"),
        ({"n": math.inf}, "infinity"),
        ({"deep": [{"n": -math.inf}]}, "infinity"),
        ({"n": 10**4301}, "4,300 digits"),
        ({"x": {1, 2}}, "holds a set"),
        ({"x": b"bytes"}, "holds a bytes"),
        ({"x": Decimal("1.5")}, "holds a Decimal"),
        ({"x": np.zeros(3)}, "holds a ndarray"),
        ({1: "x"}, "keys are text; got 1"),
        ({"inner": {1: "x"}}, "keys are text; got 1"),
        ({"inner": [{None: "x"}]}, "keys are text; got None"),
        ([("a", 1)], "metadata is a mapping; got list"),
        ("a", "metadata is a mapping; got str"),
        (None, "metadata is a mapping; got NoneType"),
    ],
)
def test_what_json_has_no_word_for_is_refused(value: Any, problem: str) -> None:
    with pytest.raises(InvalidInput, match=f"document 'a': .*{problem}"):
        metadata(value)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"x": value}
    return value


def test_metadata_is_at_most_16_levels_deep() -> None:
    assert metadata(nested(16)) == nested(16)
    for depth in (17, 100_000):
        with pytest.raises(InvalidInput, match="16 levels deep"):
            metadata(nested(depth))


def test_metadata_that_holds_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(InvalidInput, match="16 levels deep"):
        metadata(endless)


@pytest.mark.parametrize("character", ["x", "é", "\n", "😀"])
def test_metadata_has_at_most_64_kb_as_json(character: str) -> None:
    each = len(json.dumps(character)) - 2
    fits = (64 * 2**10 - len('{"k": ""}')) // each
    assert metadata({"k": character * fits}) == {"k": character * fits}
    with pytest.raises(InvalidInput, match="at most 65536 are kept"):
        metadata({"k": character * (fits + 1)})


def test_declared_fields_are_checked_by_name() -> None:
    assert clean(Document("a", "x", {"year": 2020}), year="integer").metadata == {"year": 2020}
    with pytest.raises(InvalidInput, match=r"document 'a': field 'year' is .*got the text '2020'"):
        clean(Document("a", "x", {"year": "2020"}), year="integer")
