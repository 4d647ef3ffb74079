"""What boosts are worth for hits: one statement reads the fields and asks the filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, Double, Engine, Select, case, cast, func, literal_column, select

from semsearch import filters
from semsearch.errors import FilterError
from semsearch.fields import convert
from semsearch.ranking.boost_syntax import within
from semsearch.ranking.boosts import Boost, DecayBoost
from semsearch.store import keys, spaces
from semsearch.store.keys import Key
from semsearch.store.spaces import Space


def values(engine: Engine, space: Space, hits: Sequence[Key], boosts: Sequence[Boost]) -> npt.NDArray[np.float64]:
    """The value of each boost for each hit, from 0 to 1, shape (hits, boosts); zeros for a hit that is gone.

    Raises InvalidInput where a filter does not fit the declared fields.
    """
    found = np.full((len(hits), len(boosts)), np.nan)
    if not found.size:
        return found
    now = 0.0
    with engine.connect() as connection:
        for place, now, *row in connection.execute(_statement(space, hits, boosts)).all():  # noqa: B007
            found[place - 1] = [_read(boost, value) for boost, value in zip(boosts, row, strict=True)]
    return np.column_stack([boost.values(found[:, at], now) for at, boost in enumerate(boosts)])


def _statement(space: Space, hits: Sequence[Key], boosts: Sequence[Boost]) -> Select[Any]:
    chunks, given = spaces.queried(space), keys.given(hits)
    same = (chunks.c.document_id == given.c.document_id) & (chunks.c.ordinal == given.c.ordinal)
    asked = [_asked(space, boost, f"boosts[{at}].filter").label(f"boost_{at}") for at, boost in enumerate(boosts)]
    return select(given.c.place, _seconds(func.now()).label("now"), *asked).join_from(given, chunks, same)


def _asked(space: Space, boost: Boost, path: str) -> ColumnElement[Any]:
    if isinstance(boost, DecayBoost):
        return _held(space, boost)
    try:
        return filters.compile(boost.filter, spaces.filter_columns(space))
    except FilterError as error:
        raise within(error, path) from None


def _held(space: Space, boost: DecayBoost) -> ColumnElement[Any]:
    chunks = spaces.queried(space)
    column = spaces.field_columns(chunks, space).get(boost.field)
    if column is None:
        value = keys.metadata_value(chunks.c.metadata, boost.field)
        return case((func.jsonb_typeof(value) == literal_column("'number'"), value))
    return _seconds(column) if boost.is_moment else column


def _seconds(moment: ColumnElement[Any]) -> ColumnElement[float]:
    return cast(func.extract("epoch", moment), Double())


def _read(boost: Boost, value: Any) -> float:
    if isinstance(boost, DecayBoost):  # JSON holds numbers that a double does not
        value = convert(value, "float")
    return np.nan if value is None else float(value)
