"""No string of a user becomes SQL text, neither as key nor as value nor as pattern."""

from __future__ import annotations

import json
import random
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from semsearch import filters
from tests.filtering.table import COLUMNS
from tests.filtering.templates import Templates, filled, first_difference, holes, hostile

DIALECT = postgresql.psycopg.dialect()  # type: ignore[attr-defined]


def compiled(filter: dict[str, Any]) -> Any:
    return filters.compile(filters.parse(filter), COLUMNS).compile(dialect=DIALECT)


@settings(max_examples=400, deadline=None)
@given(st.randoms(use_true_random=False))
def test_other_strings_and_numbers_leave_the_sql_the_same(source: random.Random) -> None:
    template = Templates(source).filter()
    assert first_difference(template, source, COLUMNS, DIALECT) is None


def test_string_in_the_sql_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy import literal_column

    from semsearch.filters import compiler

    monkeypatch.setattr(compiler, "_value", lambda metadata, key: literal_column(f"metadata -> '{key}'"))
    source = random.Random(1)
    assert any(first_difference(Templates(source).filter(), source, COLUMNS, DIALECT) for _ in range(100))


def test_sql_is_made_of_few_characters() -> None:
    source = random.Random(2)
    allowed = set(string.ascii_letters + string.digits + "_ .@>-:%()[]<=#'{},\"^~+|\n")
    for _ in range(200):
        template = Templates(source).filter()
        assert set(str(compiled(filled(template, hostile(holes(template), source))))) <= allowed


def test_canary_strings_are_in_the_parameters_only() -> None:
    written: dict[str, Any] = {
        "canary_key": "canary_value",
        "canary_a.canary_b": {"$in": ["canary_1", None], "$exists": True, "$gt": "canary_2", "$ne": "canary_3"},
        "$not": {"lang": {"$in": ["canary_4", "canary_5"]}},
        "canary_c": {"$like": "canary_6", "$ilike": "canary_7", "$regex": "canary_8", "$starts_with": "canary_9"},
        "canary_d": {"$contains": "canary_10", "$contains_any": ["canary_11"], "$between": ["canary_12", "canary_13"]},
        "canary_e": {"$size": 1, "$empty": True, "$null": False},
        "$id": {"$ne": "canary_14", "$in": ["canary_15"], "$starts_with": "canary_16"},
        "$text": {"$match": "canary_17", "$phrase": "canary_18", "$contains": "canary_19"},
    }
    result = compiled(written)
    assert "canary" not in str(result)
    bound = json.dumps(list(result.params.values()))
    assert all(f"canary_{name}" in bound for name in ("key", "value", *"abcde", *map(str, range(1, 20))))


def test_sql_of_single_conditions_has_finitely_many_shapes() -> None:
    """Five kinds of value and as many keys as you like: the shapes are counted, not sampled."""
    values = ["x", 5, 2.5, True, None]
    operators: list[dict[str, Any]] = [{op: value} for op in ("$eq", "$ne") for value in values]
    operators += [{op: value} for op in ("$gt", "$gte", "$lt", "$lte") for value in values[:3]]
    operators += [{op: values[:count]} for op in ("$in", "$nin") for count in range(5)]
    operators += [{op: value} for op in ("$exists", "$null", "$empty") for value in (True, False)]
    operators += [{op: "x"} for op in ("$like", "$ilike", "$starts_with", "$regex")]
    operators += [{"$contains": value} for value in values]
    operators += [{f"$contains_{which}": values[:count]} for which in ("any", "all", "none") for count in range(5)]
    operators += [{"$size": {op: 1}} for op in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")]
    shapes = {str(compiled({key: each})) for key in ("a", "another key", "'; --") for each in operators}
    # @>, and not: 2; four orders of numbers and of texts: 8; @> ANY, and not: 2; false, and not: 2; exists, and not: 2;
    # empty, and not: 2; patterns: 4; five comparisons of a length, and not equal: 6. Null and contains are @> again.
    assert len(shapes) == 28
