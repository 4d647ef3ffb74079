"""What is read from the database for a pool of hits: values of boosts, neighbours; and for a query: facets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import ColumnElement, Engine, event

from semsearch import Document, filters
from semsearch.collection import Collection
from semsearch.database import Database
from semsearch.errors import InvalidInput
from semsearch.ranking import boost_syntax
from semsearch.store import boosting, facets, neighbours, spaces
from semsearch.store.facets import Facet
from semsearch.store.neighbours import Neighbour
from semsearch.store.spaces import Space

FIELDS = {
    "lang": "text",
    "year": "integer",
    "price": "float",
    "free": "boolean",
    "day": "date",
    "at": "timestamp",
}
LATELY = (datetime.now(UTC) - timedelta(days=30)).isoformat(timespec="seconds")
METADATA: dict[str, dict[str, Any]] = {
    "a": {"lang": "en", "year": 2024, "price": 10, "free": True, "day": "2024-05-01", "at": LATELY},
    "b": {"lang": "en", "year": 2020, "price": 2.5, "day": "2024-05-11", "tags": ["x", "y", "x"], "deep": {"n": 7}},
    "c": {"lang": "de", "year": None, "price": 1e300, "day": None, "tags": ["y"], "deep": {"n": 7.0}, "odd": {"k": 1}},
    "d": {"lang": "fr", "at": "2024-05-01T02:30:00+02:00", "tags": "y", "deep": {"n": True}, "odd": []},
    "e": {"tags": [1, [2], None], "deep": {"n": "7"}, "odd": None},
}
KEYS = [(id, 0) for id in METADATA]


@pytest.fixture(scope="module")
def collection(module_db: Database) -> Collection:
    """Five documents; the texts of their chunks are "a0" ... "a5", "b0", ... , and only a has more than one."""
    made = module_db.create_collection("ranked", dimensions=2, fields=FIELDS)
    made.put(
        [Document(id, f"{id}0", metadata=metadata, embedding=[1, 0]) for id, metadata in METADATA.items()],
    )
    table = made._space.table_name
    more = (
        f'INSERT INTO semsearch.{table} (document_id, ordinal, start, "end", hash, heading, embedding, text, metadata)'
        " SELECT 'a', n, n * 10, n * 10 + 2, hash, 'A > ' || n, embedding, 'a' || n, metadata"
        f" FROM semsearch.{table}, generate_series(1, 5) AS n WHERE document_id = 'a'"
    )
    with module_db._pools.writing.begin() as connection:
        connection.exec_driver_sql(more)
    return made


@pytest.fixture
def engine(module_db: Database) -> Engine:
    return module_db._pools.searching


@pytest.fixture
def space(collection: Collection) -> Space:
    return collection._space


@pytest.fixture
def statements(engine: Engine) -> Any:
    """What was sent."""
    sent: list[str] = []

    def remember(*arguments: Any) -> None:
        sent.append(arguments[2])

    event.listen(engine, "before_cursor_execute", remember)
    yield sent
    event.remove(engine, "before_cursor_execute", remember)


Values = Callable[..., Any]


@pytest.fixture
def values(engine: Engine, space: Space) -> Values:
    def values(*boosts: dict[str, Any], keys: list[tuple[str, int]] = KEYS) -> Any:
        return boosting.values(engine, space, keys, boost_syntax.parse(list(boosts), space.field_types))

    return values


def condition(space: Space, filter: dict[str, Any]) -> ColumnElement[bool]:
    return filters.compile(filters.parse(filter), spaces.filter_columns(space))


def decay(field: str, **parts: Any) -> dict[str, Any]:
    return {"field": field, "decay": "linear", "weight": 1} | parts


def test_boosts_of_declared_numbers(values: Values) -> None:
    found = values(decay("year", origin=2024, scale=4), decay("price", origin=10, scale=15))
    assert found.dtype == np.float64
    assert found.tolist() == [[1, 1], [0.5, 0.75], [0, 0], [0, 0], [0, 0]]


def test_boosts_of_dates_and_timestamps(values: Values) -> None:
    found = values(
        decay("day", origin="2024-05-01", scale="10d"),
        decay("at", origin="2024-05-01", scale="1h"),
        decay("at", origin="2024-05-01T00:00:00Z", offset="30m", scale="1h"),
    )
    assert found.tolist() == [[1, 0, 0], [0.5, 0, 0], [0, 0, 0], [0, 0.75, 1], [0, 0, 0]]


def test_now_is_the_clock_of_the_database(values: Values) -> None:
    found = values(decay("at", decay="exp", scale="30d"), decay("at", decay="exp", scale="30d", offset="31d"))
    assert found[0] == pytest.approx([0.5, 1], abs=0.01)
    assert found[4].tolist() == [0, 0]


def test_boosts_of_keys_that_are_not_declared_count_numbers_only(values: Values) -> None:
    assert values(decay("deep.n", origin=9, scale=4)).tolist() == [[0], [0.75], [0.75], [0], [0]]
    assert values(decay("tags", origin=1, scale=1), decay("deep", origin=1, scale=1)).tolist() == [[0, 0]] * 5


def test_boosts_by_filter(values: Values) -> None:
    found = values(
        {"filter": {"lang": "en"}, "weight": 1},
        {"filter": {"lang": {"$ne": "en"}, "year": {"$exists": True}}, "weight": 1},
        {"filter": {"tags": "y"}, "weight": 1},
    )
    assert found[:, :2].tolist() == [[1, 0], [1, 0], [0, 1], [0, 0], [0, 0]]
    assert found[3, 2] == 1 and found[0, 2] == 0


def test_boosts_are_in_the_order_of_the_hits_with_zeros_for_what_is_gone(values: Values) -> None:
    keys = [("b", 0), ("gone", 0), ("a", 3), ("b", 7), ("a", 0), ("b", 0)]
    found = values(decay("year", origin=2024, scale=4), {"filter": {}, "weight": 1}, keys=keys)
    assert found.tolist() == [[0.5, 1], [0, 0], [1, 1], [0, 0], [1, 1], [0.5, 1]]


def test_a_boost_whose_filter_does_not_fit_names_its_place(values: Values) -> None:
    with pytest.raises(InvalidInput, match=r"^boosts\[1\]\.filter\.year: field 'year' is an integer"):
        values({"filter": {}, "weight": 1}, {"filter": {"year": "new"}, "weight": 1})


def test_boosts_take_one_statement_and_none_without_hits(values: Values, statements: list[str]) -> None:
    assert values(decay("year", origin=1, scale=1), keys=[]).shape == (0, 1)
    assert values().shape == (5, 0)
    assert statements == []
    values(decay("year", origin=1, scale=1), {"filter": {"lang": "en"}, "weight": 1})
    assert len(statements) == 1


def test_neighbours_are_the_chunks_before_and_after(engine: Engine, space: Space) -> None:
    around = neighbours.around(engine, space, [("a", 2), ("b", 0), ("a", 5)], 2)

    def near(ordinal: int) -> Neighbour:
        start = ordinal * 10
        return Neighbour(ordinal, start, start + 2, f"A > {ordinal}" if ordinal else "", f"a{ordinal}")

    assert around == {
        ("a", 2): ((near(0), near(1)), (near(3), near(4))),
        ("b", 0): ((), ()),
        ("a", 5): ((near(3), near(4)), ()),
    }


def test_neighbours_take_one_statement_and_none_without_hits(
    engine: Engine, space: Space, statements: list[str]
) -> None:
    assert neighbours.around(engine, space, [], 1) == {}
    assert statements == []
    assert neighbours.around(engine, space, [("a", 0), ("gone", 1), ("a", 0)], 10)["gone", 1] == ((), ())
    assert len(statements) == 1


@pytest.mark.parametrize("number", [0, 11, True, 1.5, "2"])
def test_a_number_of_neighbours_outside_of_1_to_10_is_refused(engine: Engine, space: Space, number: Any) -> None:
    with pytest.raises(InvalidInput, match="neighbours are a whole number from 1 to 10 on each side"):
        neighbours.around(engine, space, KEYS, number)


def test_facets_count_documents_most_frequent_first(engine: Engine, space: Space) -> None:
    found = facets.counts(engine, space, ["lang", "year", "price", "free"])
    assert found == {
        "lang": Facet((("en", 2), ("de", 1), ("fr", 1)), distinct=3, missing=1),
        "year": Facet(((2020, 1), (2024, 1)), distinct=2, missing=3),
        "price": Facet(((2.5, 1), (10, 1), (10**300, 1)), distinct=3, missing=2),
        "free": Facet(((True, 1),), distinct=1, missing=4),
    }
    assert not found["lang"].more


def test_facets_of_moments_are_iso_text_that_filters_understand(engine: Engine, space: Space) -> None:
    found = facets.counts(engine, space, ["day", "at"], condition(space, {"year": {"$exists": False}}))
    assert found["at"] == Facet((("2024-05-01T00:30:00", 1),), distinct=1, missing=1)
    assert facets.counts(engine, space, ["day"])["day"].values == (("2024-05-01", 1), ("2024-05-11", 1))
    again = condition(space, {"at": found["at"].values[0][0]})
    assert facets.counts(engine, space, ["lang"], again)["lang"].values == (("fr", 1),)


def test_facets_count_each_value_of_a_list_once_a_document(engine: Engine, space: Space) -> None:
    assert facets.counts(engine, space, ["tags"]) == {"tags": Facet((("y", 3), ("x", 1), (1, 1)), 3, missing=1)}


def test_facets_reach_into_objects(engine: Engine, space: Space) -> None:
    assert facets.counts(engine, space, ["deep.n"])["deep.n"] == Facet(
        ((7, 2), ("7", 1), (True, 1)), distinct=3, missing=1
    )


def test_objects_empty_lists_and_null_are_missing(engine: Engine, space: Space) -> None:
    assert facets.counts(engine, space, ["odd", "nothing"]) == {"odd": Facet((), 0, 5), "nothing": Facet((), 0, 5)}


@pytest.mark.parametrize("name", ["lang", "tags"])
def test_facets_say_that_there_are_more_values(engine: Engine, space: Space, name: str) -> None:
    found = facets.counts(engine, space, [name], limit=1)[name]
    assert (len(found.values), found.distinct, found.missing, found.more) == (1, 3, 1, True)
    assert found.values[0][1] == {"lang": 2, "tags": 3}[name]


def test_facets_of_what_matches_nothing_are_empty(engine: Engine, space: Space) -> None:
    assert facets.counts(engine, space, ["lang"], condition(space, {"lang": "xx"})) == {"lang": Facet((), 0, 0)}


def test_a_condition_on_the_text_of_chunks_counts_a_document_once(engine: Engine, space: Space) -> None:
    chunks = spaces.queried(space)
    some = chunks.c.text.in_(["a2", "a3", "b0"])
    found = facets.counts(engine, space, ["lang", "tags"], some, by_chunk=True)
    assert found["lang"] == Facet((("en", 2),), distinct=1, missing=0)
    assert found["tags"] == Facet((("x", 1), ("y", 1)), distinct=2, missing=1)


def test_facets_take_one_statement(engine: Engine, space: Space, statements: list[str]) -> None:
    assert facets.counts(engine, space, []) == {}
    assert statements == []
    facets.counts(engine, space, ["lang", "tags", "day", "lang"])
    assert len(statements) == 1


@pytest.mark.parametrize(
    ("names", "limit", "message"),
    [
        ("lang", 10, "facets are a list of at most 16 fields or keys"),
        ([f"k{n}" for n in range(17)], 10, "facets are a list of at most 16 fields or keys"),
        (["lang", 5], 10, r"^facets\[1\]: keys are text; got the number 5"),
        (["a."], 10, r"^facets\[0\]: dots join the keys"),
        (["lang"], 0, "a facet lists from 1 to 1000 values; got the number 0"),
        (["lang"], 1001, "a facet lists from 1 to 1000 values"),
        (["lang"], True, "a facet lists from 1 to 1000 values"),
    ],
)
def test_facets_that_cannot_be_counted_are_refused(
    engine: Engine, space: Space, names: Any, limit: Any, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        facets.counts(engine, space, names, limit=limit)
