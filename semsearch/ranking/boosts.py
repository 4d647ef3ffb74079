"""Boosts: what makes a hit count more, or less, besides how near it is.

A boost has a value from 0 to 1 for each hit, and a weight; the sum of weight * value is added to the hit's score. A
negative weight buries; none is beyond a million. Two kinds, written as JSON:

    {"field": "published_at", "decay": "exp", "scale": "30d", "offset": "1d", "origin": "now", "weight": 0.2}
    {"filter": {"lang": "en"}, "weight": 0.3}

The first is 1 at the origin and up to `offset` from it, then falls: to `at_scale` (0.5) at a distance of `scale` more.
The curves are Elasticsearch's decay functions:
https://www.elastic.co/docs/reference/query-languages/query-dsl/query-dsl-function-score-query#function-decay
The second is 1 for what the filter matches. A hit without a value at the field has 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from semsearch import filters
from semsearch.fields import FieldType

Decay = Literal["exp", "gauss", "linear"]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DecayBoost:
    """The nearer a field is to the origin, the more. `origin` None is the database's now.

    Fields of type date and timestamp are seconds since 1970 in UTC, and so are origin, scale and offset then; a key
    that is not declared is read as `float`.
    """

    field: str
    type: FieldType
    decay: Decay
    origin: float | None
    scale: float
    offset: float
    at_scale: float
    weight: float

    @property
    def is_moment(self) -> bool:
        return self.type in ("date", "timestamp")

    def values(self, found: Numbers, now: float) -> Numbers:
        """The values for what the field holds, shape (n,), NaN where it holds nothing."""
        origin = now if self.origin is None else self.origin
        with np.errstate(over="ignore", under="ignore"):
            far = np.maximum(np.abs(found - origin) - self.offset, 0) / self.scale
            match self.decay:
                case "exp":
                    worth = self.at_scale**far
                case "gauss":
                    worth = self.at_scale ** (far**2)
                case "linear":
                    worth = np.maximum(1 - (1 - self.at_scale) * far, 0)
        return np.nan_to_num(worth, nan=0.0)


@dataclass(frozen=True, slots=True)
class FilterBoost:
    """What matches the filter, or not."""

    filter: filters.Filter
    weight: float

    def values(self, found: Numbers, now: float) -> Numbers:
        """1 where the filter matches; NaN is a hit that is no longer there."""
        return np.nan_to_num(found, nan=0.0)


Boost = DecayBoost | FilterBoost


def boosted(scores: npt.ArrayLike, worth: Numbers, boosts: Sequence[Boost]) -> Numbers:
    """The scores, shape (n,), with the boosts' values, shape (n, boosts), added by their weights."""
    weights = np.array([boost.weight for boost in boosts], dtype=np.float64)
    boosted: Numbers = np.asarray(scores, dtype=np.float64) + worth @ weights
    return boosted
