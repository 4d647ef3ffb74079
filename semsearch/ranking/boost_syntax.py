"""Reads boosts as users write them, a list of JSON objects."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, get_args

from semsearch import filters
from semsearch.errors import FilterError, InvalidInput
from semsearch.fields import FieldType, convert, describe
from semsearch.filters import values
from semsearch.ranking.boosts import Boost, Decay, DecayBoost, FilterBoost

MAX_BOOSTS = 8
MAX_WEIGHT = 1_000_000  # beyond every relevance; sums of such weights stay finite
AT_SCALE = 0.5
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([smhdw])")
_NOT_NUMBERS = ("text", "boolean")


def parse(boosts: Any, fields: Mapping[str, FieldType]) -> tuple[Boost, ...]:
    """The boosts as they are written; `fields` are the collection's declared ones.

    Raises InvalidInput, which names the place: `boosts[0].scale`.
    """
    if not isinstance(boosts, list | tuple):
        raise InvalidInput(
            f'boosts are a list of objects such as {{"filter": {{"lang": "en"}}, "weight": 0.3}}; '
            f"got {describe(boosts)}."
        )
    if len(boosts) > MAX_BOOSTS:
        raise InvalidInput(f"a search takes at most {MAX_BOOSTS} boosts; got {len(boosts)}.")
    return tuple(_boost(boost, f"boosts[{index}]", fields) for index, boost in enumerate(boosts))


def _boost(boost: Any, path: str, fields: Mapping[str, FieldType]) -> Boost:
    if not isinstance(boost, Mapping) or ("filter" in boost) == ("field" in boost):
        raise InvalidInput(
            f'{path}: a boost is an object with either a "filter" or a "field", and a "weight"; got {describe(boost)}.'
        )
    if "filter" in boost:
        _check_names(boost, path, ("filter", "weight"))
        return FilterBoost(_filter(boost["filter"], f"{path}.filter"), _weight(boost, path))
    _check_names(boost, path, ("field", "decay", "scale", "origin", "offset", "at_scale", "weight"))
    return _decay_boost(boost, path, fields)


def _decay_boost(boost: Mapping[str, Any], path: str, fields: Mapping[str, FieldType]) -> DecayBoost:
    field = _field(boost["field"], f"{path}.field")
    type_ = fields.get(field, "float")
    if type_ in _NOT_NUMBERS:
        raise InvalidInput(f'{path}.field: field {field!r} is of type {type_}: boost it by a "filter" instead.')
    moment = type_ in ("date", "timestamp")
    length = _duration if moment else _length(field, field in fields)
    scale = length(_needed(boost, "scale", path), f"{path}.scale")
    if scale <= 0:
        raise InvalidInput(f"{path}.scale: it is more than zero; got {describe(boost['scale'])}.")
    return DecayBoost(
        field=field,
        type=type_,
        decay=_decay(boost.get("decay", "exp"), f"{path}.decay"),
        origin=_moment(boost.get("origin", "now"), f"{path}.origin") if moment else _origin(boost, path, field),
        scale=scale,
        offset=length(boost["offset"], f"{path}.offset") if "offset" in boost else 0.0,
        at_scale=_at_scale(boost.get("at_scale", AT_SCALE), f"{path}.at_scale"),
        weight=_weight(boost, path),
    )


def _check_names(boost: Mapping[str, Any], path: str, known: Sequence[str]) -> None:
    for name in boost:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}."
            raise InvalidInput(f"{path}: unknown name {name!r:.80}; {hint}")


def _needed(boost: Mapping[str, Any], name: str, path: str) -> Any:
    if boost.get(name) is None:
        raise InvalidInput(f"{path}.{name}: it is missing.")
    return boost[name]


def _filter(filter: Any, path: str) -> filters.Filter:
    try:
        return filters.parse(filter)
    except FilterError as error:
        raise within(error, path) from None


def within(error: FilterError, path: str) -> InvalidInput:
    """The complaint about a filter that is part of something else: `boosts[0].filter.year.$gte: ...`."""
    return InvalidInput(f"{path}{str(error).removeprefix('filter ').removeprefix('$')}")


def _field(name: Any, path: str) -> str:
    try:
        key = values.key(name, path)
        values.check_parts(key, path)
    except FilterError as error:
        raise InvalidInput(str(error).removeprefix("filter ")) from None
    return key


def _decay(decay: Any, path: str) -> Decay:
    known: tuple[Decay, ...] = get_args(Decay)
    for each in known:
        if decay == each:
            return each
    raise InvalidInput(f"{path}: it is one of {', '.join(known)}; got {describe(decay)}.")


def _number(value: Any, path: str, what: str) -> float:
    number = convert(value, "float")
    if number is None:
        raise InvalidInput(f"{path}: {what}; got {describe(value)}.")
    return float(number)  # type: ignore[arg-type]


def _weight(boost: Mapping[str, Any], path: str) -> float:
    what = f"it is a number from -{MAX_WEIGHT:,} to {MAX_WEIGHT:,}, below zero to bury"
    weight = _number(_needed(boost, "weight", path), f"{path}.weight", what)
    if abs(weight) > MAX_WEIGHT:
        raise InvalidInput(f"{path}.weight: {what}; got {describe(boost['weight'])}.")
    return weight


def _at_scale(value: Any, path: str) -> float:
    number = _number(value, path, "it is a number between 0 and 1")
    if not 0 < number < 1:
        raise InvalidInput(f"{path}: it is a number between 0 and 1; got {describe(value)}.")
    return number


def _length(field: str, is_declared: bool) -> Any:
    """Reads scale and offset of a field of numbers."""
    declare = "" if is_declared else f" (durations are for declared fields: declare {field!r} as date or timestamp)"

    def length(value: Any, path: str) -> float:
        number = _number(value, path, f"field {field!r} holds numbers, so it is a number{declare}")
        if number < 0:
            raise InvalidInput(f"{path}: it is not negative; got {describe(value)}.")
        return number

    return length


def _duration(value: Any, path: str) -> float:
    if isinstance(value, timedelta) and value >= timedelta():
        return value.total_seconds()
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidInput(
            f"{path}: it is a duration, a number followed by s, m, h, d or w, such as '30d'; got {describe(value)}."
        )
    return float(found[1]) * SECONDS[found[2]]


def _origin(boost: Mapping[str, Any], path: str, field: str) -> float:
    what = f"field {field!r} holds numbers, so it is the number that is best"
    return _number(_needed(boost, "origin", path), f"{path}.origin", what)


def _moment(value: Any, path: str) -> float | None:
    if value == "now":
        return None
    moment = convert(value.isoformat() if isinstance(value, date) else value, "timestamp")
    if not isinstance(moment, datetime):
        raise InvalidInput(
            f"{path}: it is 'now', a date or a timestamp (ISO 8601, such as 2024-05-01); got {describe(value)}."
        )
    return moment.timestamp()
