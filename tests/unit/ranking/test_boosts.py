"""Boosts are read from JSON, or refused with the place of what is wrong; their curves are Elasticsearch's."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semsearch import filters
from semsearch.errors import InvalidInput
from semsearch.fields import FieldType
from semsearch.ranking.boost_syntax import parse
from semsearch.ranking.boosts import DecayBoost, FilterBoost, boosted

FIELDS: dict[str, FieldType] = {
    "published": "timestamp",
    "day": "date",
    "price": "float",
    "lang": "text",
    "free": "boolean",
}
DAY = 86_400.0


def decay(**changes: Any) -> dict[str, Any]:
    return {"field": "price", "scale": 10, "origin": 100, "weight": 1} | changes


def values(found: list[float], **changes: Any) -> list[float]:
    [boost] = parse([decay(**changes)], FIELDS)
    return boost.values(np.array(found), now=0.0).tolist()  # type: ignore[no-any-return]


def test_a_decay_is_read_with_its_defaults() -> None:
    assert parse([decay()], FIELDS) == (DecayBoost("price", "float", "exp", 100.0, 10.0, 0.0, 0.5, 1.0),)


def test_moments_are_seconds_and_their_origin_is_now() -> None:
    boost = {"field": "published", "decay": "gauss", "scale": "30d", "offset": "12h", "weight": -0.2}
    assert parse([boost], FIELDS) == (
        DecayBoost("published", "timestamp", "gauss", None, 30 * DAY, DAY / 2, 0.5, -0.2),
    )
    assert parse([boost | {"origin": "now"}], FIELDS) == parse([boost], FIELDS)


@pytest.mark.parametrize(
    ("origin", "moment"),
    [
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
        (date(2024, 5, 1), datetime(2024, 5, 1, tzinfo=UTC)),
        ("2024-05-01T02:00:00+02:00", datetime(2024, 5, 1, tzinfo=UTC)),
        (datetime(2024, 5, 1, 12), datetime(2024, 5, 1, 12, tzinfo=UTC)),
    ],
)
def test_an_origin_may_be_any_date_or_timestamp(origin: Any, moment: datetime) -> None:
    [boost] = parse([decay(field="day", scale="1w", origin=origin)], FIELDS)
    assert isinstance(boost, DecayBoost) and boost.origin == moment.timestamp()


@pytest.mark.parametrize(
    ("scale", "seconds"),
    [("90s", 90), ("2 m", 120), ("1.5h", 5400), ("30d", 30 * DAY), ("2w", 14 * DAY), (timedelta(days=2), 2 * DAY)],
)
def test_durations_have_a_unit(scale: Any, seconds: float) -> None:
    [boost] = parse([decay(field="day", scale=scale, origin="now")], FIELDS)
    assert isinstance(boost, DecayBoost) and boost.scale == seconds


def test_a_key_that_is_not_declared_holds_numbers() -> None:
    [boost] = parse([decay(field="a.b")], FIELDS)
    assert isinstance(boost, DecayBoost) and (boost.field, boost.type, boost.is_moment) == ("a.b", "float", False)


def test_a_filter_is_read() -> None:
    boosts = parse([{"filter": {"lang": "en"}, "weight": 0.3}], FIELDS)
    assert boosts == (FilterBoost(filters.parse({"lang": "en"}), 0.3),)
    assert boosts[0].values(np.array([1.0, 0.0, np.nan]), now=0.0).tolist() == [1, 0, 0]


# Worked out from Elasticsearch's formulas with lambda = ln(0.5) / 10, sigma^2 = -100 / (2 ln 0.5), s = 10 / 0.5.
@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ("exp", [1, 1, math.exp(math.log(0.5) / 10 * 5), 0.5, 0.25]),
        ("gauss", [1, 1, math.exp(-25 / (2 * (-100 / (2 * math.log(0.5))))), 0.5, 0.0625]),
        ("linear", [1, 1, (20 - 5) / 20, 0.5, 0]),
    ],
)
def test_curves_are_those_of_elasticsearch(curve: str, expected: list[float]) -> None:
    assert values([100, 102, 93, 112, 122], decay=curve, offset=2) == pytest.approx(expected)
    assert values([100, 98, 107, 88, 78], decay=curve, offset=2) == pytest.approx(expected)


@pytest.mark.parametrize("curve", ["exp", "gauss", "linear"])
def test_at_scale_is_the_value_there(curve: str) -> None:
    assert values([110, 90], decay=curve, at_scale=0.2) == pytest.approx([0.2, 0.2])


@given(
    st.sampled_from(["exp", "gauss", "linear"]),
    st.floats(allow_infinity=False),
    st.floats(min_value=5e-324, allow_infinity=False),
    st.floats(allow_infinity=False, allow_nan=False),
)
def test_no_number_makes_a_value_outside_of_0_and_1(curve: str, found: float, scale: float, origin: float) -> None:
    [value] = values([found], decay=curve, scale=scale, origin=origin)
    assert 0 <= value <= 1 and (value == 0 or not math.isnan(found))


def test_weights_add_the_values_to_the_scores() -> None:
    boosts = parse([decay(weight=2), {"filter": {}, "weight": -0.5}], FIELDS)
    assert boosted([0.5, 1.0], np.array([[0.25, 1], [1, 0]]), boosts).tolist() == [0.5, 3.0]
    assert boosted([0.5, 1.0], np.empty((2, 0)), ()).tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ("boost", "message"),
    [
        ("price", r"boosts\[0\]: a boost is an object with either a \"filter\" or a \"field\""),
        ({"weight": 1}, r"boosts\[0\]: a boost is an object with either"),
        (decay(filter={}), r"boosts\[0\]: a boost is an object with either"),
        (decay(scael=1), r"boosts\[0\]: unknown name 'scael'; did you mean 'scale'\?"),
        ({"filter": {}, "weight": 1, "xyz": 1}, r"boosts\[0\]: unknown name 'xyz'; it takes filter, weight\."),
        ({"filter": {"year": {"$gt": None}}, "weight": 1}, r"^boosts\[0\]\.filter\.year\.\$gt: it orders numbers"),
        ({"filter": {}}, r"boosts\[0\]\.weight: it is missing"),
        (decay(weight="big"), r"boosts\[0\]\.weight: it is a number .*, below zero to bury; got the text 'big'"),
        (decay(weight=float("inf")), r"boosts\[0\]\.weight: it is a number"),
        ({"filter": {}, "weight": 1e308}, r"boosts\[0\]\.weight: it is a number from -1,000,000 to 1,000,000"),
        (decay(weight=-1_000_001), r"below zero to bury; got the number -1000001"),
        (decay(weight=True), r"boosts\[0\]\.weight: it is a number"),
        (decay(field=7), r"^boosts\[0\]\.field: keys are text; got the number 7"),
        (decay(field="a..b"), r"^boosts\[0\]\.field: dots join the keys"),
        (decay(field="lang"), r"boosts\[0\]\.field: field 'lang' is of type text: boost it by a \"filter\" instead"),
        (decay(field="free"), r"is of type boolean: boost it by a \"filter\" instead"),
        (decay(decay="cubic"), r"boosts\[0\]\.decay: it is one of exp, gauss, linear; got the text 'cubic'"),
        (decay(scale=None), r"boosts\[0\]\.scale: it is missing"),
        (decay(scale=0), r"boosts\[0\]\.scale: it is more than zero; got the number 0"),
        (decay(scale=-1), r"boosts\[0\]\.scale: it is not negative"),
        (decay(scale="30d"), r"boosts\[0\]\.scale: field 'price' holds numbers, so it is a number; got the text '30d'"),
        (decay(field="seen", scale="30d"), r"declare 'seen' as date or timestamp\); got the text '30d'"),
        (decay(field="day", scale=30), r"boosts\[0\]\.scale: it is a duration, a number followed by s, m, h, d or w"),
        (decay(field="day", scale="30x"), r"such as '30d'; got the text '30x'"),
        (decay(field="day", scale="0d"), r"boosts\[0\]\.scale: it is more than zero; got the text '0d'"),
        (decay(field="day", scale=timedelta(days=-1)), r"boosts\[0\]\.scale: it is a duration"),
        (decay(offset=-1), r"boosts\[0\]\.offset: it is not negative; got the number -1"),
        (decay(origin=None), r"boosts\[0\]\.origin: it is missing"),
        (decay(origin="now"), r"boosts\[0\]\.origin: field 'price' holds numbers, so it is the number that is best"),
        (decay(field="day", scale="1d", origin="May"), r"boosts\[0\]\.origin: it is 'now', a date or a timestamp"),
        (decay(field="day", scale="1d", origin=3), r"boosts\[0\]\.origin: it is 'now', a date or a timestamp"),
        (decay(at_scale=1), r"boosts\[0\]\.at_scale: it is a number between 0 and 1; got the number 1"),
        (decay(at_scale="half"), r"boosts\[0\]\.at_scale: it is a number between 0 and 1; got the text 'half'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(boost: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse([boost], FIELDS)


def test_the_place_counts_from_the_first_boost() -> None:
    with pytest.raises(InvalidInput, match=r"^boosts\[2\]\.scale: "):
        parse([decay(), {"filter": {}, "weight": 1}, decay(scale=0)], FIELDS)


def test_boosts_are_a_list_of_at_most_8() -> None:
    assert parse([], FIELDS) == ()
    assert len(parse([decay()] * 8, FIELDS)) == 8
    with pytest.raises(InvalidInput, match="at most 8 boosts; got 9"):
        parse([decay()] * 9, FIELDS)
    with pytest.raises(InvalidInput, match=r"boosts are a list of objects such as .* got an object"):
        parse(decay(), FIELDS)
